"""From a complete bundle to a verified folder, and that any byte changed anywhere is found and its file named."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core import statements
from agent.core.area import Circle, Polygon
from agent.core.bundle import Bundle, Offer, Part, Receipt, read_offer
from agent.core.encoding import b64u, parse_time, to_json
from agent.core.errors import BadInput, Corrupt, Refused
from agent.core.frame import Track
from agent.core.manifest import Clock
from agent.core.request import FootageRequest
from agent.core.sealing import RECORD_MAGIC
from agent.core.statements import Kind
from agent.requester import key_file
from agent.requester import opening as opening_module
from agent.requester.evidence import Evidence
from agent.requester.film import OpenedFragments, RecordFile
from agent.requester.folder import PartialBundle, TransferFolder
from agent.requester.opening import open_bundle, verify_folder
from agent.requester.report import report_html
from tests.answered import Answered, answer, no_file


def begin(answered: Answered, out: Path) -> TransferFolder:
    """The folder as it is when the last block has come."""
    folder = TransferFolder.of(out, "24/118", answered.transfer)
    folder.make()
    folder.write("offer.jws", answered.offer_token)
    folder.write("request.jws", answered.request)
    folder.write("requester.jws", answered.identity.statement)
    with PartialBundle(folder, answered.bundle.size) as partial:
        for offset in range(0, answered.bundle.size, 65_536):
            partial.write(offset, answered.bytes[offset : offset + 65_536])
    return folder


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[Answered, TransferFolder, Evidence]:
    """Two clips with sound, opened."""
    base = tmp_path_factory.mktemp("evidence")
    answered = answer(base, clips=2, sound=True)
    folder = begin(answered, base / "out")
    return answered, folder, open_bundle(folder, answered.identity, answered_time(answered))


def answered_time(answered: Answered) -> int:
    return parse_time(answered.offer.issued) + 5_000_000_000


@pytest.fixture
def copy(opened: tuple[Answered, TransferFolder, Evidence], tmp_path: Path) -> TransferFolder:
    """A copy that may be spoilt."""
    target = tmp_path / "copy"
    shutil.copytree(opened[1].path, target)
    return TransferFolder(target)


def test_the_folder_has_what_the_page_says_and_verifies(opened: tuple[Answered, TransferFolder, Evidence]) -> None:
    answered, folder, found = opened
    assert found.verified, found.failed
    assert folder.path.name == f"24-118_{answered.transfer}"
    assert folder.complete
    clip = ["header.json", "keys.json", "manifest.jws", "release", "video.records", "audio.records"]
    wanted = {f"clips/{k}/{name}" for k in (0, 1) for name in clip} | {
        *("offer.jws", "request.jws", "decision.jws", "receipt.jws", "requester.jws"),
        *("clip-1.mp4", "clip-2.mp4", "report.json", "report.html"),
    }
    assert set(folder.files()) == wanted
    again = verify_folder(folder)
    assert again.verified, again.failed
    assert [c.name for c in again.checks][:4] == ["requester", "request", "offer", "decision"]
    assert [c.name for c in again.checks][-2:] == ["report", "report"]


def test_private_files_are_private(opened: tuple[Answered, TransferFolder, Evidence]) -> None:
    answered, folder, _ = opened
    assert answered.identity.path.stat().st_mode & 0o077 == 0
    assert folder.path.stat().st_mode & 0o077 == 0


def test_keys_are_of_the_agreed_records_only(opened: tuple[Answered, TransferFolder, Evidence]) -> None:
    _, folder, found = opened
    keys = json.loads(folder.read("clips/0/keys.json"))
    assert sorted(keys) == ["audio", "video"]
    assert list(keys["video"]) == ["0", "3", "4", "5", "6", "7"]
    assert found.clips[0].end_ns - found.clips[0].start_ns == 5_000_000_000
    assert found.clips[0].sound


def test_a_receipt_is_for_this_offer(opened: tuple[Answered, TransferFolder, Evidence]) -> None:
    answered, folder, _ = opened
    receipt = statements.unverified(Kind.RECEIPT, folder.read("receipt.jws"), Receipt)
    assert receipt.bytes == answered.bundle.size
    assert receipt.offer == b64u(statements.digest(answered.offer_token))


NAMES = [
    *("offer.jws", "request.jws", "decision.jws", "receipt.jws", "requester.jws", "clip-1.mp4", "clip-2.mp4"),
    *("clips/1/header.json", "clips/0/manifest.jws", "clips/1/release", "clips/0/keys.json", "clips/1/video.records"),
    *("clips/0/audio.records", "report.json", "report.html"),
]


def flip(data: bytearray) -> None:
    """One bit of a letter in the middle; of what is JSON or base64, another letter."""
    at = len(data) // 2
    while chr(data[at]) in '{}[]",: \n_-':
        at += 1
    data[at] = ord("B") if data[at] == ord("A") else ord("A")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "spoil",
    [flip, lambda d: d.append(0x20), lambda d: d.pop(), lambda d: d.clear()],
    ids=["alter", "add", "cut", "empty"],
)
def test_any_change_of_any_file_is_found_and_the_file_named(
    copy: TransferFolder, name: str, spoil: Callable[[bytearray], object]
) -> None:
    data = bytearray((copy.path / name).read_bytes())
    spoil(data)
    (copy.path / name).write_bytes(data)
    found = verify_folder(copy)
    assert not found.verified
    assert found.failed is not None
    # A release can be judged only with the requester's key or as part of what the doorbell signed for.
    named = "offer.jws" if (name, spoil) == ("clips/1/release", flip) else name
    assert found.failed.file == named
    assert "\n" not in found.failed.text


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(copy: TransferFolder, name: str) -> None:
    (copy.path / name).unlink()
    failed = verify_folder(copy).failed
    assert failed is not None
    assert failed.file == name


@pytest.mark.parametrize("name", ["clip-3.mp4", "other.MOV", "clips/0/notes.txt"])
def test_a_film_smuggled_in_is_found(copy: TransferFolder, name: str) -> None:
    (copy.path / name).write_bytes(b"?")
    failed = verify_folder(copy).failed
    assert failed is not None
    assert failed.file == name


def test_notes_beside_the_evidence_do_no_harm(copy: TransferFolder) -> None:
    (copy.path / "notes.txt").write_bytes(b"handed over on Monday")
    assert verify_folder(copy).verified


def test_statements_of_two_answers_do_not_mix(copy: TransferFolder, tmp_path: Path) -> None:
    """Each statement of another, whole answer to the same requester is good in itself and wrong here."""
    for name, named in [
        ("request.jws", "request.jws"),
        ("decision.jws", "decision.jws"),
        ("receipt.jws", "receipt.jws"),
        ("clips/0/manifest.jws", "clips/0/manifest.jws"),
        ("clips/0/header.json", "clips/0/header.json"),
    ]:
        folder = tmp_path / name.replace("/", "-")
        folder.mkdir()
        other = answer(folder, clips=2, sound=True)
        theirs = begin(other, folder / "out")
        open_bundle(theirs, other.identity, answered_time(other))
        spoilt = tmp_path / f"spoilt-{folder.name}"
        shutil.copytree(copy.path, spoilt)
        shutil.copy(theirs.path / name, spoilt / name)
        failed = verify_folder(TransferFolder(spoilt)).failed
        assert failed is not None
        assert failed.file == named


def test_opening_again_after_a_power_cut_gives_the_same_films(tmp_path: Path) -> None:
    """Every file an interrupted opening may have left half-written is written anew."""
    answered = answer(tmp_path)
    folder = begin(answered, tmp_path / "out")
    folder.write("clip-1.mp4", b"half a fi")
    folder.write("receipt.jws", b"from before")
    folder.write("clips/0/video.records", b"")
    assert not folder.complete
    assert open_bundle(folder, answered.identity, answered_time(answered)).verified
    assert folder.complete
    assert not folder.has("bundle.part")
    assert verify_folder(folder).verified


def test_a_release_for_somebody_else_gives_a_report_and_no_receipt(tmp_path: Path) -> None:
    answered = answer(tmp_path)
    folder = begin(answered, tmp_path / "out")
    (tmp_path / "other").mkdir()
    other = answer(tmp_path / "other").identity
    mixed = key_file.RequesterIdentity(other.path, other.keys, answered.identity.statement, answered.identity.said)
    found = open_bundle(folder, mixed, answered_time(answered))
    assert not found.verified
    assert not folder.has("receipt.jws")
    assert folder.has("bundle.part")
    assert json.loads(folder.read("report.json"))["verified"] is False
    assert b"Not verified" in folder.read("report.html")


@given(st.binary(max_size=400))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_records_or_corrupt(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "records"
    for content in (data, RECORD_MAGIC + data):
        path.write_bytes(content)
        with contextlib.suppress(Corrupt), RecordFile(path) as records:
            OpenedFragments(records, {h.index: bytes(32) for h in records.headers}).open(0)
            pytest.fail("a record nobody sealed was opened")


@given(st.dictionaries(st.sampled_from(list(Offer.__struct_fields__)), st.text() | st.integers() | st.lists(st.text())))
@settings(max_examples=100, deadline=None)
def test_any_signed_offer_is_whole_or_refused(changes: dict[str, object]) -> None:
    device = Ed25519PrivateKey.from_private_bytes(b"d" * 32)
    hash_text, id_text = b64u(bytes(32)), b64u(bytes(16))
    names = ["decision.jws", *(f"clips/0/{f}" for f in ("header.json", "manifest.jws", "release", "video.records"))]
    good = {
        "transfer": id_text,
        "request": hash_text,
        "requester": id_text,
        "decision": hash_text,
        "device": b64u(statements.raw_public(device)),
        "owner": hash_text,
        "parts": [(n, 1) for n in names],
        "size": 5,
        "block": 65_536,
        "pages": [hash_text],
        "issued": "2026-01-01T00:00:00Z",
        "expires": "2026-01-02T00:00:00Z",
    }
    token = statements.sign(Kind.OFFER, good | changes, device)
    try:
        assert read_offer(token).size == 5
    except Refused:
        assert changes


def test_a_track_nobody_agreed_to_is_found(tmp_path: Path) -> None:
    """A doorbell that adds the sound to an agreed picture, and signs for it."""
    answered = answer(tmp_path)
    sound = Part("clips/0/audio.records", tuple(answered.clips[0].records[Track.AUDIO]))
    bundle = Bundle([*answered.bundle.parts, sound])
    fields = {f: getattr(answered.offer, f) for f in Offer.__struct_fields__}
    pages = [b64u(hashlib.sha256(page).digest()) for page in bundle.pages(no_file)]
    changes = {"parts": [(p.name, p.length) for p in bundle.parts], "size": bundle.size, "pages": pages}
    token = statements.sign(Kind.OFFER, Offer(**fields | changes), answered.device)
    folder = begin(replace(answered, bundle=bundle, offer_token=token), tmp_path / "out")
    failed = open_bundle(folder, answered.identity, answered_time(answered)).failed
    assert failed is not None
    assert (failed.file, "agreed to" in failed.text) == ("decision.jws", True)
    assert not folder.has("receipt.jws")


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_escapes_what_came_from_outside_and_runs_nothing(
    opened: tuple[Answered, TransferFolder, Evidence],
) -> None:
    page = _Page()
    page.feed(opened[1].read("report.html").decode())
    kinds = [tag for tag, _ in page.tags]
    assert "script" not in kinds
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert [a["src"] for tag, a in page.tags if tag == "video"] == ["clip-1.mp4", "clip-2.mp4"]
    assert not any("://" in (a.get("src") or a.get("href") or "") for _, a in page.tags)
    assert "Did your camera see <b>anybody</b>?" in page.text
    assert "Springfield Police <Dept.>" in page.text
    assert kinds.count("b") == 0
    for part in ("24/118", "Det. Alvarez", "with sound", "Chain of custody", "Investigation & trial", "Verified"):
        assert part in page.text


@pytest.mark.parametrize("area", [Polygon([]), Polygon([[(0.0, 0.0)]]), Circle((0.0, 0.0), -1.0)])
def test_a_request_about_no_area_does_not_verify(
    opened: tuple[Answered, TransferFolder, Evidence], copy: TransferFolder, area: Polygon | Circle
) -> None:
    said = statements.unverified(Kind.REQUEST, copy.read("request.jws"), FootageRequest)
    signs = opened[0].identity.keys.signs
    copy.write("request.jws", statements.sign(Kind.REQUEST, msgspec.structs.replace(said, area=area), signs))
    found = verify_folder(copy)
    assert found.failed is not None
    assert found.failed.name == "request"
    assert b"Not verified" in report_html(found)


def test_the_page_escapes_what_a_doorbell_made_up(opened: tuple[Answered, TransferFolder, Evidence]) -> None:
    """Whoever has a doorbell's key can have it sign anything, and a report is opened in a browser."""
    found = opened[2]
    made_up = "<script>alert(1)</script>"
    clock = Clock(found.clips[0].manifest.clock.start, made_up)
    manifest = msgspec.structs.replace(found.clips[0].manifest, clock=clock, gaps=[(0, 1_000_000_000, made_up)])
    page = _Page()
    page.feed(report_html(replace(found, clips=[replace(found.clips[0], manifest=manifest)])).decode())
    assert "script" not in [tag for tag, _ in page.tags]
    assert page.text.count(made_up) == 2


def test_the_report_for_programs_names_span_and_hash_of_each_film(
    opened: tuple[Answered, TransferFolder, Evidence],
) -> None:
    _, folder, found = opened
    document = json.loads(folder.read("report.json"))
    assert document["verified"] is True
    assert [c["film"] for c in document["clips"]] == ["clip-1.mp4", "clip-2.mp4"]
    assert document["clips"][0]["sha256"] == found.clips[0].film_sha256.hex()
    assert document["request"]["case_number"] == "24/118"


def test_an_identity_is_made_once_and_read_back(tmp_path: Path) -> None:
    made = key_file.create(tmp_path / "k", "Agency", bytes(range(64)), 1_790_000_000 * 10**9)
    read = key_file.load(tmp_path / "k")
    assert (read.said, read.statement, read.keys.kid) == (made.said, made.statement, made.keys.kid)
    assert made.statement_path.read_bytes() == made.statement
    with pytest.raises(BadInput, match="is there already"):
        key_file.create(tmp_path / "k", "Agency", bytes(64), 0)
    with pytest.raises(BadInput, match="doorward requester init"):
        key_file.load(tmp_path / "none")
    (tmp_path / "bad").write_bytes(to_json({"format": "x"}))
    with pytest.raises(BadInput):
        key_file.load(tmp_path / "bad")


def test_a_request_is_found_by_its_hash_only_if_it_was_sent(tmp_path: Path) -> None:
    answered = answer(tmp_path)
    digest = b64u(statements.digest(answered.request))
    assert answered.identity.request(digest) == answered.request
    assert answered.identity.request(b64u(bytes(32))) is None
    assert answered.identity.request("../../etc/passwd") is None


def test_whatever_a_former_try_left_an_unverified_folder_is_never_complete(
    opened: tuple[Answered, TransferFolder, Evidence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A complete folder's receipt is sent without another look: the doorbell then says that all was delivered."""
    answered = opened[0]
    folder = begin(answered, tmp_path)
    folder.write("clips/7/left.mp4", b"a film that is none of the evidence")
    assert not open_bundle(folder, answered.identity, answered_time(answered)).verified
    assert folder.has("report.html")

    class PowerCut(BaseException):
        pass

    def cut(*_: object) -> Evidence:
        raise PowerCut

    monkeypatch.setattr(opening_module, "examine", cut)
    with pytest.raises(PowerCut):
        open_bundle(folder, answered.identity, answered_time(answered))
    assert folder.has("receipt.jws")
    assert not folder.complete


@pytest.mark.parametrize("name", ["clip-3.ts", "clip-3.mpg", "more/clip.WMV", "clip-3.flv", "clip-3.3gp", "clip-3.ogv"])
def test_a_film_of_any_kind_that_was_added_is_found(copy: TransferFolder, name: str) -> None:
    copy.write(name, b"a film")
    found = verify_folder(copy)
    assert found.failed is not None
    assert (found.failed.name, found.failed.file) == ("nothing added", name)
