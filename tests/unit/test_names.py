"""An id may begin with a dash; on a command line it is still no option: as an argument or an option's value, of any
command there is."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from agent.cli.commands import doorward

IDS = [
    "-cJXxEEPMfkihX1lGXDjoA",
    "--JXxEEPMfkihX1lGXDjoA",
    "acJXxEEPMfkihX1lGXDjoA",
    "-4FxfXCx",
]  # whole, or as tables show them


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that is no group, with the words that lead to it."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from leaves(found, (*path, name))


def words(command: click.Command, kind: type[click.Parameter]) -> list[click.Parameter]:
    """Its parameters of a kind that take any text, and so may take an id."""
    return [
        p
        for p in command.params
        if isinstance(p, kind) and isinstance(p.type, click.types.StringParamType) and not getattr(p, "is_flag", False)
    ]


def needed(command: click.Command) -> list[str]:
    """What it must be given besides arguments."""
    values = {"FILE": "/tmp/nobody.json", "URL": "mqtt://127.0.0.1:1"}
    found: list[str] = []
    for option in command.params:
        if isinstance(option, click.Option) and option.required:
            found += [option.opts[0], values.get(option.metavar or "", "word")]
    return found


COMMANDS = {" ".join(path): command for path, command in leaves(doorward)}
TAKING_WORDS = [name for name, command in COMMANDS.items() if words(command, click.Argument)]
OPTIONS = [(name, p.opts[0]) for name, command in COMMANDS.items() for p in words(command, click.Option)]


def test_the_commands_that_take_ids_are_among_those_tried() -> None:
    shared = {"show", "share", "decline", "undo", "stop", "hold", "resume"} | {"export", "poster", "delete"}
    assert {f"owner {name}" for name in shared | {"block", "unblock", "remove"}} <= set(TAKING_WORDS)
    assert "requester withdraw" in TAKING_WORDS
    assert {("owner share", "--clip"), ("requester ask", "--replaces"), ("directory show", "--key")} <= set(OPTIONS)


@pytest.mark.parametrize("an_id", IDS)
@pytest.mark.parametrize("order", ["first", "last"])
@pytest.mark.parametrize("name", TAKING_WORDS)
def test_an_id_is_an_argument_before_and_after_the_options(name: str, order: str, an_id: str) -> None:
    command = COMMANDS[name]
    arguments = [f"{an_id[:-1]}{n}" for n, _ in enumerate(words(command, click.Argument))]
    given = [*arguments, *needed(command)] if order == "first" else [*needed(command), *arguments]
    context = command.make_context(name, given)
    assert [context.params[str(p.name)] for p in words(command, click.Argument)] == arguments


@pytest.mark.parametrize("an_id", IDS)
@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_an_id_is_an_options_value(name: str, option: str, an_id: str) -> None:
    command = COMMANDS[name]
    (parameter,) = (p for p in command.params if option in p.opts)
    texts = words(command, click.Argument)
    arguments = [an_id if p in texts else "/tmp/file" for p in command.params if isinstance(p, click.Argument)]
    context = command.make_context(name, [*arguments, *needed(command), option, an_id], resilient_parsing=True)
    value = context.params[str(parameter.name)]
    assert an_id in (value if parameter.multiple else [value])  # type: ignore[attr-defined]


def test_a_value_may_still_stick_to_its_option() -> None:
    command = COMMANDS["owner export"]
    context = command.make_context("export", [*needed(command), "-ofrontdoor", "-4FxfXCx"])
    assert (str(context.params["output"]), context.params["clip"]) == ("frontdoor", "-4FxfXCx")


@pytest.mark.parametrize("before", [[], ["--"]])
def test_what_is_neither_an_id_nor_an_option_is_still_told(before: list[str]) -> None:
    arguments = ["owner", "block", "--identity", "/tmp/nobody.json", *before, IDS[0], "--no-such-option"]
    done = CliRunner().invoke(doorward, arguments)
    assert done.exit_code == 2
    assert ("unexpected extra argument" if before else "No such option") in done.output


@pytest.mark.parametrize("an_id", IDS)
def test_the_whole_command_line_reaches_its_command(an_id: str, tmp_path: object) -> None:
    done = CliRunner().invoke(doorward, ["owner", "block", an_id, "--identity", f"{tmp_path}/nobody.json"])
    assert "nobody.json cannot be read" in str(done.exception or "") + done.output
