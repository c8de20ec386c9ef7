"""`doorward doctor`: the examination of a doorbell, as a page with ✓ and ✗."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.adapters import vitals
from agent.cli.output import DEFAULT_CONFIG, DEFAULT_STATE, Options, leave_log_to_answer, options, report
from agent.core.errors import BadInput
from agent.core.health import Finding, Verdict, bad
from agent.examining import examine

_MARKS = {Verdict.OK: "[green]✓[/]", Verdict.BAD: "[red]✗[/]", Verdict.OFF: "[dim]–[/]"}


@click.command()
@click.pass_context
def doctor(context: click.Context) -> None:
    """Try everything the doorbell needs, and say what to do where something fails."""
    opts = options(context)
    leave_log_to_answer(context)
    file, state = opts.config_path or DEFAULT_CONFIG, opts.state
    try:
        config = opts.config
    except BadInput as error:
        findings = [bad("settings", str(error), f"sudo nano {file}")]
    else:
        unit = vitals.service() if state == DEFAULT_STATE else None
        with opts.console.status("Trying everything the doorbell needs …"):
            findings = list(examine(config, file, state, unit))
    findings = [replace(found, do=found.do.replace("sudo doorward ", _command(opts))) for found in findings]
    fine = all(finding.verdict is not Verdict.BAD for finding in findings)
    checks = [
        {"check": found.check, "verdict": found.verdict.value, "text": found.text, "do": found.do} for found in findings
    ]
    report(opts, {"ok": fine, "checks": checks}, lambda console: _show(console, findings))
    if not fine:
        sys.exit(1)


def _command(opts: Options) -> str:
    """How a command is given for the doorbell that was looked at."""
    if opts.config_path is None and opts.state == DEFAULT_STATE:
        return "sudo doorward "
    named = f"--config {shlex.quote(str(opts.config_path))} " if opts.config_path else ""
    return f"doorward {named}--state {shlex.quote(str(opts.state))} "


def _show(console: Console, findings: list[Finding]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for found in findings:
        do = f"\n[bold]→ {escape(found.do)}[/]" if found.do else ""
        table.add_row(_MARKS[found.verdict], found.check, escape(found.text) + do)
    console.print(table)
