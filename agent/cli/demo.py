"""`doorward demo`: everything on one machine, and what a person sees of it in the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from agent.cli.doorbell import until_signalled
from agent.cli.output import options, report
from agent.cli.tables import clip_table, counted, local_time, size
from agent.core.encoding import format_time
from agent.core.errors import Unavailable
from agent.core.owner_api import RequestRow
from agent.core.timeline import Span
from agent.demo.scene import cached_scene
from agent.demo.show import Demo, Outcome, Plan
from agent.disclosure.clip_summary import summary
from agent.recorder import RecorderReport
from agent.requester.receiving import Progress as Received
from agent.requester.receiving import Stage as ReceivedStage

_PORT = 8080
_WORDS = {
    "asked": "waiting for the owner's answer",
    "agreed": "[green]yes[/]; nothing has left the home, it can be taken back",
    "held": "held: nothing leaves until the owner resumes",
    "sending": "sending: the requester may fetch the agreed seconds, no others",
    "declined": "[yellow]no[/]; nothing was sent, and the requester hears nothing",
    "stopped": "[yellow]stopped[/] by the owner",
    "expired": "nobody answered in time: nothing was sent",
    "lapsed": "agreed, but never fetched",
    "delivered": "[green]delivered[/]: the requester signed for it",
}


class Terminal:
    """Shows the demo's steps as they happen (demo.show.Stage)."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = 0
        self._state = ""
        self._bar: Progress | None = None

    def _say(self, text: str) -> None:
        self._step += 1
        self._console.print(f"[bold cyan]{self._step:>2}[/] {text}")

    def started(self, page: str, broker: str) -> None:
        self._say(f"The doorbell is up. Owner's page: [bold]{page}[/]\n   Requests come through {broker}")

    def invite(self, link: str) -> None:
        self._say("Open this link in a browser on this machine to become the owner:")
        self._console.print(f"\n   [bold underline]{link}[/]\n", soft_wrap=True)

    def paired(self) -> None:
        self._say("An owner is paired. Clips are sealed to keys the doorbell does not have.")

    @contextlib.asynccontextmanager
    async def recording(self, total_ns: int, moment: Callable[[], int]) -> AsyncIterator[None]:
        columns = (TextColumn("   recording"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        with Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task("", total=total_ns)

            async def follow() -> None:
                while True:
                    bar.update(task, completed=min(moment(), total_ns))
                    await asyncio.sleep(0.1)

            follower = asyncio.create_task(follow())
            try:
                yield
            finally:
                follower.cancel()

    def recorded(self, report: RecorderReport) -> None:
        self._say(
            f"{report.end_ns / 1e9:.0f} s of footage, {counted(len(report.clips), 'clip')} where something moved:"
        )
        if report.clips:
            self._console.print(clip_table([summary(clip.row) for clip in report.clips]))

    def asked(self, agency: str, span: Span) -> None:
        start, end = local_time(format_time(span.start_ns)), local_time(format_time(span.end_ns))[11:]
        self._say(f"{escape(agency)} asks the homes around here\n   for {start} to {end}.")

    def prompted(self, page: str, *, by_person: bool) -> None:
        self._say("It concerns this home, so the owner is asked. The requester hears nothing.")
        if by_person:
            self._console.print("   Answer it on the page, or do not: that is an answer too.")

    def changed(self, row: RequestRow) -> None:
        if row.state != self._state:
            self._state = row.state
            until = f" until {local_time(row.undo_until)[11:]}" if row.undo_until else ""
            if row.state != "asked":
                self._close_bar()
                self._say(_WORDS[row.state] + until)

    def received(self, progress: Received) -> None:
        if progress.stage is ReceivedStage.RECEIVING and progress.total_bytes:
            if self._bar is None:
                columns = (TextColumn("   fetching"), BarColumn(), DownloadColumn())
                self._bar = Progress(*columns, console=self._console, transient=True)
                self._bar.start()
                self._bar.add_task("", total=progress.total_bytes)
            self._bar.update(self._bar.task_ids[0], completed=progress.received_bytes)
            return
        if progress.stage is ReceivedStage.VERIFIED:
            self._close_bar()
            self._say(f"Requester: {size(progress.total_bytes)} received, every signature and record verified")
        elif progress.stage is ReceivedStage.FAILED:
            self._close_bar()
            self._say(f"[red]Requester: verification failed[/]: {escape(str(progress.failed))}")

    def finished(self, outcome: Outcome, *, stays: bool) -> None:
        if outcome.folder is not None:
            lines = [*map(str, films_in(outcome)), str(outcome.folder / "report.html")]
            self._console.print("\n   [bold]Evidence: films and report[/]")
            for line in lines:
                self._console.print(f"   {escape(line)}", soft_wrap=True)  # whole, to copy or to click
        if stays:
            self._say("That was all. The page stays up to look around; Ctrl-C ends the demo.")

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


@click.command()
@click.option(
    "--footage", type=click.Path(path_type=Path), metavar="FILE", help="Film to replay instead of a drawn one."
)
@click.option("--yes", "answers", is_flag=True, help="A paired owner identity answers instead of a person.")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Keep everything in DIR.")
@click.option("--port", type=click.IntRange(0, 65535), help=f"Port of the owner's page ({_PORT}; any free with --yes).")
@click.option("--broker", "broker_url", metavar="URL", help="Use this MQTT broker instead of the embedded one.")
@click.pass_context
def demo(
    context: click.Context,
    footage: Path | None,
    answers: bool,
    keep: Path | None,
    port: int | None,
    broker_url: str | None,
) -> None:
    """Everything on one machine: doorbell, broker, owner's page, requester; a real request and a real answer."""
    opts = options(context)
    console = opts.console
    with contextlib.ExitStack() as stack:
        directory = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="doorward-demo-")))
        evidence = (keep or Path.cwd()) / "evidence"
        _make(directory)
        _make(evidence)  # before the story: at its end it would be too late to say so
        if footage is None:
            with console.status("Drawing the doorstep scene (only the first time) …"):
                footage = demo_film(directory)
        plan = Plan(
            directory, evidence, footage, answers, port if port is not None else 0 if answers else _PORT, broker_url
        )
        outcome = asyncio.run(_play(plan, console))
    if outcome is None:
        console.print("Stopped before there was an answer. Nothing was sent.")
        stopped: dict[str, object] = {"state": None, "clips": 0, "verified": False, "evidence": None, "films": []}
        report(opts, stopped, lambda _: None)
        context.exit(1 if answers else 0)
    document = {
        "state": outcome.state,
        "clips": outcome.clips,
        "verified": outcome.verified,
        "evidence": str(outcome.folder) if outcome.folder else None,
        "films": [str(film) for film in films_in(outcome)],
    }
    report(opts, document, lambda _: None)  # people have seen it all by now
    if answers and not outcome.verified:
        context.exit(1)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise Unavailable(f"{folder} cannot be made: {e.strerror}; name another folder with --keep") from e
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Unavailable(f"{folder} cannot be written to; name another folder with --keep")


def films_in(outcome: Outcome) -> list[Path]:
    """The films of the evidence, if there was a yes."""
    return sorted(outcome.folder.glob("clip-*.mp4")) if outcome.folder else []


async def _play(plan: Plan, console: Console) -> Outcome | None:
    stopped = asyncio.Event()
    with until_signalled(stopped):
        return await Demo(plan, Terminal(console), stopped).run()


def demo_film(directory: Path) -> Path:
    """The drawn film, kept in the home directory; in `directory` where that is not to be written to."""
    try:
        return cached_scene(_cache())
    except (OSError, RuntimeError):  # RuntimeError: this user has no home
        return cached_scene(directory)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "doorward"
