"""`doorward bench`: what recording costs this machine, as a page with bars, and whether it keeps up."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.progress_bar import ProgressBar
from rich.table import Table

from agent.adapters.sample_film import Paint
from agent.cli.output import leave_log_to_answer, options, report
from agent.core import load
from agent.core.load import Camera, Judgement, Step, Verdict, percent
from agent.demo.scene import Scene
from agent.keeping_up import Measured, Told, beside, measure

_NICENESS = 10
_BAR = 28
_CAMERAS = {
    Camera.PI: "The Pi's own camera",
    Camera.USB: "A USB camera",
    Camera.NETWORK: "A network camera",
    Camera.FILES: "The film in the settings",
}
_COLOURS = {Verdict.WELL: "green", Verdict.BARELY: "yellow", Verdict.NO: "red"}
_FIRST_PICTURE = 200  # of the doorstep: a visitor is on the way


@click.command()
@click.pass_context
def bench(context: click.Context) -> None:
    """Measure what recording takes here: every stage the settings need, as a share of real time.

    Needs no camera, touches no recording, and may run beside the doorbell. Takes some seconds, on a small Pi a minute.
    """
    opts = options(context)
    leave_log_to_answer(context)
    config, state = opts.config, opts.state_path
    if beside(state) is not None:
        os.nice(_NICENESS)  # the doorbell comes first
    with _progress(Console(stderr=True, highlight=False)) as told:
        measured = measure(config, state, _doorstep, told)
    judgement = load.judge(measured.stages, measured.cores)
    do = load.advice(judgement, measured.stages, measured.video)
    report(opts, _document(measured, judgement, do), lambda console: _show(console, measured, judgement, do))
    if judgement.verdict is Verdict.NO:
        sys.exit(1)


def _doorstep() -> Paint:
    scene = Scene()
    return lambda number: scene.planes(_FIRST_PICTURE + number)


@contextmanager
def _progress(console: Console) -> Iterator[Told]:
    """A bar that moves only when it is told to: one that moved by itself would be in the figures."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as bar:
        task = bar.add_task("", total=1.0)

        def told(what: str, share: float) -> None:
            bar.update(task, description=what, completed=share, refresh=True)

        yield told


def _document(measured: Measured, judgement: Judgement, do: str) -> dict[str, object]:
    video, took = measured.video, measured.writes.seconds
    return {
        "ok": judgement.verdict is not Verdict.NO,
        "verdict": judgement.verdict.value,
        "text": load.sentence(judgement),
        "do": do,
        "camera": video.camera.value,
        "width": video.width,
        "height": video.height,
        "fps": video.fps,
        "kbps": video.kbps,
        "cores": measured.cores,
        "fullest": judgement.fullest,
        "stages": [
            {"stage": stage.step.value, "part": stage.lane.value, "core": stage.core, "time": stage.time}
            for stage in measured.stages
        ],
        "core": sum(stage.core for stage in measured.stages),
        "write": {"folder": str(measured.writes.folder), "median_s": statistics.median(took), "slowest_s": max(took)},
        "notes": list(measured.notes),
    }


def _show(console: Console, measured: Measured, judgement: Judgement, do: str) -> None:
    video, took = measured.video, measured.writes.seconds
    size = f"{video.width}×{video.height}, {video.fps:.0f} pictures a second, {video.kbps} kbit/s"
    console.print(f"{_CAMERAS[video.camera]}: {size}")
    console.print("While something moves, each second of video takes of one core:\n")
    table = Table.grid(padding=(0, 2))
    for stage in measured.stages:
        cost = stage.time if stage.step is Step.WRITING else stage.core
        table.add_row(stage.step.value, _bar(cost), percent(cost).rjust(7))
    together = sum(stage.core for stage in measured.stages)
    cores = "" if measured.cores == 1 else f"of {measured.cores * 100} %"
    table.add_row("", "", "")
    table.add_row("[bold]all together[/]", _bar(together / measured.cores), percent(together).rjust(7), cores)
    console.print(table)
    console.print(
        f"\nA second of video is safe on the disk after {_ms(statistics.median(took))}, at worst {_ms(max(took))}."
    )
    notes = Table.grid(padding=(0, 1))
    for note in measured.notes:
        notes.add_row("–", escape(note), style="dim")
    console.print(notes)
    console.print(f"\n[bold {_COLOURS[judgement.verdict]}]{escape(load.sentence(judgement))}[/]")
    if do:
        console.print(f"[bold]→ {escape(do)}[/]")


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.1f} ms"


def _bar(share: float) -> ProgressBar:
    return ProgressBar(total=1.0, completed=min(1.0, share), width=_BAR, complete_style="cyan", finished_style="red")
