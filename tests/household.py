"""A doorbell, an owner, a recovery code and a requester for tests: real keys, real files, no network."""

from __future__ import annotations

import itertools
import secrets
import sqlite3
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core import identity, statements
from agent.core.area import Circle
from agent.core.consent import State
from agent.core.encoding import b64u, format_time, key_id, new_id
from agent.core.frame import Track
from agent.core.identity import KeyPair, OwnerSet, RequesterStatement
from agent.core.release import Asked
from agent.core.request import Asker, FootageRequest, sign_request
from agent.core.retention import Limits
from agent.core.statements import Kind
from agent.core.timeline import Span, TimeBase, Trust
from agent.setup import open_state
from agent.store.clips import ClipStart, ClipStore
from agent.store.index import ClipRow
from agent.store.keeping import Keeper
from agent.store.ledger import Ledger, RequestRow
from agent.store.recording import Fragment, OpenClip
from agent.store.ring import Ring
from agent.store.state import StateDirectory, device_id

SECOND = 1_000_000_000
NOW = 1_790_000_000 * SECOND  # some day in September 2026
HOME = (42.3611, -71.0571)


def new_keys() -> KeyPair:
    """A person's keys."""
    return KeyPair.from_seeds(secrets.token_bytes(32), secrets.token_bytes(32))


class HandSet:
    """A doorbell's time that a test sets by hand. `stepped_ns`: how far somebody has set the clock."""

    def __init__(self, boot_ns: Callable[[], int]) -> None:
        self.boot = "this boot"
        self.boot_ns = boot_ns
        self.is_known = True
        self.stepped_ns = 0

    def now(self) -> int:
        """UTC ns."""
        return self.boot_ns() + self.stepped_ns

    def known(self) -> bool:
        """Whether that can be relied on."""
        return self.is_known


@dataclass
class Household:
    """One doorbell's state directory, opened, with one owner paired."""

    state: StateDirectory
    db: sqlite3.Connection
    device: Ed25519PrivateKey
    owner: KeyPair
    recovery: KeyPair
    requester: KeyPair
    counter: itertools.count[int] = field(default_factory=itertools.count)

    @classmethod
    def at(cls, root: Path) -> Household:
        """Set up in `root`."""
        opened = open_state(StateDirectory(root, create=True), NOW, secrets.token_bytes, make_recovery=False)
        home = cls(opened.state, opened.db, opened.device, new_keys(), new_keys(), new_keys())
        home.ledger.put_owners(1, home.owner_set_statement, NOW)
        return home

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.db)

    @property
    def clips(self) -> ClipStore:
        return ClipStore(Ring(self.state.ring), self.db, self.device)

    def keeper(self, budget: int = 10**9, *, min_free: int = 0, age_ns: int = 0) -> Keeper:
        """What keeps the ring within these limits; it believes the time to be NOW."""
        return Keeper(self.clips, self.ledger, Limits(budget, min_free, age_ns), lambda: NOW)

    @property
    def device_id(self) -> str:
        return device_id(self.device)

    @property
    def owner_set(self) -> OwnerSet:
        return OwnerSet(
            device=self.device_id,
            version=1,
            issued=format_time(NOW),
            previous="",
            owners=[identity.owner_entry("phone", self.owner)],
            recovery=[identity.recovery_entry(self.recovery)],
        )

    @property
    def owner_set_statement(self) -> bytes:
        return statements.sign(Kind.OWNERS, self.owner_set, self.owner.signs)

    @property
    def requester_statement(self) -> bytes:
        said = RequesterStatement(
            id=self.requester.kid,
            agency="Springfield Police",
            signs=b64u(self.requester.signs_public),
            opens=b64u(self.requester.opens_public),
            issued=format_time(NOW - SECOND),
            expires=format_time(NOW + 10**9 * SECOND),
        )
        return statements.sign(Kind.REQUESTER, said, self.requester.signs)

    def begin_clip(self, start_ns: int = NOW, base: TimeBase | None = None) -> OpenClip:
        """A clip being recorded, on a boot clock where there is a `base`."""
        token = self.ledger.owners()
        assert token is not None
        owners = identity.read_owner_set(token, self.device_id)
        base = base or TimeBase(0, start_ns, Trust.SYNCHRONISED, b64u(bytes(16)))
        start = ClipStart(
            base.utc_ns, base.trust, base.boot, base.source_ns // 1000, secrets.token_bytes(16), secrets.token_bytes(32)
        )
        return self.clips.begin(start, owners, statements.digest(token))

    def record_clip(
        self, start_ns: int = NOW, seconds: int = 10, size: int = 2000, base: TimeBase | None = None
    ) -> ClipRow:
        """A closed clip of one-second records, key records at 0, 2, 4 …; audio beside the video."""
        clip = self.begin_clip(start_ns, base)
        clip.add_init(Track.VIDEO, b"init of the video")
        clip.add_init(Track.AUDIO, b"init of the audio")
        for n in range(seconds):
            clip.add(Track.VIDEO, Fragment(b"%06d" % n * (size // 6), n % 2 == 0, n * SECOND, SECOND))
            clip.add(Track.AUDIO, Fragment(b"sound %d" % n, True, n * SECOND, SECOND))
        clip.close([(2 * SECOND, 5 * SECOND)], [], [])
        return clip.row

    def request(self, span: Span, case: str = "24-118", replaces: str = "") -> tuple[bytes, FootageRequest]:
        """A request that a requester signed for this home."""
        said = FootageRequest(
            id=new_id(secrets.token_bytes(16)),
            requester=Asker(self.requester.kid, "Springfield Police", "Det. Alvarez", "555-0100"),
            case_number=case,
            incident_type="Package theft",
            message="A parcel was taken. Did your camera see anybody?",
            area=Circle((HOME[1], HOME[0]), 400.0),
            span_from=format_time(span.start_ns),
            span_to=format_time(span.end_ns),
            issued=format_time(NOW),
            expires=format_time(NOW + 72 * 3600 * SECOND),
            key=b64u(self.requester.opens_public),
            purpose="Investigation",
            retention="Two years",
            replaces=replaces,
        )
        return sign_request(said, self.requester.signs, now_ns=max(NOW, span.end_ns))[0], said

    def admit(self, span: Span, now_ns: int = NOW, held: Collection[int] | None = None) -> tuple[RequestRow, Asked]:
        """A request as the intake would store it, with its hold: on all its clips, or on those in `held`."""
        token, said = self.request(span)
        row = RequestRow(
            id=said.id,
            hash=b64u(statements.digest(token)),
            requester=self.requester.kid,
            case_number=said.case_number,
            statement=token,
            requester_statement=self.requester_statement,
            received_ns=now_ns,
            from_ns=span.start_ns,
            to_ns=span.end_ns,
            expires_ns=NOW + 72 * 3600 * SECOND,
            state=State.ASKED,
            decision=None,
            undo_until_ns=None,
        )
        sequences = [clip.sequence for clip in self.clips.overlapping(span)]
        self.ledger.admit(row, sequences, sequences if held is None else held)
        asked = Asked(row.hash, self.requester.kid, key_id(self.requester.opens_public), said.purpose, span)
        return row, asked
