"""The steps of a transfer, told from inside the processes that take them.

`play` runs a `doorward` command in a process of its own, the product's code and nothing else, except that it says each
step below to a director over a Unix socket and waits to be told to go on. So a test can kill it, its peer or the broker
at exactly that step.
"""

from __future__ import annotations

import functools
import inspect
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent import __main__ as command_line
from agent.adapters.broker import BrokerSession
from agent.core.bundle import BLOCK_BYTES, Offer, read_offer
from agent.core.topics import read_transfer_topic
from agent.core.transfer import Arrival, Puller
from agent.disclosure.sending import Sending
from agent.requester import folder as names
from agent.requester.folder import PartialBundle, TransferFolder
from agent.requester.receiving import Receiver
from agent.store.ledger import Ledger

DOORBELL_STEPS = (
    "decision judged", "decision stored", "bundle laid out", "offer stored", "offer sent", "get received", "page sent",
    "first block sent", "middle block sent", "last block sent", "receipt received", "receipt stored",
)  # fmt: skip
REQUESTER_STEPS = (
    "offer received", "offer kept", "get sent", "page received", "first block kept", "middle block kept",
    "last block kept", "bundle taken apart", "keys written", "film written", "receipt written", "report.json written",
    "report.html written", "bundle.part removed", "receipt sent",
)  # fmt: skip
STOP_STEPS = ("stop stored", "end sent", "end received", "end kept")

_FILES = {
    names.OFFER: "offer kept",
    names.RECEIPT: "receipt written",
    names.REPORT_JSON: "report.json written",
    names.REPORT_HTML: "report.html written",
    names.END: "end kept",
    names.clip_file(0, "keys.json"): "keys written",
}

Namer = Callable[..., str | None]


class Teller:
    """The line to the director."""

    def __init__(self, control: str) -> None:
        self._line = socket.socket(socket.AF_UNIX)
        self._line.connect(control)
        self._one_at_a_time = threading.Lock()

    def tell(self, step: str | None) -> None:
        """Say it, and wait for the word to go on."""
        if step is not None:
            with self._one_at_a_time:
                self._line.sendall(step.encode() + b"\n")
                self._line.recv(1)


def always(step: str) -> Namer:
    """A namer that gives the same name whatever the call."""
    return lambda *_, **__: step


def never(*_: object, **__: object) -> None:
    """A namer for calls that are no step."""


def hook(teller: Teller, owner: type, name: str, before: Namer = never, after: Namer = never) -> None:
    """Make calls of a method steps. `before` sees its arguments, `after` its result and then its arguments."""
    real: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(real)
    def call(*args: Any, **kwargs: Any) -> Any:
        teller.tell(before(*args, **kwargs))
        result = real(*args, **kwargs)
        teller.tell(after(result, *args, **kwargs))
        return result

    @functools.wraps(real)
    async def call_later(*args: Any, **kwargs: Any) -> Any:
        teller.tell(before(*args, **kwargs))
        result = await real(*args, **kwargs)
        teller.tell(after(result, *args, **kwargs))
        return result

    setattr(owner, name, call_later if inspect.iscoroutinefunction(real) else call)


class Blocks:
    """Which block is the first, the one in the middle, the last: known from the offer that passed."""

    def __init__(self) -> None:
        self._offers: dict[str, Offer] = {}

    def published(
        self, _result: object, _self: object, topic: str, payload: bytes, *_: object, **__: object
    ) -> str | None:
        """The step that this message was."""
        read = read_transfer_topic(topic)
        if read is None:
            return None
        if read.what == "offer":
            self._offers[read.transfer] = read_offer(payload)
        if read.what != "block":
            return f"{read.what} sent"
        offer = self._offers.get(read.transfer)
        if offer is None:
            return None
        if read.block < len(offer.pages):
            return "page sent"
        name = place(read.block - len(offer.pages), offer.blocks)
        return name and f"{name} block sent"


def place(block: int, blocks: int) -> str | None:
    """What a block of the bundle is called, if it has a name."""
    return {0: "first", blocks // 2: "middle", blocks - 1: "last"}.get(block)


def kept(_result: object, partial: PartialBundle, offset: int, block: bytes) -> str | None:
    """The step that writing a block was."""
    size = os.stat(partial._path).st_size
    name = place(offset // BLOCK_BYTES, -(-size // BLOCK_BYTES))
    return name and f"{name} block kept"


def install(teller: Teller) -> None:
    """Make every step one."""
    blocks = Blocks()
    hook(teller, Ledger, "share", always("decision judged"), always("decision stored"))
    hook(teller, Sending, "_lay_out", after=always("bundle laid out"))
    hook(teller, Ledger, "begin_sending", after=always("offer stored"))
    hook(teller, Sending, "on_get", always("get received"))
    hook(teller, Sending, "on_receipt", always("receipt received"))
    hook(teller, Ledger, "delivered", after=always("receipt stored"))
    hook(teller, Ledger, "end_sending", after=always("stop stored"))
    hook(teller, BrokerSession, "publish", after=blocks.published)
    hook(teller, Receiver, "_on_offer", always("offer received"))
    hook(teller, Receiver, "_on_end", always("end received"))
    hook(teller, Puller, "on_block", after=lambda found, *_: "page received" if found is Arrival.PAGE else None)
    hook(teller, PartialBundle, "write", after=kept)
    hook(teller, PartialBundle, "split", after=always("bundle taken apart"))
    hook(teller, TransferFolder, "write", after=lambda _, _folder, name, _data: _FILES.get(name))
    hook(teller, TransferFolder, "write_pieces", after=always("film written"))
    hook(teller, TransferFolder, "remove", after=lambda _, _folder, name: f"{name} removed")


def play(arguments: list[str], control: str, log: Path) -> None:
    """The whole life of a process: `doorward ARGUMENTS`, each step told."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    install(Teller(control))
    sys.argv = ["doorward", *arguments]
    command_line.main()
