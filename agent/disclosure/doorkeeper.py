"""Who may come in: pairing a first phone by the secret in the QR code, and sessions proved by a signed challenge.

Sessions live in memory only and end with the process. Source: docs/spec/identity.md "Pairing", "Session".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core import identity, statements
from agent.core.encoding import b64u, format_time, from_b64u
from agent.core.errors import Corrupt, Refused
from agent.core.identity import OwnerSet, Paired, SessionProof
from agent.core.owner_api import Challenge, Device, HelloAnswer, PairAnswer, Session
from agent.core.statements import Kind
from agent.store.ledger import Ledger
from agent.store.state import device_id

_SESSIONS_LIMIT = 64
_CHALLENGES_LIMIT = 256


class Doorkeeper:
    """Pairs, challenges, remembers sessions. `now` is UTC ns, `random` gives random bytes."""

    def __init__(
        self,
        ledger: Ledger,
        device: Ed25519PrivateKey,
        name: str,
        version: str,
        now: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self._ledger = ledger
        self._device = device
        self._name = name
        self._version = version
        self._now = now
        self._random = random
        self._challenges: dict[str, int] = {}
        self._sessions: dict[bytes, tuple[str, int]] = {}

    def owner_set(self) -> OwnerSet | None:
        """The owner set in force."""
        current = self._ledger.owners()
        return identity.read_owner_set(current, device_id(self._device)) if current else None

    def device(self) -> Device:
        """What anybody on the home network may know."""
        owners = self.owner_set()
        paired = bool(owners and owners.owners)
        key = b64u(statements.raw_public(self._device))
        return Device(device_id(self._device), key, paired, "" if paired else self._name, self._version)

    def hello(self, mac: str) -> HelloAnswer:
        """Step 1 of pairing. Refused: no-pairing, wrong-secret."""
        secret = self._prove("doorward pair hello v1", b"", mac)
        current = self._ledger.owners() or b""
        answer = identity.pairing_mac(secret, "doorward pair device v1", statements.raw_public(self._device) + current)
        return HelloAnswer(self.device(), current.decode() or None, b64u(answer))

    def pair(self, owners: str, mac: str) -> PairAnswer:
        """Step 2: take over the owner set the phone made. Refused by name."""
        token = owners.encode()
        secret = self._prove("doorward pair v1", token, mac)
        current = self._ledger.owners()
        new = identity.accept_owner_set(current, token, device_id(self._device), authorised_here=True)
        self._ledger.put_owners(new.version, token, self._now())
        digest = b64u(statements.digest(token))
        paired = statements.sign(Kind.PAIRED, Paired(device_id(self._device), digest), self._device)
        return PairAnswer(paired.decode(), b64u(identity.pairing_mac(secret, "doorward paired v1", paired)))

    def _prove(self, label: str, message: bytes, mac: str) -> bytes:
        secret = self._ledger.pairing_secret(self._now())
        try:
            claimed = from_b64u(mac, 32)
        except Corrupt as e:
            raise Refused("wrong-secret", f"the proof of the pairing code: {e}") from e
        identity.check_pairing_mac(secret, label, message, claimed)
        self._ledger.pairing_proved()
        return secret

    def challenge(self) -> Challenge:
        """Something fresh to sign."""
        now = self._now()
        self._challenges = {c: end for c, end in self._challenges.items() if end > now}
        if len(self._challenges) >= _CHALLENGES_LIMIT:
            raise Refused("too-many", "too many are asking to come in at once; try again in a minute")
        text = b64u(self._random(32))
        self._challenges[text] = now + identity.CHALLENGE_LIFE_NS
        return Challenge(text, format_time(self._challenges[text]))

    def open_session(self, proof: str) -> Session:
        """A session for the owner (or recovery code) who signed an open challenge; Refused("no-session") otherwise."""
        owners = self.owner_set()
        keys = owners.signers() if owners else {}
        token = proof.encode()
        said = statements.read(Kind.SESSION, token, keys, SessionProof)
        now = self._now()
        expires = self._challenges.pop(said.challenge, 0)
        if said.device != device_id(self._device) or expires <= now:
            raise Refused("no-session", "this answer is for another doorbell or comes too late; ask again")
        owner = statements.signer(Kind.SESSION, token)
        secret = self._random(32)
        self._sessions = {t: s for t, s in self._sessions.items() if s[1] > now}
        while len(self._sessions) >= _SESSIONS_LIMIT:
            self._sessions.pop(next(iter(self._sessions)))
        end = now + identity.SESSION_LIFE_NS
        self._sessions[hashlib.sha256(secret).digest()] = (owner, end)
        return Session(b64u(secret), format_time(end), owner)

    def owner_of(self, token: str) -> str:
        """The kid of the owner whose session this is, still in the owner set; Refused("no-session") otherwise."""
        try:
            key = hashlib.sha256(from_b64u(token, 32)).digest()
        except Corrupt as e:
            raise Refused("no-session", "this is not a session's token") from e
        owner, end = self._sessions.get(key, ("", 0))
        owners = self.owner_set()
        if end <= self._now() or owners is None or owner not in owners.signers():
            raise Refused("no-session", "the session has ended; sign in again")
        return owner
