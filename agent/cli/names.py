"""Commands whose argument is a key's id: base64url may begin with a dash, and is no option then."""

from __future__ import annotations

import re

import click

_KEY_ID = re.compile(r"-[A-Za-z0-9_-]{21}")


class NamesAKey(click.Command):
    """Takes its one argument for what it is, also where it begins with a dash."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The dashed ids go behind `--`, where nothing is an option."""
        named = [arg for arg in args if _KEY_ID.fullmatch(arg)]
        return super().parse_args(ctx, [*(arg for arg in args if arg not in named), *(["--", *named] if named else [])])
