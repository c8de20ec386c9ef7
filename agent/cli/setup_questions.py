"""What `doorward setup` asks, one function a question: each says what it is for, asks, tries the answer for real.

A question returns the settings that its answer means, and writes nothing.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from agent.adapters.broker import BrokerAddress
from agent.adapters.ntfy import owner_phones
from agent.adapters.vitals import Service
from agent.broker_talk import broker_address
from agent.camera_search import Search, search
from agent.cli.asking import Person
from agent.config import Config
from agent.core import notice
from agent.core.errors import BadInput, DoorwardError
from agent.core.health import Finding, Verdict, bad
from agent.core.notice import NtfyTopic
from agent.core.place import parse_place
from agent.core.settings_text import Key, Value
from agent.examining import film_some, try_broker, try_camera
from agent.live import live_source
from agent.secure_home import stays_here

Settings = dict[Key, Value]

NONE: Final = "none"
_KEEP: Final = "keep"
_NEW: Final = "new"
_SMALLER: Final = ((1280, 720), (640, 480))
_TOPIC_BYTES: Final = 10  # 80 bits: nobody guesses it, and sixteen letters can be typed on a phone


@dataclass(frozen=True, slots=True)
class Situation:
    """What the questions are asked about. `paired`: an owner is there already; `unit`: the service, if there is one."""

    person: Person
    config: Config
    state: Path
    unit: Service | None
    paired: bool


Question = Callable[[Situation], Settings]


def ask_all(about: Situation) -> Settings:
    """Every question in order. click.Abort where the person leaves."""
    answers: Settings = {}
    for number, (title, question) in enumerate(_QUESTIONS, 1):
        about.person.heading(f"{number} of {len(_QUESTIONS)} · {title}")
        answers |= question(about)
        about = _afterwards(about, answers)
    return answers


def _afterwards(about: Situation, answers: Settings) -> Situation:
    """The situation as it will be with these settings: later questions go by earlier answers."""
    return Situation(about.person, with_answers(about.config, answers), about.state, about.unit, about.paired)


def with_answers(config: Config, answers: Settings) -> Config:
    """The configuration with them. BadInput where that is none."""
    for (section, name), value in answers.items():
        changed = msgspec.structs.replace(getattr(config, section), **{name: value})
        config = msgspec.structs.replace(config, **{section: changed})
    return config


def without_secrets(value: Value) -> str:
    """For the screen: an address without user, password and what follows a question mark."""
    text = str(value)
    if "://" not in text:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return text.partition("://")[0] + "://…"
    _, at, host = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme, f"…@{host}" if at else host, parts.path, "…" if parts.query else "", ""))


def _name(about: Situation) -> Settings:
    about.person.tell("Your phone shows it when somebody is at the door.")

    def read(answer: str) -> Settings:
        name = answer or about.config.doorbell.name
        if len(name) > 64 or not name.isprintable():
            raise BadInput("a name has at most 64 letters")
        return {("doorbell", "name"): name}

    return about.person.ask(about.config.doorbell.name, read)


def _place(about: Situation) -> Settings:
    here = (about.config.doorbell.latitude, about.config.doorbell.longitude)
    about.person.tell(
        "Who asks for video names an area; the doorbell itself looks whether it is in there. Where it is never leaves "
        "the doorbell; a broker learns only which 5 km² of town. Press long on your home in a map app and copy the "
        "two numbers, like 48.2082, 16.3738."
    )
    if here != (0.0, 0.0):
        about.person.tell(f"'{NONE}': no request can concern your home.")

    def read(answer: str) -> Settings:
        place = here if not answer else (0.0, 0.0) if answer.lower() == NONE else parse_place(answer)
        return {("doorbell", "latitude"): place[0], ("doorbell", "longitude"): place[1]}

    known = here != (0.0, 0.0)
    return about.person.ask(f"{here[0]:g}, {here[1]:g}" if known else "none; no request can concern your home", read)


def _camera(about: Situation) -> Settings:
    person, now = about.person, about.config.camera.url
    if about.config.camera.replay:
        person.tell("The settings name film files to replay instead of a camera (camera.replay); that stays so.")
        return {}
    with person.waiting("Looking for cameras …"):
        found = search()
    for hindrance in found.hindrances:
        person.tell_finding(bad("camera", hindrance, ""))
    for number, camera in enumerate(found.cameras, 1):
        person.tell(f"  {number}  {camera.name}")
    person.tell(
        f"{'Its number, or the' if found.cameras else 'No camera was found on this machine. The'} address of a camera "
        f"on your network, like rtsp://user:password@192.168.1.20/stream (its manual says it), or '{NONE}'."
    )
    proposed = now or (found.cameras[0].url if found.cameras else "")

    def read(answer: str) -> str:
        return _camera_url(answer, found, about)

    chosen = _chosen(person, proposed, without_secrets(proposed) or NONE, read)
    trial = _Trial(about)
    url = _settled(person, chosen, read, trial.comes)
    answers: Settings = {("camera", "url"): url}
    if "://" in url:
        return answers | {("camera", "rotate"): 0}  # a camera on the network has such a setting of its own
    return answers | trial.smaller(url)


def _chosen(person: Person, proposed: str, shown: str, read: Callable[[str], str]) -> str:
    """An address, `proposed` for Enter, "" for none. `read`: of any other answer; BadInput where it is no address."""

    def meant(answer: str) -> str:
        if not answer:
            return proposed
        return "" if answer.lower() == NONE else read(answer)

    return person.ask(shown, meant)


def _settled(person: Person, chosen: str, read: Callable[[str], str], works: Callable[[str], bool]) -> str:
    """`chosen` if it works, or what the person says then: try again, another one, this one all the same, or none."""
    while chosen and not works(chosen):
        person.tell(f"Enter tries again. Or write another one, '{_KEEP}' to keep it as it is, or '{NONE}'.")
        last = chosen
        again = _chosen(person, last, "try again", lambda answer: _KEEP if answer.lower() == _KEEP else read(answer))
        if again == _KEEP:
            break
        chosen = again
    return chosen


def _camera_url(answer: str, found: Search, about: Situation) -> str:
    """The camera that a number or an address means. BadInput where it is neither."""
    url = answer
    if answer.isascii() and answer.isdigit():
        if not 1 <= int(answer) <= len(found.cameras):
            raise BadInput(f"there is no camera {answer} in the list")
        url = found.cameras[int(answer) - 1].url
    live_source(with_answers(about.config, {("camera", "url"): url}))
    return url


class _Trial:
    """Tries cameras, and tells how it went. `slow`: the last one's pictures came, but too few."""

    def __init__(self, about: Situation) -> None:
        self._about = about
        self.slow = False

    def comes(self, url: str, size: Settings | None = None) -> bool:
        """Whether pictures come of that camera."""
        about = self._about
        same = url == about.config.camera.url and size is None
        config = with_answers(about.config, {("camera", "url"): url, **(size or {})})
        with about.person.waiting("Opening the camera, and counting its pictures for some seconds …"):
            findings = _tried(
                "camera", lambda: try_camera(config, about.state, about.unit) if same else film_some(config)
            )
        wrong = {found.check for found in findings if found.verdict is Verdict.BAD}
        for found in findings:
            # What to do about too few pictures is asked next.
            about.person.tell_finding(found if found.check == "camera" else replace(found, do=""))
        self.slow = "encoder" in wrong
        return "camera" not in wrong

    def smaller(self, url: str) -> Settings:
        """A size that this machine keeps up with, where the wanted one is too much for it and the person agrees."""
        person, camera = self._about.person, self._about.config.camera
        chosen: Settings = {}
        for width, height in _SMALLER:
            if not self.slow or width >= camera.width:
                continue
            person.tell(f"That is too much for this machine. Try pictures of {width}×{height}?")
            if not person.agrees(True):
                break
            size: Settings = {("camera", "width"): width, ("camera", "height"): height}
            if not self.comes(url, size):
                break
            chosen = size
        return chosen


def _tried(check: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    try:
        return list(look())
    except DoorwardError as error:
        return [bad(check, str(error), "")]


def _page(about: Situation) -> Settings:
    host = about.config.http.host
    about.person.tell(
        "May phones in your home open the doorbell's page? One of them becomes the owner's, and nothing is recorded "
        "before. They reach it by HTTPS, and nobody outside your home does. No: only this machine itself opens it."
    )
    reached = not stays_here(host)
    if not about.person.agrees(reached or not about.paired):
        return {("http", "host"): "127.0.0.1" if reached else host}
    return {("http", "host"): host if reached else "0.0.0.0"}  # noqa: S104  # by HTTPS: docs/design/https.md


def _notices(about: Situation) -> Settings:
    person, now = about.person, about.config.notify.ntfy
    person.tell(
        "Your phone can tell you while the page is closed: through the free app ntfy and a topic there with a name "
        "nobody can guess. Its server learns that something happened and when, never what."
    )
    person.tell(f"'{_NEW}' makes such a topic, or write the address of yours, or '{NONE}'.")

    def read(answer: str) -> str:
        if answer.lower() == _NEW:
            name = base64.b32encode(secrets.token_bytes(_TOPIC_BYTES)).decode().lower()
            return f"https://ntfy.sh/doorward-{name}"
        NtfyTopic.parse(answer)
        return answer

    topic = _chosen(person, now, now or NONE, read)
    if topic != now:
        topic = _settled(person, topic, read, lambda url: _told(about, url))
    return {("notify", "ntfy"): topic}


def _told(about: Situation, url: str) -> bool:
    """Whether a notice to try it was taken, told."""
    person, topic = about.person, NtfyTopic.parse(url)
    server = "" if topic.server == "https://ntfy.sh/" else f", 'Use another server': {topic.server.rstrip('/')}"
    person.tell(f"On your phone: install ntfy, press +, subscribe to this topic{server}:")
    person.show(f"  {topic.name}")
    person.ask("done; send it a notice", lambda answer: answer)
    told = about.config.notify
    phones = owner_phones(url, about.config.doorbell.name, told.page, told.ntfy_token)
    assert phones is not None, "there is a topic"
    try:
        with person.waiting("Sending …"):
            asyncio.run(phones.tell(notice.TRIED))
    except DoorwardError as error:
        person.tell_finding(bad("push", str(error), ""))
        return False
    person.tell(f"✓ {topic.server} took it. If your phone shows nothing, look at the topic's name there.", "green")
    return True


def _broker(about: Situation) -> Settings:
    person, now = about.person, about.config.broker.url
    person.tell(
        "Requests come through a broker (MQTT). Whoever runs it for your town or neighbourhood tells you its address, "
        "like mqtts://name:password@host:8883. Without one nobody can ask, and everything else works."
    )
    if now:
        person.tell(f"'{NONE}': nobody can ask.")

    def read(answer: str) -> str:
        _address(about, answer)
        return answer

    chosen = _chosen(person, now, without_secrets(now) or "none; nobody can ask", read)
    return {("broker", "url"): _settled(person, chosen, read, lambda url: _takes(about, url))}


def _address(about: Situation, url: str) -> BrokerAddress | None:
    return broker_address(msgspec.structs.replace(about.config.broker, url=url))


def _takes(about: Situation, url: str) -> bool:
    with about.person.waiting("Asking the broker …"):
        findings = _tried("broker", lambda: try_broker("broker", _address(about, url)))
    for found in findings:
        about.person.tell_finding(found)
    return all(found.verdict is not Verdict.BAD for found in findings)


_QUESTIONS: Final[tuple[tuple[str, Question], ...]] = (
    ("The doorbell's name", _name),
    ("Where it is", _place),
    ("The camera", _camera),
    ("Your phone", _page),
    ("Notices", _notices),
    ("Requests", _broker),
)
