"""`doorward models`: which detection models there are, and getting one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

from agent.adapters.download import download
from agent.cli.names import Group
from agent.cli.output import options, report
from agent.cli.tables import size
from agent.core.errors import BadInput
from agent.core.models import ModelEntry
from agent.detecting import known_models, named_model
from agent.store.models import ModelStore, identify

_PIECE_BYTES = 1 << 16


@click.group(cls=Group)
def models() -> None:
    """Models that tell people, vehicles and animals apart. Doorward works without any."""


@models.command("list")
@click.pass_context
def list_models(context: click.Context) -> None:
    """Show which models there are, and which are on this machine."""
    opts = options(context)
    store, used = ModelStore(opts.state), opts.config.detector.model
    rows = [
        {
            "name": model.name,
            "about": model.about,
            "bytes": model.bytes,
            "licence": model.licence,
            "sha256": model.sha256,
            "url": model.url,
            "here": store.there(model),
            "used": model.name == used,
        }
        for model in known_models()
    ]

    def human(console: Console) -> None:
        table = Table(box=None, pad_edge=False)
        for name in ("model", "size", "licence", "", "what it is"):
            table.add_column(name, overflow="fold")
        for model, row in zip(known_models(), rows, strict=True):
            marks = "here" if row["here"] else "not here"
            table.add_row(
                model.name, size(model.bytes), model.licence, f"{marks}, used" if row["used"] else marks, model.about
            )
        console.print(table)

    report(opts, rows, human)


@models.command()
@click.argument("name", required=False)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Take it from FILE, on a machine without a network.",
)
@click.pass_context
def fetch(context: click.Context, name: str | None, source: Path | None) -> None:
    """Download a model (the configured one), and keep it if it is the one that was expected."""
    opts = options(context)
    if source is not None:
        model = named_model(name) if name else identify(known_models(), source)
        pieces: Iterable[bytes] = _read(source)
    else:
        wanted = name or opts.config.detector.model
        if not wanted:
            raise BadInput("the settings name no detector model; name one of 'doorward models list'")
        model = named_model(wanted)
        pieces = download(model.url)
    path = _install(ModelStore(opts.state), model, pieces, str(source or model.url))
    used = model.name == opts.config.detector.model
    document = {"name": model.name, "file": str(path), "sha256": model.sha256, "bytes": model.bytes, "used": used}

    def human(console: Console) -> None:
        console.print(f"[green]✓[/] {model.name} is in {path}, its SHA-256 as expected.")
        if used:
            console.print("The doorbell uses it from its next start on.")
        else:
            console.print(f'To use it, set model = "{model.name}" in [detector] of the settings.', markup=False)

    report(opts, document, human)


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from iter(lambda: file.read(_PIECE_BYTES), b"")


def _install(store: ModelStore, model: ModelEntry, pieces: Iterable[bytes], source: str) -> Path:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as progress:
        task = progress.add_task(model.name, total=model.bytes)

        def counted() -> Iterator[bytes]:
            for piece in pieces:
                progress.advance(task, len(piece))
                yield piece

        return store.install(model, counted(), source)
