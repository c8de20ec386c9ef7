"""Somebody at the broker who reads every topic: what a thief, or a requester with too many rights, would see."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt


class Tap:
    """Every message of a broker while entered, in order: (topic, payload, seconds since the tap began)."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 1883)
        self._ready = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("#")
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda _c, _u, message: self.messages.append(
            (message.topic, bytes(message.payload), time.monotonic() - self._begun)
        )
        self.messages: list[tuple[str, bytes, float]] = []
        self._begun = time.monotonic()

    def __enter__(self) -> Self:
        self._client.connect(*self._address)
        self._client.loop_start()
        assert self._ready.wait(10), "the tap could not subscribe"
        self._begun = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.loop_stop()
        self._client.disconnect()
