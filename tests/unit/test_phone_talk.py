"""The owner's phone is told of a request once, of a visit at once or never, and of nothing a server may not know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.ntfy import Ntfy, owner_phones
from agent.core import notice
from agent.core.consent import Event
from agent.core.errors import BadInput, Unavailable
from agent.core.labels import LABELS
from agent.core.notice import NtfyTopic
from agent.core.owner_api import Trouble
from agent.core.timeline import Span
from agent.disclosure.bulletin import Bulletin
from agent.phone_talk import PhoneTalk
from tests.household import NOW, SECOND, Household
from tests.ntfy_server import NtfyServer


class Door:
    """A doorbell's talk with one ntfy server, and what may be wrong with the doorbell."""

    def __init__(self, home: Household, phones: Ntfy) -> None:
        self.home = home
        self.troubles: list[Trouble] = []
        self.bulletin = Bulletin()
        self._phones = phones

    @asynccontextmanager
    async def talking(self) -> AsyncIterator[None]:
        talk = PhoneTalk(
            self._phones.tell, self.home.ledger, self, self.bulletin, lambda: NOW, lambda: 0.0, trouble_after_s=0.2
        )
        task = asyncio.create_task(talk.run())
        await asyncio.sleep(0.05)
        yield
        assert not task.done(), task
        task.cancel()
        await asyncio.wait([task])

    def ask(self, *, prompted: bool = True) -> str:
        row, _ = self.home.admit(Span(NOW, NOW + 900 * SECOND))
        if prompted:
            self.home.ledger.prompted(row.id, NOW)
            self.bulletin.tell("requests", row.id)
        return row.id


@pytest.fixture
def server() -> Iterator[NtfyServer]:
    with NtfyServer() as running:
        yield running


@pytest.fixture
def door(tmp_path: Path, server: NtfyServer) -> Door:
    home = Household.at(tmp_path)
    home.record_clip()
    phones = owner_phones(server.url, "Haustür", "http://doorbell.local:8080", "")
    assert phones is not None
    return Door(home, phones)


async def until(server: NtfyServer, notices: int) -> None:
    async with asyncio.timeout(10):
        while len(server.taken) < notices:  # noqa: ASYNC110 - they come in another thread
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    assert len(server.taken) == notices


async def test_a_request_is_told_once_also_across_restarts(door: Door, server: NtfyServer) -> None:
    async with door.talking():
        request = door.ask()
        await until(server, 1)
        door.bulletin.tell("requests", request)
        await until(server, 1)
    async with door.talking():
        await until(server, 1)
        door.ask()
        await until(server, 2)
    assert server.taken[0] == {
        "topic": "a-long-name-nobody-guesses",
        "title": "Haustür",
        "message": "Somebody asks for video. Look at it when it suits you; you need not answer.",
        "tags": ["envelope"],
        "priority": 3,
        "click": "http://doorbell.local:8080",
    }
    assert [entry.what for entry in door.home.ledger.entries()].count("told") == 2


async def test_what_came_in_quiet_hours_or_is_over_is_not_told(door: Door, server: NtfyServer) -> None:
    quiet, over = door.ask(prompted=False), door.ask(prompted=False)
    door.home.ledger.prompted(over, NOW)
    door.home.ledger.move(over, Event.EXPIRE, NOW, "expired")
    async with door.talking():
        await until(server, 0)
        door.home.ledger.prompted(quiet, NOW)
        door.bulletin.tell("requests", quiet)
        await until(server, 1)


async def test_a_server_that_was_away_gets_the_request_later_and_the_visit_never(
    door: Door, server: NtfyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.core.backoff.Backoff.next_s", lambda *_: 0.3)
    server.refuse = 503
    async with door.talking():
        door.ask()
        door.bulletin.tell_visit("clip", "person")
        await asyncio.sleep(1)
        assert server.tries >= 3
        server.refuse = None
        await until(server, 1)
        door.bulletin.tell_visit("clip", "ring")
        await until(server, 2)
    assert server.texts()[1] == "Somebody rang."


async def test_visits_that_waited_for_a_server_that_did_not_answer_are_not_told_later(
    door: Door, server: NtfyServer
) -> None:
    server.refuse, server.slow_s = 503, 0.5
    async with door.talking():
        for label in ("person", "vehicle", "animal"):
            door.bulletin.tell_visit("clip", label)
        await asyncio.sleep(0.2)
        server.refuse = None
        await asyncio.sleep(0.6)
        door.bulletin.tell_visit("clip", "ring")
        await until(server, 1)
    assert server.texts() == ["Somebody rang."]


async def test_a_disk_that_cannot_note_it_makes_no_second_notice(
    door: Door, server: NtfyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.core.backoff.Backoff.next_s", lambda *_: 0.1)
    full = True
    told = door.home.ledger.told

    def note(request: str, now_ns: int) -> None:
        if full:
            raise Unavailable("the disk is full")
        told(request, now_ns)

    monkeypatch.setattr(door.home.ledger, "told", note)
    async with door.talking():
        door.ask()
        await until(server, 1)
        await asyncio.sleep(0.5)
        full = False
        await asyncio.sleep(0.3)
        await until(server, 1)
    assert door.home.ledger.untold() == []


async def test_a_trouble_that_lasts_is_told_once_and_its_end(door: Door, server: NtfyServer) -> None:
    address = "rtsp://admin:secret@camera/1 does not answer"
    async with door.talking():
        door.troubles = [Trouble("camera", address, "2024-05-01T00:00:00Z")]
        door.bulletin.tell("status")
        await asyncio.sleep(0.1)
        door.troubles = []
        door.bulletin.tell("status")
        await asyncio.sleep(0.3)
        assert server.taken == [], "it was gone again in a moment"
        door.troubles = [Trouble("camera", address, "2024-05-01T00:00:00Z")]
        for _ in range(6):
            door.bulletin.tell("status")
            await asyncio.sleep(0.1)
        await until(server, 1)
        door.troubles = []
        door.bulletin.tell("status")
        await until(server, 2)
    assert server.texts() == [notice.trouble("camera").text, notice.MENDED.text]
    assert "secret" not in str(server.taken)


async def test_a_protected_topic_wants_its_token(tmp_path: Path) -> None:
    with NtfyServer(token="tk_right") as server:
        for token, taken in (("", 0), ("tk_wrong", 0), ("tk_right", 1)):
            phones = owner_phones(server.url, "Door", "", token)
            assert phones is not None
            if taken:
                await phones.tell(notice.TRIED)
            else:
                with pytest.raises(Unavailable, match=r"notify\.ntfy_token"):
                    await phones.tell(notice.TRIED)
            assert len(server.taken) == taken
    with pytest.raises(Unavailable, match="cannot be reached"):
        await phones.tell(notice.TRIED)


def test_there_are_words_for_every_label_and_they_name_nothing_else() -> None:
    for label in (*LABELS, "motion"):
        said = notice.visit(label)
        assert said is not None
        assert said.text.endswith(".")
    assert notice.visit("unheard-of") is None
    assert notice.trouble("unheard-of").text


@pytest.mark.parametrize(
    "url",
    ["ntfy.sh/topic", "ftp://ntfy.sh/topic", "https://ntfy.sh", "https://ntfy.sh/", "https://ntfy.sh/a/b", "https:///x",
     "https://ntfy.sh/a b", "https://u:p@ntfy.sh/x", "https://ntfy.sh/x?auth=1", "https://ntfy.sh:x/x", "https://[/x",
     "https://ntfy.sh/" + 65 * "x"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_by_name(url: str) -> None:
    with pytest.raises(BadInput, match=r"notify\.ntfy"):
        NtfyTopic.parse(url)
    with pytest.raises(BadInput, match=r"notify\.page"):
        owner_phones("https://ntfy.sh/topic", "Door", "doorbell.local", "")
    with pytest.raises(BadInput, match=r"notify\.ntfy_token"):
        owner_phones("https://ntfy.sh/topic", "Door", "", "tk_a\r\nHost: other")
    assert owner_phones("", "Door", "", "") is None


@given(st.text(max_size=60))
def test_any_address_is_a_topic_or_refused(text: str) -> None:
    for url in (text, f"https://{text}", f"https://ntfy.sh/{text}"):
        try:
            topic = NtfyTopic.parse(url)
        except BadInput:
            continue
        assert topic.server.startswith(("https://", "http://"))
        assert topic.server.endswith("/")
