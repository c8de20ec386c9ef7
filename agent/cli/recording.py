"""`doorward replay`: record footage into the ring as if it had just been filmed."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from agent.adapters import clock
from agent.adapters.explain_film import ExplainFilm
from agent.adapters.replay import Pace, ReplaySource
from agent.cli.output import options, report
from agent.cli.stored import reading_progress
from agent.cli.tables import clip_table
from agent.config import camera_masks
from agent.core import identity, motion_explain, statements
from agent.core.encoding import format_time, parse_time
from agent.core.frame import LumaFrame
from agent.core.identity import OwnerSet
from agent.core.motion import Motion, MotionDetector
from agent.core.retention import Limits
from agent.core.timeline import TimeBase, Trust
from agent.detecting import detecting
from agent.disclosure.clip_summary import summary
from agent.onlooker import Sight
from agent.recorder import Explain, Recorder, RecorderReport, RecorderSettings, recorder_settings
from agent.setup import Opened, open_state
from agent.store.clips import ClipStore, owner_set_in_force
from agent.store.index import ClipRow
from agent.store.keeping import Keeper, ring_limits
from agent.store.ledger import Ledger
from agent.store.ring import Ring
from agent.store.state import StateDirectory, WriterLock, device_id

EXPLAIN_FILM = "explain.mp4"


class _Bar:
    """The recorder's watcher: moves the progress bar."""

    def __init__(self, progress: Progress, total_ns: int) -> None:
        self._progress = progress
        self._total_ns = total_ns
        self._clips = 0
        self._task = progress.add_task("recording", total=total_ns, clips=0)

    def clip_began(self, row: ClipRow) -> None:
        self._clips += 1

    def clip_ended(self, row: ClipRow) -> None:
        """The count went up when it began."""

    def clips_evicted(self, rows: list[ClipRow]) -> None:
        for row in rows:
            self._progress.console.print(f"clip {row.id} gave way: the ring is full", highlight=False)

    def clip_shows(self, label: str) -> None:
        """Sealed in the clip; whoever may see it opens the clip."""

    def disk_failed(self, reason: str) -> None:
        """A replay does not wait for a disk: it ends with the reason."""

    def disk_is_back(self, reason: str, paused_ns: int, lost_ns: int) -> None:
        """See `disk_failed`."""

    def source_lost(self, reason: str) -> None:
        """Files are there or the replay ends."""

    def source_is_back(self) -> None:
        """See `source_lost`."""

    def sound_missing(self, reason: str) -> None:
        """Files have sound or they have none."""

    def moment(self, source_ns: int) -> None:
        self._progress.update(self._task, completed=min(source_ns, self._total_ns), clips=self._clips)


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
@click.option("--start", metavar="TIME", help="The moment the first picture was filmed (RFC 3339, with its zone).")
@click.option("--realtime", is_flag=True, help="At the pace of life instead of as fast as the machine can.")
@click.option("--sound", is_flag=True, help="Record the files' sound, too, whatever audio.record says.")
@click.option(
    "--explain",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write a film there that shows, picture by picture, what counted as motion and why.",
)
@click.pass_context
def replay(
    context: click.Context,
    files: tuple[Path, ...],
    start: str | None,
    realtime: bool,
    sound: bool,
    explain: Path | None,
) -> None:
    """Record footage into the ring as if it were filmed at TIME (or had ended just now)."""
    opts = options(context)
    source = ReplaySource(
        files,
        pace=Pace() if realtime else None,
        sound=sound or opts.config.audio.record,
        masks=camera_masks(opts.config),
    )
    total_ns = sum(facts.duration_ns for facts in source.facts)
    start_ns = parse_time(start) if start else clock.utc_ns() - total_ns
    settings = recorder_settings(opts.config)
    state = StateDirectory(opts.state, create=True)
    with WriterLock(state, "replay"):
        opened = open_state(state, clock.utc_ns(), secrets.token_bytes, make_recovery=True)
        console = Console(stderr=True, highlight=False)
        if opened.recovery_code is not None:
            console.print(
                f"Recovery code, shown once and kept nowhere: [bold]{opened.recovery_code}[/]\n"
                "Write it down: without a paired phone nothing else opens these clips."
            )
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %  {task.fields[clips]} clips"),
            TimeRemainingColumn(),
        )
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.closing(opened.db))
            progress = stack.enter_context(Progress(*columns, console=console, transient=True))
            draw = stack.enter_context(_explaining(explain / EXPLAIN_FILM, settings)) if explain else None
            found = stack.enter_context(detecting(opts.config, opts.state, patient=not realtime))
            base, bar = TimeBase(0, start_ns, Trust.REPLAYED), _Bar(progress, total_ns)
            recorded = _record(opened, source, settings, ring_limits(opts.config), base, bar, draw, found.sight)
    if explain is not None:
        console.print(f"Why it was motion or not: {explain / EXPLAIN_FILM}")
    _report(context, recorded, opened.recovery_code)


@contextlib.contextmanager
def _explaining(path: Path, settings: RecorderSettings) -> Iterator[Explain]:
    """What the recorder is to show each frame to, so that `path` becomes the explain film."""
    with ExplainFilm(path) as film:

        def show(frame: LumaFrame, motion: Motion, detector: MotionDetector) -> None:
            film.add(motion_explain.draw(frame, motion, detector, settings.motion.zones), frame.time_ns)

        yield show


def _record(
    opened: Opened,
    source: ReplaySource,
    settings: RecorderSettings,
    limits: Limits,
    base: TimeBase,
    bar: _Bar,
    explain: Explain | None,
    sight: Sight | None,
) -> RecorderReport:
    ledger = Ledger(opened.db)
    store = ClipStore(Ring(opened.state.ring), opened.db, opened.device)
    with reading_progress() as progress:
        store.recover(progress)
    token = owner_set_in_force(ledger)
    owners = identity.read_owner_set(token, device_id(opened.device))

    def in_force() -> tuple[OwnerSet, bytes]:
        return owners, statements.digest(token)

    keeper = Keeper(store, ledger, limits, clock.utc_ns)
    recorder = Recorder(store, keeper, settings, in_force, secrets.token_bytes, bar, explain, sight)
    return recorder.record(source, lambda: base, lambda: False)


def _report(context: click.Context, recorded: RecorderReport, recovery_code: str | None) -> None:
    rows = [
        {
            "id": clip.row.id,
            "start": clip.start_ns / 1e9,
            "end": clip.end_ns / 1e9,
            "motion_start": clip.motion_start_ns / 1e9,
            "motion_end": clip.motion_end_ns / 1e9,
            "utc_start": format_time(clip.row.start_ns),
        }
        for clip in recorded.clips
    ]
    gaps = [{"start": gap.start_ns / 1e9, "end": gap.end_ns / 1e9, "reason": gap.reason} for gap in recorded.gaps]
    document: dict[str, object] = {
        "clips": rows,
        "frames": recorded.packets,
        "gaps": gaps,
        "seconds": recorded.end_ns / 1e9,
    }
    if recovery_code is not None:
        document["recovery_code"] = recovery_code

    def human(console: Console) -> None:
        summaries = [summary(clip.row) for clip in recorded.clips]
        console.print(clip_table(summaries) if summaries else "Nothing moved: no clip was recorded.")
        for gap in recorded.gaps:
            console.print(f"no video from {gap.start_ns / 1e9:.1f} s to {gap.end_ns / 1e9:.1f} s: {gap.reason}")

    report(options(context), document, human)
