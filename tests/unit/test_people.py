"""Several owners: letting another in, taking one out, coming back with the recovery code alone."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.adapters.owner_client import OwnerClient
from agent.cli.commands import doorward
from agent.core import identity
from agent.core.encoding import b64u
from agent.core.errors import BadInput, Corrupt, NotThere, Refused, Unavailable
from agent.core.identity import KeyPair, Owner
from agent.core.joining import Invitation, introduce, next_owner_set, read_entry, read_invitation, read_welcome
from agent.core.owner_api import JoinBody, OwnersBody, Taken, Welcome
from agent.core.sealing import read_header
from agent.core.timeline import Span
from agent.owner import key_file, people, rescue
from agent.owner.session import OwnerSession
from tests.household import NOW, SECOND, Household, new_keys
from tests.unit.test_http import Served, served

__all__ = ["served"]


def invitation_of(home: Household, url: str = "http://127.0.0.1:1") -> Invitation:
    return Invitation(url, home.device_id, secrets.token_bytes(16))


async def let_in(served: Served, name: str, keys: KeyPair) -> None:
    """Both ends at once, as two people with two devices do it."""
    invitation = invitation_of(served.home, served.url)
    async with OwnerClient(served.url) as there, OwnerClient(served.url) as here:
        session = served.session(here)
        await session.open()

        async def host() -> None:
            who = await people.newcomer(session, invitation, 10)
            assert who.name == name
            await people.admit(session, invitation, who, NOW)

        async def guest() -> None:
            await asyncio.sleep(0.1)
            await people.join(there, read_invitation(invitation.link), name, keys, 10)

        await asyncio.gather(host(), guest())


def as_owner(served: Served, client: OwnerClient, keys: KeyPair) -> OwnerSession:
    return OwnerSession(client, served.session(client).doorbell, keys, lambda: served.now)


async def test_a_second_phone_opens_what_is_recorded_from_then_on(served: Served) -> None:
    before = served.home.record_clip()
    second = new_keys()
    await let_in(served, "Second phone", second)
    after = served.home.record_clip(NOW + 100 * SECOND)
    async with OwnerClient(served.url) as client:
        session = as_owner(served, client, second)
        await session.open()
        assert (await session.open_clip(after.id)).facts.clip == after.id
        with pytest.raises(Corrupt, match="not sealed to key"):
            await session.open_clip(before.id)
    async with OwnerClient(served.url) as client:
        first = served.session(client)
        await first.open()
        for clip in (before, after):
            assert (await first.open_clip(clip.id)).facts.clip == clip.id
        names = [o.name for o in (await people.people(first)).owners]
    assert names == ["phone", "Second phone"]


async def test_who_is_taken_out_has_no_session_and_no_new_clip(served: Served) -> None:
    second = new_keys()
    await let_in(served, "Lost phone", second)
    async with OwnerClient(served.url) as lost_client, OwnerClient(served.url) as client:
        lost = as_owner(served, lost_client, second)
        await lost.open()
        await lost.requests()
        first = served.session(client)
        await first.open()
        with pytest.raises(BadInput, match="none of the owners 'phone'"):
            await people.remove(first, "Some phone", NOW)
        assert (await people.remove(first, "Lost phone", NOW)).name == "Lost phone"
        with pytest.raises(Refused) as refused:
            await lost.requests()
        assert refused.value.reason == "no-session"
        with pytest.raises(Refused):
            await lost.open()
        clip = served.home.record_clip()
        header = served.home.clips.ring.read(clip.sequence).header
        assert identity.key_id(second.opens_public) not in read_header(header).recipients
        with pytest.raises(Refused, match="only owner"):
            await people.remove(first, "phone", NOW)


async def test_a_doorbell_is_not_left_without_an_owner(served: Served) -> None:
    async with OwnerClient(served.url) as client:
        session = served.session(client)
        await session.open()
        current = await session.owners()
        _, token = next_owner_set(current, served.home.device_id, [], NOW, session.keys)
        with pytest.raises(Refused) as refused:
            await client.post("/api/owners", OwnersBody(token.decode()), Taken)
    assert refused.value.reason == "no-owner"


async def test_an_older_set_and_a_strangers_set_are_refused(served: Served) -> None:
    stranger = new_keys()
    async with OwnerClient(served.url) as client:
        session = served.session(client)
        await session.open()
        current = await session.owners()
        me = identity.owner_entry("phone", served.home.owner)
        _, token = next_owner_set(current, served.home.device_id, [me], NOW, served.home.owner)
        await client.post("/api/owners", OwnersBody(token.decode()), Taken)
        _, forged = next_owner_set(token, served.home.device_id, [me], NOW, stranger)
        for statement, reason in ((current, "stale-owner-set"), (token, "stale-owner-set"), (forged, "unknown-signer")):
            with pytest.raises(Refused) as refused:
                await client.post("/api/owners", OwnersBody(statement.decode()), Taken)
            assert refused.value.reason == reason


async def test_the_doorbell_cannot_put_a_key_of_its_own_in_the_newcomers_place(served: Served) -> None:
    """The letter box holds something made without the secret: the inviting owner's device refuses it."""
    invitation = invitation_of(served.home, served.url)
    entry, _ = introduce(invitation, identity.owner_entry("Second phone", new_keys()))
    async with OwnerClient(served.url) as client:
        session = served.session(client)
        await session.open()
        served.newcomers.open(invitation.slot)
        forged = Invitation(invitation.url, invitation.device, bytes(16)).mac("doorward join v1", entry)
        served.newcomers.put(invitation.slot, entry.decode(), b64u(forged))
        with pytest.raises(Refused) as refused:
            await people.newcomer(session, invitation, 5)
    assert refused.value.reason == "wrong-secret"


async def test_an_invitation_is_answered_once_and_closes(served: Served) -> None:
    invitation = invitation_of(served.home, served.url)
    path = f"/api/join/{invitation.slot}"
    entry, mac = introduce(invitation, identity.owner_entry("Second phone", new_keys()))
    mine = JoinBody(entry.decode(), b64u(mac))
    async with OwnerClient(served.url) as client:
        with pytest.raises(NotThere):
            await client.post(path, mine, Welcome)
        served.newcomers.open(invitation.slot)
        await client.post(path, mine, Welcome)
        await client.post(path, mine, Welcome)  # the same again, because the answer was lost
        other, mac = introduce(invitation, identity.owner_entry("Another", new_keys()))
        with pytest.raises(Refused) as refused:
            await client.post(path, JoinBody(other.decode(), b64u(mac)), Welcome)
        assert refused.value.reason == "taken"
        served.now += 601 * SECOND
        with pytest.raises(NotThere):
            await client.get(path, Welcome)


async def test_nobody_answers(served: Served) -> None:
    async with OwnerClient(served.url) as client:
        session = served.session(client)
        await session.open()
        with pytest.raises(Unavailable, match="nobody opened the invitation"):
            await people.newcomer(session, invitation_of(served.home, served.url), 0.2)
        for _ in range(7):
            served.newcomers.open(invitation_of(served.home).slot)
        with pytest.raises(Refused, match="too many invitations"):
            served.newcomers.open(invitation_of(served.home).slot)


@pytest.mark.parametrize("alone", [False, True])
async def test_the_recovery_code_alone_opens_old_and_new(served: Served, alone: bool) -> None:
    old = served.home.record_clip()
    new = new_keys()
    me = identity.owner_entry("New computer", new)
    async with OwnerClient(served.url) as client:
        at = (client, served.url, served.home.recovery, me)
        versions: list[int] = []  # of the owners in force when the keys are kept: the doorbell must not know them yet

        def keep_keys() -> None:
            owners = served.doorkeeper.owner_set()
            assert owners is not None
            versions.append(owners.version)

        await people.come_back(*at, alone=alone, now=lambda: NOW, keep_keys=keep_keys)
        now_in_force = served.doorkeeper.owner_set()
        assert now_in_force is not None
        assert versions == [now_in_force.version - 1]
    later = served.home.record_clip(NOW + 100 * SECOND)
    async with OwnerClient(served.url) as client:
        keys = dataclasses.replace(new, older=served.home.recovery.opens)
        session = as_owner(served, client, keys)
        await session.open()
        for clip in (old, later):
            assert (await session.open_clip(clip.id)).facts.clip == clip.id
        assert [o.name for o in (await people.people(session)).owners] == (
            ["New computer"] if alone else ["phone", "New computer"]
        )


async def test_the_recovery_code_looks_but_does_not_decide(served: Served) -> None:
    async with OwnerClient(served.url) as client:
        session = as_owner(served, client, served.home.recovery)
        await session.open()
        clip = served.home.record_clip()
        row, _ = served.home.admit(Span(clip.start_ns - 900 * SECOND, clip.end_ns))
        with pytest.raises(Refused) as refused:
            await session.decline(row.id)
    assert refused.value.reason == "not-an-owner"


async def test_another_recovery_code_is_nobodys(served: Served) -> None:
    me, kept = identity.owner_entry("Thief", new_keys()), list[int]()
    async with OwnerClient(served.url) as client:
        with pytest.raises(Refused, match="not one of this doorbell's"):
            await people.come_back(
                client, served.url, new_keys(), me, alone=True, now=lambda: NOW, keep_keys=lambda: kept.append(1)
            )
    assert kept == [], "no file is left that would be in the way of the next try"


def test_a_key_file_keeps_the_recovery_codes_key(tmp_path: Path) -> None:
    seeds = secrets.token_bytes(96)
    for phrase in (None, "correct horse"):
        content = key_file.make("me", seeds, identity.recovery_entry(new_keys()), phrase, secrets.token_bytes(48))
        keys = key_file.unlock(content, phrase)
        assert keys.older is not None
        assert keys.older.private_bytes_raw() == seeds[64:]
        assert keys.opens.private_bytes_raw() == seeds[:32]


def test_read_welcome_refuses_a_set_without_the_newcomer(tmp_path: Path) -> None:
    home = Household.at(tmp_path)
    invitation = invitation_of(home)
    me = identity.owner_entry("me", new_keys())
    _, token = next_owner_set(home.owner_set_statement, home.device_id, home.owner_set.owners, NOW, home.owner)
    mac = invitation.mac("doorward joined v1", token)
    with pytest.raises(Refused) as refused:
        read_welcome(invitation, token, mac, me)
    assert refused.value.reason == "wrong-owner-set"
    with pytest.raises(Refused) as refused:
        read_welcome(invitation, token, bytes(32), me)
    assert refused.value.reason == "wrong-secret"


def test_entries_that_are_none(tmp_path: Path) -> None:
    invitation = invitation_of(Household.at(tmp_path))
    good = identity.owner_entry("me", new_keys())
    bad: list[tuple[bytes, str]] = [
        (b"{}", "malformed"),
        (introduce(invitation, Owner(opens="AA", decides=good.decides, name="me"))[0], "malformed"),
        (introduce(invitation, Owner(opens=good.opens, decides=good.decides, name=""))[0], "malformed"),
    ]
    for entry, reason in bad:
        with pytest.raises(Refused) as refused:
            read_entry(invitation, entry, invitation.mac("doorward join v1", entry))
        assert refused.value.reason == reason


def test_rescue_tells_of_what_it_cannot_open(tmp_path: Path) -> None:
    home = Household.at(tmp_path / "state")
    home.record_clip()  # its content is no video: opened, but no film
    found = list(rescue.rescue(rescue.ring_of(tmp_path / "state"), home.recovery, tmp_path / "out"))
    assert [bool(r.problem) for r in found] == [True]
    assert "not sealed" not in (found[0].problem or "")
    found = list(rescue.rescue(rescue.ring_of(tmp_path / "state" / "ring"), new_keys(), tmp_path / "out"))
    assert "not sealed to key" in (found[0].problem or "")
    with pytest.raises(BadInput, match="no clips under"):
        rescue.ring_of(tmp_path / "out")
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(Unavailable, match="file/out cannot be made: Not a directory; name a folder"):
        list(rescue.rescue(rescue.ring_of(tmp_path / "state"), home.recovery, blocked / "out"))


def test_one_wrong_code_is_one_line_however_many_clips_it_leaves_shut(tmp_path: Path) -> None:
    home = Household.at(tmp_path / "state")
    for minute in range(3):
        home.record_clip(NOW + minute * 60 * SECOND)
    wrong = identity.recovery_code(secrets.token_bytes(identity.SECRET_BYTES))
    arguments = ["owner", "recover", "--card", str(tmp_path / "state"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(doorward, arguments, env={"DOORWARD_RECOVERY_CODE": wrong, "COLUMNS": "300"})
    assert isinstance(done.exception, Refused)
    assert "0 of 3 clips opened" in done.output
    assert [line.count("(3 clips)") for line in done.output.splitlines() if "not opened" in line] == [1]


def test_a_doorbell_that_is_away_leaves_no_key_file_in_the_way(tmp_path: Path) -> None:
    arguments = ["owner", "recover", "--identity", str(tmp_path / "me"), "--no-passphrase", "--device"]
    code = identity.recovery_code(secrets.token_bytes(identity.SECRET_BYTES))
    for address, error in (("http://127.0.0.1:1", Unavailable), ("nonsense", BadInput)):
        done = CliRunner().invoke(doorward, [*arguments, address], env={"DOORWARD_RECOVERY_CODE": code})
        assert isinstance(done.exception, error), done.exception
        assert not (tmp_path / "me").exists()
