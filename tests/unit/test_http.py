"""The owner API as a phone and as a stranger reach it: what needs a session has one, what is wrong has a name."""

from __future__ import annotations

import gzip
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.adapters.clock import minute_of_day
from agent.adapters.http import BODY_LIMIT, OwnerServer
from agent.adapters.owner_client import OwnerClient
from agent.core import identity, statements
from agent.core.directory import read_directory, sign_directory
from agent.core.encoding import b64u, format_time, from_b64u, to_json
from agent.core.errors import BadInput, NotThere, Refused, Unavailable
from agent.core.frame import Track
from agent.core.owner_api import ClipSummary, DirectoryStatement, Status, Trouble
from agent.core.release import CLIPS_LIMIT
from agent.core.sealing import KEY_BYTES
from agent.core.settings import (
    Block,
    DeclineRules,
    Pause,
    PauseAll,
    QuietHours,
    ResumeAll,
    SetDecline,
    SetQuiet,
    Settings,
    Unblock,
)
from agent.core.statements import raw_public
from agent.core.timeline import Span
from agent.disclosure.bulletin import Bulletin
from agent.disclosure.desk import Desk, Home
from agent.disclosure.doorkeeper import Doorkeeper
from agent.disclosure.newcomers import Newcomers
from agent.disclosure.preferences import Preferences
from agent.disclosure.trusted import Trusted
from agent.owner.key_file import PairedDoorbell
from agent.owner.session import Choice, OwnerSession, pair, read_pairing
from agent.setup import pairing_link
from tests.household import NOW, SECOND, HandSet, Household, new_keys


@dataclass
class Quiet:
    """A doorbell that records nothing and sends nothing; it remembers being told of decisions."""

    recording: str = "watching"
    broker: str = "off"
    troubles: list[Trouble] = field(default_factory=list)
    looks: list[int] = field(default_factory=list)

    @property
    def detector(self) -> str:
        return "off"

    def sent_bytes(self, request: str) -> int | None:
        return None

    def look_again(self) -> None:
        self.looks.append(1)


class Served:
    """A household behind the owner API, with a clock that the test moves."""

    def __init__(self, root: Path) -> None:
        self.home = Household.at(root)
        self.now = NOW
        self.time = HandSet(lambda: self.now)
        self.activity = Quiet()
        self.doorkeeper = Doorkeeper(
            self.home.ledger, self.home.device, "Front door", "1", self.time, secrets.token_bytes
        )
        self.newcomers = Newcomers(self.home.ledger, self.home.device, self.time, lambda: None)
        self.bulletin = Bulletin()
        self.directory_key = Ed25519PrivateKey.generate()
        self.trusted = Trusted(
            self.home.ledger, [self.home.requester_statement], raw_public(self.directory_key), lambda: self.now
        )
        place = Home("Front door", -71.0, 42.0, 30 * SECOND)
        self.desk = Desk(
            self.home.ledger, self.home.clips, self.home.keeper(), self.home.device, place, self.activity,
            self.bulletin, self.trusted, self.doorkeeper.owner_set, self.time, secrets.token_bytes,
        )  # fmt: skip
        self.preferences = Preferences(self.home.ledger, self.trusted, self.bulletin, lambda: self.now, minute_of_day)
        self.server = OwnerServer(self.doorkeeper, self.newcomers, self.desk, self.preferences, lambda: None)
        self.url = ""

    def session(self, client: OwnerClient) -> OwnerSession:
        key = identity.public_key(self.home.device.public_key().public_bytes_raw())
        doorbell = PairedDoorbell(self.url, next(iter(key)), b64u(self.home.device.public_key().public_bytes_raw()))
        return OwnerSession(client, doorbell, self.home.owner, lambda: self.now)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    served = Served(tmp_path)
    port = await served.server.start("127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{port}"
    yield served
    await served.server.stop()


CLOSED = [
    ("GET", "/api/status"),
    ("GET", "/api/events"),
    ("GET", "/api/clips"),
    ("GET", "/api/clips/AAAAAAAAAAAAAAAAAAAAAA"),
    ("GET", "/api/clips/AAAAAAAAAAAAAAAAAAAAAA/sealed"),
    ("GET", "/api/requests"),
    ("GET", "/api/requests/x"),
    ("GET", "/api/audit"),
    ("POST", "/api/joining"),
    ("GET", "/api/joining/AAAAAAAAAAAAAAAAAAAAAA"),
    ("POST", "/api/owners"),
    ("POST", "/api/requests/x/decision"),
    ("POST", "/api/requests/x/undo"),
    ("POST", "/api/requests/x/hold"),
    ("POST", "/api/requests/x/resume"),
    ("POST", "/api/requests/x/stop"),
    ("GET", "/api/settings"),
    ("POST", "/api/settings"),
    ("GET", "/api/directory"),
]


@pytest.mark.parametrize(("method", "path"), CLOSED)
async def test_without_a_session_nothing_is_told(served: Served, method: str, path: str) -> None:
    for token in (None, "Bearer ", "Bearer AAAA", f"Bearer {b64u(bytes(32))}", "Basic eDp5"):
        headers = {"Authorization": token} if token else {}
        async with aiohttp.ClientSession() as http, http.request(method, served.url + path, headers=headers) as answer:
            assert answer.status == 401
            assert (await answer.json())["error"]["reason"] == "no-session"


def test_the_list_of_closed_routes_is_complete(tmp_path: Path) -> None:
    """A new route must be open on purpose or stand in CLOSED."""
    app = web.Application()
    Served(tmp_path).server._add_routes(app)
    opened = {"/", "/pair", "/app/{name}", "/api/device", "/api/pair/hello", "/api/pair", "/api/session"}
    opened |= {"/api/session/challenge", "/api/join/{slot}"}
    paths = {resource.canonical for resource in app.router.resources()}
    closed = {path.replace("AAAAAAAAAAAAAAAAAAAAAA", "{clip}").replace("/x", "/{id}") for _, path in CLOSED}
    closed = {path.replace("joining/{clip}", "joining/{slot}") for path in closed}
    assert paths == opened | closed


async def test_pages_come_with_a_strict_policy_and_nothing_else_is_reachable(served: Served) -> None:
    async with aiohttp.ClientSession() as http:
        for path in ("/", "/pair", "/app/style.css"):
            async with http.get(served.url + path) as answer:
                assert answer.status == 200
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
        for path in ("/app/../daemon.py", "/app/%2e%2e/daemon.py", "/app/views", "/app/none.js", "/etc/passwd", "/api"):
            async with http.get(served.url + path) as answer:
                assert answer.status == 404
                assert (await answer.json())["error"]["reason"] == "not-found"
        async with http.delete(served.url + "/api/device") as answer:
            assert answer.status == 405
        async with http.post(served.url + "/api/pair", data=bytes(BODY_LIMIT + 1)) as answer:
            assert answer.status == 413
        for junk in (b"", b"[]", b"{", b'{"mac": 1}', b"\xff" * 10, b'{"mac":"a","more":1}'):
            async with http.post(served.url + "/api/pair/hello", data=junk) as answer:
                assert answer.status == 400
                assert (await answer.json())["error"]["reason"] == "malformed"


async def test_a_session_ends_with_its_time_and_with_its_owner(served: Served) -> None:
    async with OwnerClient(served.url) as client:
        session = served.session(client)
        await session.open()
        assert await session.requests() == []
        served.now += 12 * 3600 * SECOND
        with pytest.raises(Refused, match="sign in again"):
            await session.requests()
        await session.open()
        replaced = identity.OwnerSet(
            served.home.device_id, 2, "2026-11-23T00:00:00Z", "",
            [identity.owner_entry("another phone", new_keys())], [identity.recovery_entry(served.home.recovery)],
        )  # fmt: skip
        token = statements.sign(statements.Kind.OWNERS, replaced, served.home.owner.signs)
        served.home.ledger.put_owners(2, token, served.now)
        with pytest.raises(Refused, match="sign in again"):
            await session.requests()


async def test_a_challenge_is_good_once_for_a_minute_and_for_owners(served: Served) -> None:
    async with OwnerClient(served.url) as client:
        stranger = served.session(client)
        stranger._keys = new_keys()
        with pytest.raises(Refused) as refusal:
            await stranger.open()
        assert refusal.value.reason == "unknown-signer"
        proof = ""

        async def caught(path: str, body: object, kind: object) -> object:
            nonlocal proof
            proof = getattr(body, "proof", proof)
            return await original(path, body, kind)  # type: ignore[arg-type]

        session = served.session(client)
        original = client.post
        client.post = caught  # type: ignore[method-assign, assignment]
        await session.open()
        client.post = original  # type: ignore[method-assign]
        async with aiohttp.ClientSession() as http:
            async with http.post(served.url + "/api/session", json={"proof": proof}) as answer:
                assert answer.status == 401, "the same proof again"
        slow = served.session(client)
        slow._now = lambda: served.now
        challenge = served.doorkeeper.challenge()
        served.now += 61 * SECOND
        said = identity.SessionProof(served.home.device_id, challenge.challenge, "2026-11-23T00:00:00Z")
        late = statements.sign(statements.Kind.SESSION, said, served.home.owner.signs)
        with pytest.raises(Refused, match="too late"):
            served.doorkeeper.open_session(late.decode())


@pytest.mark.parametrize("years", [56, -56])
async def test_setting_the_clock_ends_no_session_pairing_code_or_invitation(served: Served, years: int) -> None:
    """The first answer of a time server moves the doorbell's time from 1970 to now; people go on with what they do."""
    slot, secret = b64u(bytes(16)), secrets.token_bytes(16)
    pairing_link(served.home.ledger, served.home.device, served.url, served.time, secret)
    async with OwnerClient(served.url) as client:
        session = served.session(client)
        challenge = served.doorkeeper.challenge().challenge
        await session.open()
        served.newcomers.open(slot)
        served.time.stepped_ns = years * 365 * 86_400 * SECOND
        await session.requests()
        served.newcomers.put(slot, "{}", b64u(bytes(32)))
        served.doorkeeper.hello(b64u(identity.pairing_mac(secret, "doorward pair hello v1", b"")))
        said = identity.SessionProof(served.home.device_id, challenge, format_time(NOW))
        served.doorkeeper.open_session(statements.sign(statements.Kind.SESSION, said, served.home.owner.signs).decode())
        served.now += 13 * 3600 * SECOND
        with pytest.raises(Refused, match="sign in again"):
            served.doorkeeper.owner_of(session.client.token or "")
        with pytest.raises(NotThere):
            served.newcomers.look(slot)
        with pytest.raises(Refused, match="too old"):
            served.doorkeeper.hello(b64u(identity.pairing_mac(secret, "doorward pair hello v1", b"")))


def test_a_pairing_code_ends_with_the_boot_it_was_made_in(tmp_path: Path) -> None:
    served, secret = Served(tmp_path), secrets.token_bytes(16)
    pairing_link(served.home.ledger, served.home.device, "http://here", served.time, secret)
    served.time.boot = "the next boot"
    with pytest.raises(Refused, match="too old"):
        served.doorkeeper.hello(b64u(identity.pairing_mac(secret, "doorward pair hello v1", b"")))


async def test_a_whole_decision_through_the_api(served: Served) -> None:
    row = served.home.record_clip(NOW - 60 * SECOND)
    request, _ = served.home.admit(Span(NOW - 900 * SECOND, NOW))
    async with OwnerClient(served.url) as client:
        session = served.session(client)
        await session.open()
        start, end = NOW - 57 * SECOND, NOW - 55 * SECOND
        shared = await session.share(request.id, [Choice(row.id, Span(start, end))], sound=False)
        assert (shared.state, shared.clips) == ("agreed", 1)
        assert served.activity.looks, "the sender was told"
        detail, said = await session.request(request.id)
        assert detail.decision is not None
        assert said.requester.agency == "Springfield Police"
        with pytest.raises(Refused) as refusal:
            await session.share(request.id, [], sound=False)
        assert refusal.value.reason == "not-asked"
        assert (await session.step(request.id, "hold")).state == "held"
        assert (await session.step(request.id, "undo")).state == "asked"
        with pytest.raises(BadInput, match="outside the span"):
            await session.share(request.id, [Choice(row.id, Span(NOW + SECOND, NOW + 2 * SECOND))], sound=False)
        assert (await session.decline(request.id)).state == "declined"
        with pytest.raises(NotThere):
            await session.request("nothing")
        opened = await session.open_clip(row.id)
        tracks = await session.fragments(opened, None, sound=False)
        init, *fragments = tracks.pop(Track.VIDEO)
        assert (init, len(fragments), tracks) == (b"init of the video", 10, {})
        assert (await session.fragments(opened, None, sound=True))[Track.AUDIO][0] == b"init of the audio"
    assert [entry.what for entry in served.home.ledger.entries()][-5:] == [
        "request-received", "decided", "held", "undone", "decided",
    ]  # fmt: skip


async def test_a_yes_to_as_much_as_one_may_share_fits(served: Served) -> None:
    """64 clips of five minutes with their sound, a key a second."""
    releases = [b64u(bytes(48 + KEY_BYTES * 2 * 301))] * CLIPS_LIMIT
    body = to_json({"decision": "", "releases": releases})
    assert len(body) > BODY_LIMIT
    async with OwnerClient(served.url) as client, aiohttp.ClientSession() as http:
        await served.session(client).open()
        for token, size, reason in (
            (client.token, 1, "not-found"), (client.token, 10, "too-large"), (None, 1, "no-session"),
        ):  # fmt: skip
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            url = f"{served.url}/api/requests/AAAAAAAAAAAAAAAAAAAAAA/decision"
            async with http.post(url, data=body * size, headers=headers) as answer:
                assert (await answer.json())["error"]["reason"] == reason


async def test_the_sealed_file_honours_ranges(served: Served) -> None:
    row = served.home.record_clip()
    whole = served.home.clips.ring.path(row.sequence).read_bytes()
    async with OwnerClient(served.url) as client:
        session = served.session(client)
        await session.open()
        assert await client.stretch(f"/api/clips/{row.id}/sealed", 100, 77) == whole[100:177]
        headers = {"Authorization": f"Bearer {client.token}", "Range": f"bytes={len(whole) + 5}-"}
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{served.url}/api/clips/{row.id}/sealed", headers=headers) as answer:
                assert answer.status == 416


async def test_pairing_takes_the_secret_once_and_counts_wrong_ones(tmp_path: Path) -> None:
    served = Served(tmp_path)
    served.home.db.execute("DELETE FROM owner_sets")
    port = await served.server.start("127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{port}"
    phone, recovery = new_keys(), identity.recovery_entry(new_keys())

    async def try_pairing(link: str) -> PairedDoorbell:
        async with OwnerClient(served.url) as client:
            return await pair(client, served.url, read_pairing(link), "phone", phone, recovery, served.now)

    def link() -> str:
        return pairing_link(
            served.home.ledger, served.home.device, served.url, served.time, secrets.token_bytes(identity.SECRET_BYTES)
        )

    try:
        old = link()
        served.now += identity.PAIRING_LIFE_NS
        with pytest.raises(Refused) as refusal:
            await try_pairing(old)
        assert refusal.value.reason == "no-pairing"
        good = link()
        head, _, tail = good.partition("#1.")
        for wrong in range(identity.PAIRING_TRIES):
            with pytest.raises(Refused) as refusal:
                await try_pairing(f"{head}#1.{b64u(bytes([wrong] * 16))}{tail[22:]}")
            assert refusal.value.reason == "wrong-secret"
        with pytest.raises(Refused) as refusal:
            await try_pairing(good)
        assert refusal.value.reason == "no-pairing", "five wrong tries spend the secret"
        good = link()
        paired = await try_pairing(good)
        assert paired.id == served.home.device_id
        with pytest.raises(Refused) as refusal:
            await try_pairing(good)
        assert refusal.value.reason == "no-pairing"
        owners = served.doorkeeper.owner_set()
        assert owners is not None
        assert [owner.name for owner in owners.owners] == ["phone"]
        with pytest.raises(Refused, match="has an owner already"):
            await try_pairing(link())
    finally:
        await served.server.stop()


async def test_a_taken_port_is_one_sentence(served: Served, tmp_path: Path) -> None:
    other = Served(tmp_path / "other")
    with pytest.raises(Unavailable, match=r"port \d+ on 127.0.0.1 is not free"):
        await other.server.start("127.0.0.1", int(served.url.rsplit(":", 1)[1]))


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
async def test_an_address_that_is_not_this_machines_is_said_to_be_none(tmp_path: Path, host: str) -> None:
    with pytest.raises(Unavailable, match=rf"http\.host names {host}, which is no address of this machine"):
        await Served(tmp_path).server.start(host, 0)


async def test_an_owner_deletes_a_clip_and_a_stranger_does_not(served: Served) -> None:
    kept, gone = served.home.record_clip(), served.home.record_clip(NOW + 60 * SECOND)
    async with OwnerClient(served.url) as client:
        with pytest.raises(Refused) as refusal:
            await client.delete(f"/api/clips/{gone.id}", ClipSummary)
        assert refusal.value.reason == "no-session"
        session = served.session(client)
        await session.open()
        assert (await session.delete(gone.id)).id == gone.id
        with pytest.raises(NotThere):
            await session.delete(gone.id)
    assert [row.id for row in served.home.clips.index.all()] == [kept.id]
    assert not served.home.clips.ring.path(gone.sequence).exists()
    (entry,) = [e for e in served.home.ledger.entries() if e.what == "deleted"]
    assert served.home.owner.kid in entry.details


async def test_what_was_promised_is_deleted_only_after_the_yes_was_taken_back(served: Served) -> None:
    row = served.home.record_clip(NOW - 60 * SECOND)
    request, _ = served.home.admit(Span(NOW - 900 * SECOND, NOW), held=())
    async with OwnerClient(served.url) as client:
        session = served.session(client)
        await session.open()
        await session.share(request.id, [], sound=False)
        assert served.home.clips.index.by_id(row.id).held, "a yes holds what it shares"  # type: ignore[union-attr]
        with pytest.raises(Refused) as refusal:
            await session.delete(row.id)
        assert refusal.value.reason == "promised"
        await session.step(request.id, "undo")
        await session.delete(row.id)
        assert (await session.request(request.id))[0].clips == []


async def test_settings_are_changed_in_a_session_and_the_log_names_whose(served: Served) -> None:
    async with OwnerClient(served.url) as client:
        session = served.session(client)
        await session.open()
        police = served.home.requester.kid
        (known,) = (await session.settings()).requesters
        assert (known.id, known.via) == (police, "pinned")
        assert not (await client.get("/api/status", Status)).paused
        answer = await session.change(PauseAll(None))
        assert answer.settings.paused == Pause(None)
        assert (await client.get("/api/status", Status)).paused
        await session.change(PauseAll(format_time(served.now + 3600 * SECOND)))
        served.now += 3600 * SECOND
        assert not (await client.get("/api/status", Status)).paused
        await session.change(ResumeAll())
        await session.change(SetDecline(DeclineRules(["noise"], 60, ["contact"])))
        await session.change(SetQuiet(QuietHours("22:00", "07:00", "Etc/UTC")))
        await session.change(Block(police))
        settings = (await session.settings()).settings
        assert settings.paused is None
        assert settings.decline == DeclineRules(["noise"], 60, ["contact"])
        assert [(b.id, b.agency) for b in settings.blocked] == [(police, "Springfield Police")]
        assert (await session.change(Unblock(police))).settings.blocked == []
        notes = [e for e in served.home.ledger.entries() if e.what == "settings-changed"]
        assert len(notes) == 7
        assert all(f'"owner":"{served.home.owner.kid}"' in note.details for note in notes)


@pytest.mark.parametrize(
    "change",
    [
        {"do": "pause", "until": "2020-01-01T00:00:00Z"},
        {"do": "pause", "until": "tomorrow"},
        {"do": "block", "requester": "AAAAAAAAAAAAAAAAAAAAAA"},
        {"do": "block", "requester": "x"},
        {"do": "decline", "rules": {"lacking": ["message"]}},
        {"do": "decline", "rules": {"lacking": ["contact", "contact"]}},
        {"do": "decline", "rules": {"incidents": [" "]}},
        {"do": "decline", "rules": {"incidents": ["x"] * 33}},
        {"do": "decline", "rules": {"longer_than_min": 5}},
        {"do": "decline", "rules": {"approve": True}},
        {"do": "quiet", "hours": {"start": "22:00", "end": "22:00", "zone": "Etc/UTC"}},
        {"do": "quiet", "hours": {"start": "24:00", "end": "07:00", "zone": "Etc/UTC"}},
        {"do": "quiet", "hours": {"start": "22:00", "end": "07:00", "zone": "Mars/Olympus"}},
        {"do": "quiet", "hours": {"start": "22:00", "end": "07:00", "zone": "../../etc/passwd"}},
        {"do": "approve"},
    ],
)
async def test_what_cannot_be_set_is_refused_and_changes_nothing(served: Served, change: dict[str, object]) -> None:
    async with OwnerClient(served.url) as client:
        session = served.session(client)
        await session.open()
        headers = {"Authorization": f"Bearer {client.token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.post(f"{served.url}/api/settings", json={"change": change}) as answer,
        ):
            assert answer.status in (400, 404)
            assert "\n" not in (await answer.json())["error"]["text"]
        assert (await session.settings()).settings == Settings()
        assert not [e for e in served.home.ledger.entries() if e.what == "settings-changed"]


async def test_blocking_declines_what_waits_and_lets_its_clips_go(served: Served) -> None:
    clip = served.home.record_clip(NOW - 60 * SECOND)
    row, _ = served.home.admit(Span(NOW - 900 * SECOND, NOW))
    async with OwnerClient(served.url) as client:
        session = served.session(client)
        await session.open()
        await session.change(Block(served.home.requester.kid))
        (shown,) = await session.requests()
    assert (shown.id, shown.state, shown.declined_by) == (row.id, "declined", "blocked")
    found = served.home.clips.index.by_id(clip.id)
    assert found is not None
    assert not found.held


async def test_nothing_is_shared_with_who_is_not_trusted_any_more(served: Served) -> None:
    """Listed when it asked, taken out of the directory since: a no is still taken, a yes is not."""
    home = served.home
    home.record_clip(NOW - 60 * SECOND)
    row, _ = home.admit(Span(NOW - 900 * SECOND, NOW))
    served.trusted._pinned = {}
    for version, listed in ((1, [home.requester_statement]), (2, [])):
        token = sign_directory(
            "County", version, listed, served.directory_key, now_ns=NOW, life_ns=30 * 86_400 * SECOND
        )
        served.trusted.offer(token)
    async with OwnerClient(served.url) as client:
        session = served.session(client)
        await session.open()
        assert (await session.request(row.id))[0].trusted is None
        answer = await client.get("/api/directory", DirectoryStatement)
        assert read_directory(answer.statement.encode(), from_b64u(answer.key, 32)).said.version == 2
        with pytest.raises(Refused) as refused:
            await session.share(row.id, [], sound=False)
        assert refused.value.reason == "not-trusted"
        assert (await session.decline(row.id)).state == "declined"


async def test_the_page_comes_packed_to_whoever_can_unpack_it(served: Served) -> None:
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        sizes = {}
        for encoding in ("gzip, deflate", "identity"):
            url = f"{served.url}/app/main.js"
            async with http.get(url, headers={"Accept-Encoding": encoding}) as answer:
                body = await answer.read()
                packed = answer.headers.get("Content-Encoding") == "gzip"
                assert packed == (encoding != "identity")
                assert b"@typedef" not in (gzip.decompress(body) if packed else body)
                sizes[packed] = len(body)
    assert sizes[True] < sizes[False] / 2
