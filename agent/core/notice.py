"""What the owner's phones are told when nobody looks at the page, and how ntfy wants to hear it.

Owns the words and the message; never sends. The words pass a server that is not the household's, so they say that there
is something to look at and nothing of what: no agency, no case, no time, no place. Source: docs.ntfy.sh/publish
("Publish as JSON"), docs/design/notifications.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import msgspec

from agent.core.encoding import to_json
from agent.core.errors import BadInput
from agent.core.labels import RING

USUAL: Final = 3
HIGH: Final = 4
_TOPIC = re.compile(r"[-_A-Za-z0-9]{1,64}")
_MOTION: Final = "motion"
_VISITS: Final = {
    RING: ("Somebody rang.", "bell", HIGH),
    "person": ("Somebody is at the door.", "wave", USUAL),
    "vehicle": ("A vehicle is at the door.", "car", USUAL),
    "animal": ("An animal is at the door.", "paw_prints", USUAL),
    _MOTION: ("Something moves at the door.", "eyes", USUAL),
}
_TROUBLES: Final = {
    "camera": "Nothing is being recorded: the camera gives no pictures. The page says more.",
    "disk": "Nothing is being recorded: the disk takes nothing. The page says more.",
    "button": "The doorbell's button is stuck. The page says more.",
}
_ANY_TROUBLE: Final = "The doorbell needs you. The page says what is wrong."


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence for the owner's phones, the emoji beside it (ntfy's name), and how loud it is (1 to 5, 3 is usual)."""

    text: str
    tag: str
    priority: int = USUAL


REQUEST: Final = Notice("Somebody asks for video. Look at it when it suits you; you need not answer.", "envelope")
MENDED: Final = Notice("The doorbell is well again.", "white_check_mark")
TRIED: Final = Notice("This is how Doorward will reach you.", "wave")


def visit(label: str) -> Notice | None:
    """Who is at the door; None for a label there are no words for."""
    said = _VISITS.get(label)
    return Notice(*said) if said else None


def trouble(part: str) -> Notice:
    """What is wrong. The trouble's own sentence stays at home: it may name addresses and files."""
    return Notice(_TROUBLES.get(part, _ANY_TROUBLE), "warning")


class _Message(msgspec.Struct, frozen=True, omit_defaults=True):
    topic: str
    title: str
    message: str
    tags: list[str]
    priority: int
    click: str = ""


@dataclass(frozen=True, slots=True)
class NtfyTopic:
    """A topic at an ntfy server: whoever knows its name can read it."""

    server: str
    name: str

    @staticmethod
    def parse(url: str) -> NtfyTopic:
        """From `https://server/topic`. BadInput says what is wrong with it."""
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as e:
            raise BadInput(f"notify.ntfy '{url[:80]}' is no address: {e}") from e
        name = parts.path.strip("/")
        if parts.scheme not in ("https", "http") or not host or parts.query or parts.fragment or "@" in parts.netloc:
            raise BadInput(
                "notify.ntfy must be like https://ntfy.sh/topic; an access token goes into notify.ntfy_token"
            )
        if not _TOPIC.fullmatch(name):
            raise BadInput(
                "notify.ntfy must end in the topic's name: up to 64 letters, digits, - and _, that nobody can guess"
            )
        return NtfyTopic(f"{parts.scheme}://{parts.netloc}/", name)

    def message(self, title: str, notice: Notice, page: str) -> bytes:
        """The body to post to the server. `page`: what a tap opens, or empty."""
        return to_json(_Message(self.name, title, notice.text, [notice.tag], notice.priority, page))
