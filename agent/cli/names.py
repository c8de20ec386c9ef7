"""Commands that take ids: base64url may begin with a dash, and an id is no option then, wherever it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

_ID = re.compile(r"-[A-Za-z0-9_-]{21}")  # 16 bytes, docs/spec/conventions.md
_SHOWN = re.compile(r"-[A-Za-z0-9_][A-Za-z0-9_-]{6,19}")  # at least the eight that tables show of it


class Command(click.Command):
    """Takes what looks like an id, or like its beginning, and is none of its options for an argument."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Arguments go behind `--`, in their order, where nothing is an option."""
        if any(_ID.fullmatch(arg) or _SHOWN.fullmatch(arg) for arg in args):
            options, arguments = self._sorted(args)
            args = [*options, "--", *arguments]
        return super().parse_args(ctx, args)

    def get_short_help_str(self, limit: int = 45) -> str:
        """Its first sentence to the end, over two lines where it has to."""
        return super().get_short_help_str(limit=1000)

    def _sorted(self, args: list[str]) -> tuple[list[str], list[str]]:
        known = {name: option for option in self.params if isinstance(option, click.Option) for name in option.opts}
        options: list[str] = []
        arguments: list[str] = []
        left: Iterator[str] = iter(args)
        for arg in left:
            option = known.get(arg)
            if arg == "--":
                arguments += left
            elif option is not None:
                options.append(arg)
                if not option.is_flag and (value := next(left, None)) is not None:
                    options.append(value)
            elif arg == "-" or not arg.startswith("-"):
                arguments.append(arg)
            else:
                an_id = _ID.fullmatch(arg) or (_SHOWN.fullmatch(arg) and arg[:2] not in known)
                (arguments if an_id else options).append(arg)
        return options, arguments


class Group(click.Group):
    """A group of such commands."""

    command_class = Command
