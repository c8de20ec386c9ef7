"""The owner's page as it is served: its files without the lines that are only comment, packed where the browser can.

The comments are the page's types and reasons, a third of what there is, and of no use to a phone. Nothing else is
changed; only whole lines go. Files are read when they are asked for and again when they have changed on the disk.
"""

from __future__ import annotations

import gzip
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path

from agent.core.errors import NotThere

# Comments that begin a line and end one. Inside a text of several lines this would not hold: a test looks for that.
COMMENTS = re.compile(r"^[ \t]*(?:/\*(?:(?!\*/).)*\*/[ \t]*\n|//[^\n]*\n)", re.MULTILINE | re.DOTALL)
_COMMENTED = {".js", ".css"}
_TYPES = {".js": "text/javascript", ".webmanifest": "application/manifest+json", ".html": "text/html; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, ready to be sent: as it is, and packed with gzip."""

    content_type: str
    plain: bytes
    packed: bytes


class Page:
    """The files below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._ready: dict[Path, tuple[int, Asset]] = {}

    def asset(self, name: str) -> Asset:
        """The file of this name, below the folder and nowhere else; NotThere otherwise."""
        path = (self._root / name).resolve()
        if not path.is_relative_to(self._root) or not path.is_file():
            raise NotThere(f"the page has no file '{name[:60]}'")
        changed_ns = path.stat().st_mtime_ns
        known = self._ready.get(path)
        if known is None or known[0] != changed_ns:
            known = self._ready[path] = (changed_ns, _prepare(path))
        return known[1]


def _prepare(path: Path) -> Asset:
    data = path.read_bytes()
    if path.suffix in _COMMENTED:
        data = COMMENTS.sub("", data.decode()).encode()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(kind, data, gzip.compress(data, 9, mtime=0))
