"""Asking a person at a terminal: one question at a time, Enter for what is proposed, in at most 80 columns.

Knows nothing of what is asked. An answer that cannot be used is explained and asked for again; an end of input or
Ctrl-C is the person's way of leaving.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Final, TypeVar

import click
from rich.console import Console
from rich.text import Text

from agent.core.errors import BadInput
from agent.core.health import Finding, Verdict

T = TypeVar("T")

_MOST: Final = 2048
_YES: Final = {"y", "yes"}
_NO: Final = {"n", "no"}
MARKS: Final = {Verdict.OK: ("✓", "green"), Verdict.BAD: ("✗", "red"), Verdict.OFF: ("–", "dim")}


class Person:
    """Who sits at the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  # it makes `input` know arrow keys

    def tell(self, text: str, style: str = "") -> None:
        """A paragraph. Words of others stay words: nothing in them is markup."""
        self._console.print(Text(text, style), soft_wrap=False)

    def show(self, text: str) -> None:
        """What is to be copied: in one piece, however long."""
        self._console.print(Text(text, "bold"), soft_wrap=True)

    def heading(self, text: str) -> None:
        """What the next question is about."""
        self._console.print()
        self._console.print(Text(text, "bold"))

    def tell_finding(self, found: Finding) -> None:
        """How a try went, and what to do."""
        mark, style = MARKS[found.verdict]
        self._console.print(Text.assemble((mark, style), f" {found.text}"))
        if found.do:
            self._console.print(Text(f"→ {found.do}", "bold"))

    def waiting(self, text: str) -> contextlib.AbstractContextManager[object]:
        """While entered, the text is there and moves."""
        return self._console.status(Text(text))

    def ask(self, proposed: str, read: Callable[[str], T]) -> T:
        """`read` of the answer, "" for Enter; BadInput from `read` is told and asked again. Abort where they leave."""
        while True:
            self._console.print(Text.assemble("Enter: ", (proposed, "bold")), soft_wrap=True)
            try:
                answer = self._line()
                if len(answer) > _MOST:
                    raise BadInput(f"that is longer than {_MOST} letters")
                return read(answer)
            except BadInput as error:
                self.tell(f"{error}", "red")

    def agrees(self, proposed: bool) -> bool:
        """Yes or no."""

        def read(answer: str) -> bool:
            said = answer.lower()
            if said in _YES | _NO | {""}:
                return said in _YES if said else proposed
            raise BadInput("answer yes or no")

        return self.ask("yes" if proposed else "no", read)

    def _line(self) -> str:
        try:
            if self._console.stderr or not sys.stdout.isatty():
                self._console.print("> ", end="")
                return input().strip()
            return input("> ").strip()
        except (EOFError, KeyboardInterrupt) as left:
            self._console.print()
            raise click.Abort from left
        except UnicodeDecodeError as error:
            raise BadInput("the terminal sent letters that are no UTF-8") from error
