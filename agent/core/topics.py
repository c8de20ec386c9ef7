"""The MQTT topics, built and read in one place. Source: docs/spec/request.md, docs/spec/transfer.md."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TRANSFER = re.compile(
    r"x/(?P<requester>[A-Za-z0-9_-]{22})/(?P<transfer>[A-Za-z0-9_-]{22})/"
    r"(?:(?P<what>offer|get|receipt|end)|block/(?P<block>0|[1-9]\d{0,6}))",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class TransferTopic:
    """A topic of one transfer, read: `what` is offer, get, block, receipt or end; `block` the number of a block."""

    requester: str
    transfer: str
    what: str
    block: int = -1


def request_topic(cell: str) -> str:
    """Where requests that touch the H3 cell `cell` (resolution 7) are published."""
    return f"area/v1/7/{cell}/request"


def transfer_topic(requester: str, transfer: str, what: str) -> str:
    """`what` is offer, get, receipt or end; `+` for `transfer` makes a filter."""
    return f"x/{requester}/{transfer}/{what}"


def block_topic(requester: str, transfer: str, block: int | str) -> str:
    """The topic of one numbered block; `+` makes a filter."""
    return f"x/{requester}/{transfer}/block/{block}"


def read_transfer_topic(topic: str) -> TransferTopic | None:
    """The parts of a transfer's topic, or None when it is some other topic."""
    match = _TRANSFER.fullmatch(topic)
    if match is None:
        return None
    requester, transfer, what, block = match.group("requester", "transfer", "what", "block")
    if block is not None:
        return TransferTopic(requester, transfer, "block", int(block))
    return TransferTopic(requester, transfer, what)
