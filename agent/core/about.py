"""What a clip tells its owner besides its film: the close record and the poster. Both are sealed.

Owns their bytes: the close record's length must not tell which labels are in it. Never seals, never decides what is in
them. Source: docs/spec/sealed-clip.md "Close record", "Poster".
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from agent.core.encoding import from_json, to_json
from agent.core.errors import BadInput, Corrupt
from agent.core.sealing import CLIP_LIMIT_NS, RECORDS_LIMIT

ABOUT_FORMAT: Final = "doorward.about.v1"
LABELS_LIMIT: Final = 16
POSTER_SIDE: Final = 640
POSTER_LIMIT_BYTES: Final = 1024 * 1024

_STEP_BYTES: Final = 512
_LABEL: Final = re.compile(r"[a-z]{1,32}", re.ASCII)


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The close record's content: what is known of a clip when it ends. `motion` in ns from the clip's time zero."""

    format: str
    labels: list[str]
    motion: list[tuple[int, int]]


def write_about(labels: list[str], motion: list[tuple[int, int]]) -> bytes:
    """The close record, filled up with spaces. BadInput for labels no reader would accept."""
    if not _are_labels(labels):
        raise BadInput(f"a clip has at most {LABELS_LIMIT} different labels of lower-case letters, not {labels}")
    data = to_json(About(ABOUT_FORMAT, labels, motion))
    return data.ljust(-(-len(data) // _STEP_BYTES) * _STEP_BYTES)


def read_about(data: bytes) -> About:
    """A close record checked against every rule of the spec, else Corrupt."""
    about = from_json(data, About, "the close record")
    if about.format != ABOUT_FORMAT or not _are_labels(about.labels):
        raise Corrupt("the close record's format or labels are not those of this version")
    in_order = all(abs(start) <= 2 * CLIP_LIMIT_NS and start <= end <= 2 * CLIP_LIMIT_NS for start, end in about.motion)
    if len(about.motion) > RECORDS_LIMIT or not in_order:
        raise Corrupt("the close record's motion is out of range")
    return about


def check_poster(data: bytes) -> bytes:
    """`data` if it can be a poster: a JPEG file of bounded size, else Corrupt. Decodes nothing."""
    if len(data) > POSTER_LIMIT_BYTES or not (data.startswith(b"\xff\xd8\xff") and data.endswith(b"\xff\xd9")):
        raise Corrupt("the clip's poster is not a JPEG picture of at most 1 MiB")
    return data


def _are_labels(labels: list[str]) -> bool:
    whole = all(_LABEL.fullmatch(label) for label in labels)
    return whole and len(labels) <= LABELS_LIMIT and len(set(labels)) == len(labels)
