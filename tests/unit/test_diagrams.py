"""The drawn state diagrams are those of the tables the code runs on."""

from __future__ import annotations

import subprocess
import sys

from agent.core.consent import TRANSITIONS
from tests.conftest import ROOT


def test_the_diagrams_are_current() -> None:
    ran = subprocess.run(
        [sys.executable, ROOT / "scripts" / "diagrams", "--check"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_transition_of_consent_is_drawn_and_nothing_else() -> None:
    text = (ROOT / "docs" / "state-diagrams.md").read_text().split("## A transfer")[0]
    drawn = {}
    for line in text.splitlines():
        state, arrow, rest = line.strip().partition(" --> ")
        follows, colon, events = rest.partition(": ")
        if arrow and colon:
            drawn |= {(state, event): follows for event in events.split(", ")}
    assert drawn == {(a.name, e.value): b.name for a, row in TRANSITIONS.items() for e, b in row.items()}
