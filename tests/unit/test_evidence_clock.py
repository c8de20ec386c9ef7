"""The clock statement in the evidence: it corrects the film's time, says how far, and another's is found out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core.boot_clock import BootClock, ClockStretch, sign_clock
from agent.core.bundle import Part, check_layout
from agent.core.encoding import b64u, format_time, key_id
from agent.core.errors import BadInput
from agent.core.statements import raw_public
from agent.requester.evidence import Evidence
from agent.requester.folder import TransferFolder
from agent.requester.opening import open_bundle, verify_folder
from tests.answered import BOOT, BOOT_US, answer
from tests.household import NOW, SECOND
from tests.unit.test_evidence import answered_time, begin

FILE = "clips/0/clock.jws"
SET = [ClockStretch(130_000_000, 500_000_000, format_time(NOW), 2_000_000, True)]
BEGAN = NOW - 100 * SECOND  # the clip: BOOT_US is 100 s before the clock was set
FIRST = 2 * SECOND  # the film begins with record 3


def statement(key: Ed25519PrivateKey, **changes: object) -> bytes:
    said: dict[str, object] = {
        "device": key_id(raw_public(key)),
        "boot": BOOT,
        "number": 1,
        "began_after": "",
        "ended_before": "",
        "until_us": 500_000_000,
        "stretches": SET,
    }
    return sign_clock(BootClock(**said | changes), key)  # type: ignore[arg-type]


def opened(
    tmp_path: Path, clock: Callable[[Ed25519PrivateKey], bytes], trust: str = "provisional"
) -> tuple[Evidence, TransferFolder]:
    answered = answer(tmp_path, clock=clock, trust=trust)
    folder = begin(answered, tmp_path / "out")
    return open_bundle(folder, answered.identity, answered_time(answered)), folder


def test_a_film_of_1970_has_its_time_and_says_how_far_it_can_be_trusted(tmp_path: Path) -> None:
    found, folder = opened(tmp_path, statement)
    assert found.verified, found.failed
    (clip,) = json.loads(folder.read("report.json"))["clips"]
    assert clip["from"] == format_time(BOOT_US * 1000 + FIRST)
    assert clip["time_trust"] == "provisional"
    error = 2 * SECOND + 100 * SECOND * 500 // 1_000_000
    assert clip["corrected"] == {
        "from": format_time(BEGAN + FIRST),
        "to": format_time(BEGAN + FIRST + 5 * SECOND),
        "earliest": format_time(BEGAN + FIRST - error),
        "latest": format_time(BEGAN + FIRST + error),
        "time_trust": "corrected",
    }
    page = folder.read("report.html").decode()
    assert "right to within 3 seconds" in page
    assert "Time as sealed" in page
    assert "1 January 1970" in page
    again = verify_folder(folder)
    assert again.verified, again.failed
    assert f"clip 1: clock {FILE}" in [f"{c.name} {c.file}" for c in again.checks]


def test_a_clock_that_was_never_set_gives_bounds(tmp_path: Path) -> None:
    found, folder = opened(tmp_path, lambda device: statement(device, stretches=[], began_after=format_time(BEGAN)))
    assert found.verified, found.failed
    (clip,) = json.loads(folder.read("report.json"))["clips"]
    assert (clip["corrected"]["time_trust"], clip["corrected"]["latest"]) == ("provisional", None)
    assert "still uncertain: the film began not before" in folder.read("report.html").decode()


def altered(device: Ed25519PrivateKey) -> bytes:
    token = bytearray(statement(device))
    at = len(token) // 2
    token[at] = ord("B") if token[at] == ord("A") else ord("A")
    return bytes(token)


@pytest.mark.parametrize(
    ("clock", "trust", "says"),
    [
        (lambda d: statement(d, boot=b64u(b"x" * 16)), "provisional", "another start of the machine"),
        (lambda _: statement(Ed25519PrivateKey.generate()), "provisional", "sign"),
        (lambda d: statement(d, device=b64u(b"x" * 16)), "provisional", "another doorbell"),
        (altered, "provisional", "signature|verif"),
        (lambda d: statement(d, number=0), "provisional", "as specified"),
        (statement, "synchronised", "nothing corrects it"),
    ],
    ids=["another boot", "another device", "about another device", "altered", "malformed", "not needed"],
)  # fmt: skip
def test_another_statement_is_found_out(
    tmp_path: Path, clock: Callable[[Ed25519PrivateKey], bytes], trust: str, says: str
) -> None:
    found, folder = opened(tmp_path, clock, trust)
    assert found.failed is not None
    assert (found.failed.name, found.failed.file) == ("clip 1: clock", FILE)
    assert re.search(says, found.failed.text), found.failed.text
    assert not folder.has("receipt.jws")


@pytest.mark.parametrize("spoil", [lambda d: d[:-1], lambda _: b"", lambda d: d.replace(b"A", b"B", 1)])
def test_a_statement_spoilt_or_gone_is_named(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    _, folder = opened(tmp_path, statement)
    data = folder.read(FILE)
    (folder.path / FILE).write_bytes(spoil(data))
    failed = verify_folder(folder).failed
    assert failed is not None
    assert failed.file == FILE
    (folder.path / FILE).unlink()
    failed = verify_folder(folder).failed
    assert failed is not None
    assert failed.file == FILE


def test_it_has_one_place_in_the_bundle() -> None:
    names = ["decision.jws", *(f"clips/0/{f}" for f in ("header.json", "manifest.jws", "release", "video.records"))]
    parts = [Part(name, (b"x",)) for name in names]
    for at in range(len(parts) + 1):
        layout = [(p.name, p.length) for p in [*parts[:at], Part(FILE, (b"x",)), *parts[at:]]]
        if at == 3:
            check_layout(layout)
            continue
        with pytest.raises(BadInput):
            check_layout(layout)
