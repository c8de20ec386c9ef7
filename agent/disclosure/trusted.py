"""Who may ask: requesters pinned one by one, and those in the directory the owner pinned, as long as it is in force.

Keeps the newest directory ever seen durably, so that an old one cannot be put back; never trusts one for the way it
came. Source: docs/spec/identity.md "Requester", "Directory".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from agent.core import identity
from agent.core.directory import Listing, accept_directory, read_directory
from agent.core.encoding import b64u, parse_time
from agent.core.errors import BadInput, Refused, Unavailable
from agent.core.identity import RequesterStatement
from agent.core.owner_api import DirectoryInfo, DirectoryStatement
from agent.store.ledger import Ledger

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 3600.0

Known = Mapping[str, tuple[bytes, RequesterStatement]]


class Trusted:
    """Requesters of one doorbell. `pinned`: their statements; `directory_key`: raw, None where none is pinned."""

    def __init__(
        self,
        ledger: Ledger,
        pinned: Sequence[bytes],
        directory_key: bytes | None,
        now: Callable[[], int],
    ) -> None:
        self._ledger = ledger
        self._pinned = {said.id: (t, said) for t, said in ((t, identity.read_requester_statement(t)) for t in pinned)}
        self._key = directory_key
        self._now = now
        self._listing: Listing | None = None
        self._token: bytes | None = None
        if directory_key is not None:
            self._token = ledger.directory(b64u(directory_key))
            if self._token is not None:
                self._listing = read_directory(self._token, directory_key)

    def known(self) -> Known:
        """Who may ask now, by kid: statement as bytes and as read. One pinned by hand goes before the directory's."""
        listed = {} if self._listing is None or self._listing.expired(self._now()) else self._listing.requesters
        return {**listed, **self._pinned}

    def where(self, requester: str) -> str | None:
        """`pinned` or `directory`; None for who is not trusted now."""
        found = self.known().get(requester)
        if found is None or parse_time(found[1].expires) <= self._now():
            return None
        return "pinned" if requester in self._pinned else "directory"

    def info(self) -> DirectoryInfo | None:
        """What to tell the owner of the directory; None where none was pinned or has come yet."""
        if self._listing is None or self._key is None:
            return None
        said, expired = self._listing.said, self._listing.expired(self._now())
        return DirectoryInfo(said.name, said.version, said.expires, b64u(self._key), expired, len(said.requesters))

    def statement(self) -> DirectoryStatement | None:
        """The directory itself, for a phone to check."""
        if self._token is None or self._key is None:
            return None
        return DirectoryStatement(b64u(self._key), self._token.decode("ascii"))

    def offer(self, token: bytes) -> bool:
        """Take over a newer directory; False when it is the one in force. Refused by name, and nothing changes then."""
        if self._key is None:
            raise Refused("unknown-signer", "no directory is pinned here")
        listing = accept_directory(self._token, token, self._key)
        if token == self._token:
            return False
        self._ledger.put_directory(b64u(self._key), listing.said.version, token, self._now())
        self._listing, self._token = listing, token
        log.info("directory '%s', version %d, is in force", listing.said.name, listing.said.version)
        return True

    async def keep_up(self, fetch: Callable[[], Awaitable[bytes]], changed: Callable[[], None]) -> None:
        """Until cancelled: look for a newer one every hour. One that does not come, or is bad, changes nothing."""
        while True:
            try:
                if self.offer(await fetch()):
                    changed()
            except (Refused, Unavailable, BadInput) as e:
                log.warning("the directory of requesters was not renewed: %s", e)
            await asyncio.sleep(LOOK_AGAIN_S)
