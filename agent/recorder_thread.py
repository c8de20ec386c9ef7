"""The recorder in a thread of its own, and what the event loop learns of it.

Owns the thread's database connection and the words for what it is doing. Everything it tells the loop goes through
`call_soon_threadsafe`; nothing else is shared.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from agent.core import identity, statements
from agent.core.audit import Details
from agent.core.encoding import format_time
from agent.core.errors import Unavailable
from agent.core.frame import SourceItem
from agent.core.identity import OwnerSet
from agent.core.labels import RING
from agent.core.owner_api import Trouble
from agent.core.retention import Limits
from agent.core.timeline import TimeBase
from agent.disclosure.bulletin import Bulletin
from agent.onlooker import Sight
from agent.recorder import Recorder, RecorderReport, RecorderSettings
from agent.setup import Opened
from agent.store.clips import ClipStore, owner_set_in_force
from agent.store.database import connect
from agent.store.index import ClipRow
from agent.store.keeping import Keeper
from agent.store.ledger import Ledger
from agent.store.ring import Ring
from agent.store.state import device_id
from agent.timekeeper import Clock
from agent.watchdog import Heartbeat

log = logging.getLogger(__name__)

_CAMERA = "camera"
_DISK = "disk"
_BUTTON = "button"
_MICROPHONE = "microphone"
_REASON_LIMIT = 300
_MOTION = "motion"
_REPORTED = 200  # for the demo, whose film ends; a camera's clips are in the index and need no second list


@dataclass(frozen=True, slots=True)
class Footage:
    """What the recorder is to see: opened when recording begins, with what its clock means; a source without `base`
    gives times of the boot clock.

    `source` is given whether to stop: a camera that is away hands over nothing after which to ask.
    """

    source: Callable[[Callable[[], bool]], Iterable[SourceItem]]
    base: Callable[[], TimeBase] | None


class RecorderThread:
    """Runs a Recorder in a thread of its own, with its own connection, and tells the event loop what happens."""

    def __init__(
        self,
        opened: Opened,
        settings: RecorderSettings,
        limits: Limits,
        time: Clock,
        bulletin: Bulletin,
        sight: Sight | None,
        notify: frozenset[str],
    ) -> None:
        self._opened = opened
        self._settings = settings
        self._limits = limits
        self._time = time
        self._bulletin = bulletin
        self._sight = sight
        self._notify = notify
        self._clip = ""
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._state = "waiting"
        self._lock = threading.Lock()  # of the troubles, which the button's thread tells of, too
        self._troubles: dict[str, Trouble] = {}
        self._recorder: Recorder | None = None
        self.heartbeat = Heartbeat(time.boot_ns)
        self.moment_ns = 0

    @property
    def state(self) -> str:
        """waiting, watching, recording, blind (no camera), paused (no disk), ended or stopped."""
        if self._state in ("watching", "recording"):
            return "paused" if _DISK in self._troubles else "blind" if _CAMERA in self._troubles else self._state
        return self._state

    @property
    def troubles(self) -> list[Trouble]:
        """What keeps it from recording now."""
        with self._lock:
            return list(self._troubles.values())

    async def record(self, footage: Footage) -> RecorderReport:
        """Until the source ends or `stop`. A camera or a disk that fails is waited for, and said (`troubles`)."""
        self._set_state("watching")
        try:
            report = await asyncio.shield(asyncio.to_thread(self._record, footage))
        except BaseException:
            self._set_state("stopped")
            raise
        self._set_state("ended")
        return report

    def stop(self) -> None:
        """End after the item at hand; the open clip is closed properly."""
        self._stop.set()

    def press(self) -> None:
        """The doorbell's button was pressed. From any thread."""
        if self._recorder is not None and self._state in ("watching", "recording"):
            self._recorder.press()
        else:
            self._clip = ""
            self.clip_shows(RING)

    def owners_changed(self) -> None:
        """Another owner set may be in force. From any thread."""
        if self._recorder is not None:
            self._recorder.owners_changed()

    def button_sticks(self, sticks: bool) -> None:
        """The doorbell's button has been down for long, or is up again. From any thread."""
        if sticks:
            self._trouble(_BUTTON, "it has been down for half a minute; free it, or look whether its wires touch")
        else:
            self._mended(_BUTTON)

    def _record(self, footage: Footage) -> RecorderReport:
        with contextlib.closing(connect(self._opened.state.database, cache_only=True)) as db:
            store = ClipStore(Ring(self._opened.state.ring), db, self._opened.device)
            ledger = Ledger(db)
            keeper = Keeper(store, ledger, self._limits, self._time.now)
            device = device_id(self._opened.device)

            def owners() -> tuple[OwnerSet, bytes]:
                token = owner_set_in_force(ledger)
                return identity.read_owner_set(token, device), statements.digest(token)

            recorder = self._recorder = Recorder(
                store, keeper, self._settings, owners, secrets.token_bytes, self, sight=self._sight,
                patience=random.random, reported=_REPORTED,
            )  # fmt: skip
            source = self._beating(footage.source(self._stop.is_set))
            try:
                return recorder.record(source, self._base(footage), self._stop.is_set)
            finally:
                self.heartbeat.rest()

    def _beating(self, source: Iterable[SourceItem]) -> Iterator[SourceItem]:
        """The same items, and between them a sign of life: whether it is the camera that is waited for, or the disk."""
        items = iter(source)
        while True:
            self.heartbeat.beat("the camera hands over nothing and says nothing")
            item = next(items, None)
            if item is None:
                return
            self.heartbeat.beat("the recorder does not get done with a picture; the disk does not answer")
            yield item

    def _base(self, footage: Footage) -> Callable[[], TimeBase]:
        if footage.base is None:
            return self._time.base
        fixed = footage.base()
        return lambda: fixed

    def _set_state(self, state: str) -> None:
        self._state = state
        self._bulletin.tell("status")

    def _tell(self, what: str) -> None:
        self._loop.call_soon_threadsafe(self._bulletin.tell, what)

    # What the recorder's thread reports (recorder.Watcher).

    def clip_began(self, row: ClipRow) -> None:
        self._state = "recording"
        self._clip = row.id
        log.info("clip %s begins", row.id)
        self._tell("clips")
        self.clip_shows(_MOTION)

    def clip_ended(self, row: ClipRow) -> None:
        self._state = "watching"
        log.info("clip %s: %d records, %d bytes", row.id, row.records, row.bytes)
        self._tell("clips")

    def clips_evicted(self, rows: list[ClipRow]) -> None:
        log.info("%d old clips made room", len(rows))
        self._tell("clips")

    def source_lost(self, reason: str) -> None:
        self._trouble(_CAMERA, reason)

    def source_is_back(self) -> None:
        self._mended(_CAMERA)

    def sound_missing(self, reason: str) -> None:
        if reason:
            self._trouble(_MICROPHONE, reason)
        else:
            self._mended(_MICROPHONE)

    def disk_failed(self, reason: str) -> None:
        self._state = "watching"
        self._trouble(_DISK, reason)
        log.error("recording pauses: %s", reason)
        self._note("recording-paused", {"reason": reason[:_REASON_LIMIT]})
        self._tell("clips")

    def disk_is_back(self, reason: str, paused_ns: int, lost_ns: int) -> None:
        self._mended(_DISK)
        seconds, lost = round(paused_ns / 1e9), round(lost_ns / 1e9)
        log.warning("recording goes on after %d seconds; %d seconds worth a clip were lost", seconds, lost)
        self._note("recording-resumed", {"reason": reason[:_REASON_LIMIT], "seconds": seconds, "lost": lost})
        self._tell("clips")

    def clip_shows(self, label: str) -> None:
        if label in self._notify:
            self._loop.call_soon_threadsafe(self._bulletin.tell_visit, self._clip, label)

    def moment(self, source_ns: int) -> None:
        self.moment_ns = source_ns

    def _trouble(self, part: str, text: str) -> None:
        with self._lock:
            known = self._troubles.get(part)
            if known is not None and known.text == text:
                return
            since = known.since if known else format_time(self._time.now())
            self._troubles[part] = Trouble(part, text, since)
        self._tell("status")

    def _mended(self, part: str) -> None:
        with self._lock:
            gone = self._troubles.pop(part, None)
        if gone is not None:
            self._tell("status")

    def _note(self, what: str, details: Details) -> None:
        self._loop.call_soon_threadsafe(self._put_down, what, details)

    def _put_down(self, what: str, details: Details) -> None:
        try:
            Ledger(self._opened.db).note(self._time.now(), what, details)
        except Unavailable as e:
            log.error("the log entry '%s' could not be kept: %s", what, e)
