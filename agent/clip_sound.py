"""The sound of what is being recorded: from the source's packets into the records of the clip that is open.

Owns when sound is written; how it is cut is `core.sound`'s. A clip has sound of one format at most: where the source
changes it, sound goes on in the next clip. Source: docs/spec/sealed-clip.md, fragment.md "Sound".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.core.fmp4_sound import render_sound, sound_init
from agent.core.frame import SoundFormat, SoundPacket, Track
from agent.core.sealing import RECORDS_LIMIT
from agent.core.sound import SoundRun, SoundShelf
from agent.store.recording import Fragment, OpenClip

log = logging.getLogger(__name__)

_RECORDS_RESERVE = 8  # pictures, and the close record, still have to fit


@dataclass(slots=True)
class _Open:
    clip: OpenClip
    zero_ns: int
    records: int = 0


class ClipSound:
    """Told of sound as it comes and of the clip as it grows. `make_room`: called with how many bytes are to be written.

    Unavailable and OSError pass through from the ring.
    """

    def __init__(self, make_room: Callable[[int], None]) -> None:
        self._make_room = make_room
        self._format: SoundFormat | None = None
        self._shelf: SoundShelf | None = None
        self._open: _Open | None = None

    def take(self, item: SoundFormat | SoundPacket) -> None:
        """What the source hands over."""
        if isinstance(item, SoundPacket):
            if self._shelf is not None:
                self._write(self._shelf.push(item))
        elif item != self._format:
            if self._open is not None and self._open.records:
                log.warning("the sound changed its kind; it goes on in the next clip")
                self._open = None
            self._format, self._shelf = item, SoundShelf(item)
            if self._open is not None:
                self._shelf.begin(self._open.zero_ns)

    def begin(self, clip: OpenClip, zero_ns: int) -> None:
        """A clip begins with the picture shown at `zero_ns`."""
        self._open = _Open(clip, zero_ns)
        if self._shelf is not None:
            self._shelf.begin(zero_ns)

    def cut(self, at_ns: int) -> None:
        """Pictures that begin at `at_ns` were written: where the sound is cut, too."""
        if self._open is not None and self._shelf is not None:
            self._write(self._shelf.cut(at_ns))

    def end(self, end_ns: int) -> None:
        """The clip's pictures end at `end_ns`."""
        if self._open is not None and self._shelf is not None:
            self._write(self._shelf.end(end_ns))
        self._open = None

    def drop(self) -> None:
        """The clip cannot be written any more."""
        self._open = None

    def forget(self, before_ns: int) -> None:
        """No clip will begin before `before_ns`."""
        if self._shelf is not None:
            self._shelf.forget(before_ns)

    def _write(self, runs: Sequence[SoundRun]) -> None:
        opened, fmt = self._open, self._format
        if opened is None or fmt is None:
            return
        for run in runs:
            if opened.records >= RECORDS_LIMIT // 2 or opened.clip.row.records >= RECORDS_LIMIT - _RECORDS_RESERVE:
                log.warning("the sound comes in too many pieces; it goes on in the next clip")
                self._open = None
                return
            if not opened.records:
                opened.clip.add_init(Track.AUDIO, sound_init(fmt))
                opened.records = 1
            data = render_sound(run, fmt, opened.zero_ns, opened.records)
            self._make_room(len(data))
            opened.clip.add(Track.AUDIO, Fragment(data, True, run.start_ns - opened.zero_ns, run.duration_ns))
            opened.records += 1
