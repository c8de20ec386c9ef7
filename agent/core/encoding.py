"""The small encodings every format shares: b64u, key ids, random ids, RFC 3339 time, strict JSON.

Source: docs/spec/conventions.md. Each decoder accepts exactly one spelling of a value or raises Corrupt.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from agent.core.errors import BadInput, Corrupt

ID_BYTES = 16
NS_PER_S = 1_000_000_000
# The years whose every nanosecond, and a clip's length beyond, is a signed number of 64 bits, as databases keep it.
FIRST_YEAR, LAST_YEAR = 1678, 2261

_B64U = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)

T = TypeVar("T")


def b64u(data: bytes) -> str:
    """Base64url without padding (RFC 4648 section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_b64u(text: str, length: int | None = None) -> bytes:
    """The bytes behind `text`; Corrupt unless it is the one canonical spelling (and of `length` bytes, if given)."""
    if not _B64U.fullmatch(text):
        raise Corrupt("base64url text has a character that does not belong there")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as e:
        raise Corrupt("base64url text has an impossible length") from e
    if b64u(data) != text:
        raise Corrupt("base64url text is not in its canonical form")
    if length is not None and len(data) != length:
        raise Corrupt(f"expected {length} bytes in base64url, found {len(data)}")
    return data


def key_id(public_key: bytes) -> str:
    """The kid of a raw 32-byte public key."""
    return b64u(hashlib.sha256(public_key).digest()[:ID_BYTES])


def new_id(random16: bytes) -> str:
    """A clip, request or transfer id from 16 random bytes. It never begins with "-": it would read as an option."""
    if len(random16) != ID_BYTES:
        raise BadInput("an id is made of 16 random bytes")
    text = b64u(random16)
    return b64u(bytes([random16[0] ^ 0x80]) + random16[1:]) if text.startswith("-") else text


def check_id(text: str) -> None:
    """Corrupt unless `text` is an id."""
    from_b64u(text, ID_BYTES)
    if text.startswith("-"):
        raise Corrupt("an id does not begin with '-'")


def format_time(utc_ns: int) -> str:
    """RFC 3339 in UTC with as many fractional digits as it takes."""
    seconds, ns = divmod(utc_ns, NS_PER_S)
    try:
        text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (OverflowError, OSError, ValueError) as e:
        raise BadInput(f"the time {utc_ns} ns lies outside the years 1 to 9999") from e
    text = text.rjust(19, "0")  # strftime does not pad years before 1000
    fraction = f".{ns:09d}".rstrip("0") if ns else ""
    return f"{text}{fraction}Z"


def parse_time(text: str) -> int:
    """UTC nanoseconds of an RFC 3339 time. BadInput without a zone, or where 64 bits do not hold them."""
    match = _TIME.fullmatch(text)
    if not match:
        raise BadInput(f"'{text[:40]}' is not a time; write it like 2026-11-23T14:12:10Z, with its zone")
    whole, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(whole + ("+00:00" if zone == "Z" else zone))
        seconds = round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    except (ValueError, OverflowError) as e:
        raise BadInput(f"'{text[:40]}' is not a time: {e}") from e
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise BadInput(f"'{text[:40]}' lies outside the years {FIRST_YEAR} to {LAST_YEAR}")
    return seconds * NS_PER_S + int((fraction or "").ljust(9, "0"))


def to_json(value: Any) -> bytes:
    """Compact JSON bytes of a msgspec Struct or plain values."""
    return msgspec.json.encode(value)


def from_json(data: bytes, kind: type[T], what: str) -> T:
    """`data` as a `kind`; Corrupt names `what` and the place in it."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise Corrupt(f"{what} is not as specified: {e}") from e
