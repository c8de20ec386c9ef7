"""The doorbell's judgement of a request: the vectors, and that nothing at all makes it do anything but judge."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core import statements
from agent.core.area import Circle
from agent.core.encoding import parse_time
from agent.core.errors import BadInput, Refused
from agent.core.identity import read_requester_statement
from agent.core.request import Circumstances, FootageRequest, judge, sign_request
from agent.core.settings import DeclineRules
from agent.core.statements import Kind
from agent.core.withdrawal import judge_withdrawal

VECTORS = Path(__file__).parents[1] / "vectors"
FILES = sorted((VECTORS / "request").glob("*.json"))
POLICE = Ed25519PrivateKey.from_private_bytes(b"p" * 32)


def circumstances(vector: dict[str, Any]) -> Circumstances:
    pinned = [read_requester_statement(s.encode()) for s in vector["pinned"]]
    return Circumstances(
        now_ns=parse_time(vector["now"]),
        home=tuple(vector["home"]),
        pinned={p.id: p for p in pinned},
        blocked=frozenset(vector["blocked"]),
        paused=vector["paused"],
        decline=msgspec.convert(vector["decline"], DeclineRules),
        asker_of=vector["asked_by"].get,
        seen=lambda request: request in vector["seen"],
        taken_back=lambda request_hash, kid: [request_hash, kid] in vector["taken_back"],
        asked_for_case=lambda requester, case: vector["asked_for_case"],
        asked_since=lambda requester, since_ns: vector["asked_this_week"],
        clips=lambda span: vector["clips"],
    )


def good() -> dict[str, Any]:
    return json.loads((VECTORS / "request" / "polygon.json").read_text())


def good_request() -> FootageRequest:
    return statements.unverified(Kind.REQUEST, good()["statement"].encode(), FootageRequest)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_each_vector_has_the_outcome_it_names(file: Path) -> None:
    vector = json.loads(file.read_text())
    token = vector["statement"].encode()
    if vector["outcome"] == "accepted":
        judged = judge(token, circumstances(vector))
        assert judged.hash == statements.digest(token)
        assert judged.clips == ("clip",)
        assert judged.declined_by is None
        return
    if vector["outcome"].startswith("declined: "):
        assert judge(token, circumstances(vector)).declined_by == vector["outcome"].removeprefix("declined: ")
        return
    with pytest.raises(Refused) as refused:
        judge(token, circumstances(vector))
    assert refused.value.reason == vector["outcome"], str(refused.value)
    assert "\n" not in str(refused.value)


def test_every_refusal_of_the_page_has_a_vector() -> None:
    page = (VECTORS.parents[1] / "docs" / "spec" / "request.md").read_text()
    rows = [line.split("|")[1] for line in page.split("| refusal | rule |")[1].splitlines() if line.startswith("| `")]
    named = {name.strip(" `") for row in rows for name in row.split(",")}
    assert len(named) >= 16
    outcomes = {json.loads(f.read_text())["outcome"] for f in FILES} - {"accepted"}
    assert named == {name for name in outcomes if not name.startswith("declined: ")}


@pytest.mark.parametrize("file", sorted((VECTORS / "withdrawal").glob("*.json")), ids=lambda f: f.stem)
def test_each_withdrawal_vector_has_the_outcome_it_names(file: Path) -> None:
    vector = json.loads(file.read_text())
    token = vector["statement"].encode()
    have_asked = {said.id: said for said in (read_requester_statement(s.encode()) for s in vector["have_asked"])}
    if vector["outcome"] == "accepted":
        said = judge_withdrawal(token, have_asked.get, vector["asked_by"].get)
        assert vector["asked_by"][said.request] == said.requester
        return
    with pytest.raises(Refused) as refused:
        judge_withdrawal(token, have_asked.get, vector["asked_by"].get)
    assert refused.value.reason == vector["outcome"], str(refused.value)


def test_every_refusal_of_a_withdrawal_has_a_vector() -> None:
    page = (VECTORS.parents[1] / "docs" / "spec" / "request.md").read_text()
    text = page.split("## Withdrawal")[1].split("## ")[0]
    named = set(re.findall(r"^\| `([a-z-]+)` \|", text.split("| refusal |")[1], re.M))
    outcomes = {json.loads(f.read_text())["outcome"] for f in (VECTORS / "withdrawal").glob("*.json")}
    # What is over is for the table of consent to refuse, and tried in tests/unit/test_intake.py.
    assert named - {"not-asked"} == outcomes - {"accepted"}


def test_what_is_looked_up_is_what_the_request_names() -> None:
    asked: list[Any] = []
    vector = good()
    known = replace(
        circumstances(vector),
        asked_for_case=lambda requester, case: asked.append((requester, case)) or 0,
        asked_since=lambda requester, since_ns: asked.append((requester, since_ns)) or 0,
        clips=lambda span: asked.append(str(span)) or ["a", "b"],
    )
    judged = judge(vector["statement"].encode(), known)
    kid = judged.requester.id
    assert asked == [
        (kid, "26-04711"),
        (kid, parse_time("2026-11-16T18:00:00Z")),
        "2026-11-23T14:00:00Z to 2026-11-23T15:00:00Z",
    ]
    assert judged.clips == ("a", "b")


@given(st.binary(max_size=400))
@settings(max_examples=200)
def test_any_bytes_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(Refused):
        judge(data, circumstances(good()))


@given(
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
@settings(max_examples=200)
def test_any_signed_json_is_refused_as_malformed(value: Any) -> None:
    fields = msgspec.to_builtins(good_request())
    value = fields | (value if isinstance(value, dict) else {"area": value})
    if value == fields:
        return
    token = statements.sign(Kind.REQUEST, value, POLICE)
    with pytest.raises(Refused) as refused:
        judge(token, circumstances(good()))
    assert refused.value.reason == "malformed"


def test_what_a_requester_signs_a_doorbell_accepts() -> None:
    now_ns = parse_time(good()["now"])
    token, cells = sign_request(good_request(), POLICE, now_ns=now_ns)
    assert judge(token, circumstances(good())).request == good_request()
    assert 1 <= len(cells) <= 4


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"area": Circle((16.37, 48.2), 2000)}, "square miles; it must be from 0.025 to 0.5"),
        ({"area": Circle((16.37, 48.2), 50)}, "square miles"),
        ({"span_to": "2026-11-23T14:05:00Z"}, "is 5 minutes long; it must be from 15 minutes to 12 hours"),
        ({"span_to": "2026-11-23T12:00:00Z"}, "ends before it begins"),
        ({"span_to": "2026-11-23T18:30:00Z"}, "ends in the future"),
        ({"message": ""}, "message must not be empty"),
        ({"case_number": "x" * 65}, "case number has 65 characters, at most 64"),
        ({"message": "€" * 2001}, "message has 2001 characters"),
    ],
)
def test_a_requester_learns_before_asking_what_is_wrong(changes: dict[str, Any], why: str) -> None:
    request = msgspec.structs.replace(good_request(), **changes)
    with pytest.raises(BadInput, match=why):
        sign_request(request, POLICE, now_ns=parse_time(good()["now"]))
