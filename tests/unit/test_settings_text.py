"""Changing one value in a settings file changes that value and nothing else, whatever else stands there and how."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.core.errors import BadInput
from agent.core.settings_text import Key, Value, with_values
from agent.settings_file import shipped

WORDS = st.from_regex(r"[a-z][a-z0-9_]{0,7}", fullmatch=True)
COMMENTS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f"), max_size=20)
LITERALS = st.sampled_from(
    ['"x # no comment"', "'it\\'", "17", "-0.5", "true", "[[0.0, 1.0],[0.5,0.5]]", "{ a = 1, b = 'c' }", '"""a"""',
     "[\n  1, # one\n  2,\n]"]
)  # fmt: skip
VALUES: st.SearchStrategy[Value] = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)


@st.composite
def files(draw: st.DrawFn) -> str:
    """Sections, each once, with values and comments in every place; in both kinds of line ends."""
    lines = []
    for section in draw(st.lists(WORDS, unique=True, max_size=4)):
        lines.append(f"[{section}]" + draw(st.sampled_from(["", "  # the section"])))
        for name in draw(st.lists(WORDS, unique=True, max_size=4)):
            before = draw(st.sampled_from(["", "  ", "\t"]))
            if draw(st.booleans()):
                lines.append(f"{before}# {draw(COMMENTS)}")
            behind = draw(st.sampled_from(["", " # why"]))
            lines.append(f"{before}{name}{draw(st.sampled_from([' = ', '=', '   =  ']))}{draw(LITERALS)}{behind}")
        lines += draw(st.lists(st.sampled_from(["", "# alone"]), max_size=2))
    text = "\n".join(lines) + draw(st.sampled_from(["", "\n"]))
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


def expected(text: str, key: Key, value: Value) -> dict[str, Any]:
    whole = tomllib.loads(text)
    whole.setdefault(key[0], {})[key[1]] = value
    return whole


def comments(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().startswith("#")]


@given(files(), WORDS, WORDS, VALUES, st.data())
@example("[a]\nb = 1\n\n# of c\n[c]\n", "a", "new", 2.5, None)
@example("", "a", "b", "\x00\x7f\"'\\", None)
def test_only_what_is_set_changes(text: str, section: str, name: str, value: Value, data: Any) -> None:
    there = [(s, n) for s, values in tomllib.loads(text).items() for n in values]
    if there and data is not None and data.draw(st.booleans()):
        section, name = data.draw(st.sampled_from(there))
    changed = with_values(text, {(section, name): value})
    assert tomllib.loads(changed) == expected(text, (section, name), value)
    assert comments(changed) == comments(text)


@pytest.mark.parametrize("key", [(s, n) for s, values in tomllib.loads(shipped()).items() for n in values])
def test_in_the_shipped_file_one_line_changes(key: Key) -> None:
    before = shipped().splitlines()
    after = with_values(shipped(), {key: "new"}).splitlines()
    assert len(after) == len(before)
    assert [line for old, line in zip(before, after, strict=True) if old != line] == [f'{key[1]} = "new"']


def test_a_comment_behind_the_value_stays() -> None:
    text = '[camera]\nurl = ""  # mine\nfps = 15\n'
    assert with_values(text, {("camera", "url"): "usb"}) == '[camera]\nurl = "usb"  # mine\nfps = 15\n'


@given(st.text(max_size=60), VALUES)
@example("a = 1", 1)
@example("[[a]]\nb = 1", 1)
@example("a.b.c = 1", 1)
@example("[a.b]\nc = 1\n[x]\n[a.d]\n", 1)
def test_any_text_is_changed_rightly_or_refused(text: str, value: Value) -> None:
    try:
        changed = with_values(text, {("a", "b"): value})
    except BadInput:
        return
    assert tomllib.loads(changed) == expected(text, ("a", "b"), value)
