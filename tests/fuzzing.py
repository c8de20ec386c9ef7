"""Every reader of bytes from outside, and a mutator: whatever comes is accepted or raises the reader's one error type.

Statements are mutated inside: the payload is changed and signed again, so that what is behind the signature is tried
as well as what stands before it.
"""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.jwk import OKPKey

from agent.core.encoding import key_id
from agent.core.statements import Kind, raw_public

LONGEST_S = 2
_ODD = [
    None, True, 0, -1, 1, 2**31, 2**53, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, "", "a", "\0", "é" * 300, "A" * 3000,
    "9999-12-31T23:59:59Z", "2026-02-30T00:00:00Z", "2026-11-23T18:00:00+25:00", [], {}, [[]], [None] * 50, {"": ""},
]  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """One parser: `take` gives it the bytes, `error` is all it may raise, `seeds` are good inputs to begin with."""

    name: str
    take: Callable[[bytes], object]
    error: type[Exception]
    seeds: list[bytes]
    as_json: bool = False


@dataclass
class Tally:
    accepted: int = 0
    refused: int = 0


def signed(kind: Kind, key: Ed25519PrivateKey, payload: bytes) -> bytes:
    """Any payload at all, signed as it stands."""
    header = {"alg": "Ed25519", "typ": kind.typ, "kid": key_id(raw_public(key))}
    return jws.serialize_compact(header, payload, OKPKey.import_key(key), algorithms=["Ed25519"]).encode()


def fuzz(reader: Reader, runs: int, seed: int) -> Tally:
    """`runs` mutated inputs; AssertionError shows the input that raised something else or took too long."""
    draw = random.Random(seed)
    tally = Tally()
    for good in reader.seeds:
        reader.take(good)
    for _ in range(runs):
        data = mutated(draw, draw.choice(reader.seeds or [b""]), reader.as_json)
        with in_time(reader.name, data):
            try:
                reader.take(data)
                tally.accepted += 1
            except reader.error:
                tally.refused += 1
            except Exception as e:
                raise AssertionError(f"{reader.name} raised {type(e).__name__}: {e!s:.200} for {data[:2000]!r}") from e
    return tally


def mutated(draw: random.Random, data: bytes, as_json: bool) -> bytes:
    """`data` with one to four changes."""
    for _ in range(draw.randint(1, 4)):
        data = _other_json(draw, data) if as_json and draw.random() < 0.85 else _other_bytes(draw, data)
    return data


@contextmanager
def in_time(name: str, data: bytes) -> Iterator[None]:
    def late(number: int, frame: object) -> None:
        raise AssertionError(f"{name} took more than {LONGEST_S} s for {data[:2000]!r}")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _other_bytes(draw: random.Random, data: bytes) -> bytes:
    at, to = sorted((draw.randint(0, len(data)), draw.randint(0, len(data))))
    some = draw.randbytes(draw.choice([1, 1, 2, 4, 8, 60]))
    return draw.choice(
        [
            lambda: data[:at],
            lambda: data[at:],
            lambda: data[:at] + data[to:],
            lambda: data[:at] + data[at:to] * draw.randint(2, 5) + data[to:],
            lambda: data[:at] + some + data[at:],
            lambda: data[:at] + some + data[at + len(some) :],
            lambda: data[:at] + bytes([draw.choice([0, 1, 0x7F, 0x80, 0xFF])]) + data[at + 1 :],
            lambda: data[:at] + bytes([(data[at] if at < len(data) else 0) ^ 1 << draw.randint(0, 7)]) + data[at + 1 :],
            lambda: draw.randbytes(draw.randint(0, 300)),
        ]
    )()


def _other_json(draw: random.Random, data: bytes) -> bytes:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return _other_bytes(draw, data)
    places = list(_places(value))
    if not places:
        return json.dumps(draw.choice(_ODD)).encode()
    parent, key = draw.choice(places)
    what = draw.random()
    if what < 0.15:
        del parent[key]
    elif what < 0.25:
        if isinstance(parent, dict):
            parent[f"{key}x"] = parent[key]
        else:
            parent.insert(key, parent[key])
    elif what < 0.5:
        parent[key] = _nudged(draw, parent[key])
    elif what < 0.65:
        other, there = draw.choice(places)
        parent[key] = json.loads(json.dumps(other[there]))
    else:
        parent[key] = draw.choice(_ODD)
    return json.dumps(value).encode()


def _nudged(draw: random.Random, value: Any) -> Any:
    if isinstance(value, str):
        return _other_bytes(draw, value.encode()).decode("utf-8", "replace")
    if isinstance(value, (int, float)):
        return draw.choice([value + 1, value - 1, -value, value * 2, value * 1000])
    if isinstance(value, list):
        return value * draw.choice([0, 2, 40])
    return draw.choice(_ODD)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        for key in value:
            yield value, key
            yield from _places(value[key])
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield value, n
            yield from _places(item)
