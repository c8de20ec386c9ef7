"""Who may come in: pairing a first phone by the secret in the QR code, and sessions proved by a signed challenge.

Sessions live in memory only and end with the process. A challenge is kept nowhere: it carries its end and a MAC, so
that nobody can use up a stock of them; only what an owner has answered is remembered, until it has ended.
Source: docs/spec/identity.md "Pairing", "Session".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core import identity, statements
from agent.core.encoding import b64u, format_time, from_b64u
from agent.core.errors import Corrupt, Refused
from agent.core.identity import OwnerSet, Paired, SessionProof
from agent.core.owner_api import Challenge, Device, HelloAnswer, PairAnswer, Session
from agent.core.statements import Kind
from agent.core.timeline import DoorbellTime
from agent.store.ledger import Ledger
from agent.store.state import device_id

_SESSIONS_LIMIT = 64
_ANSWERED_LIMIT = 1_024
_END_BYTES = 8
_NONCE_BYTES = 8
_MAC_BYTES = 16


class Doorkeeper:
    """Pairs, challenges, remembers sessions. `random` gives random bytes.

    How long anything is good goes by the boot clock: setting the other one moves it by decades.
    """

    def __init__(
        self,
        ledger: Ledger,
        device: Ed25519PrivateKey,
        name: str,
        version: str,
        time: DoorbellTime,
        random: Callable[[int], bytes],
    ) -> None:
        self._ledger = ledger
        self._device = device
        self._name = name
        self._version = version
        self._time = time
        self._random = random
        self._challenge_key = random(32)
        self._answered: dict[str, int] = {}  # challenge → when it ends
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
        self._ledger.put_owners(new.version, token, self._time.now())
        digest = b64u(statements.digest(token))
        paired = statements.sign(Kind.PAIRED, Paired(device_id(self._device), digest), self._device)
        return PairAnswer(paired.decode(), b64u(identity.pairing_mac(secret, "doorward paired v1", paired)))

    def _prove(self, label: str, message: bytes, mac: str) -> bytes:
        secret = self._ledger.pairing_secret(self._time.boot, self._time.boot_ns())
        try:
            claimed = from_b64u(mac, 32)
        except Corrupt as e:
            raise Refused("wrong-secret", f"the proof of the pairing code: {e}") from e
        identity.check_pairing_mac(secret, label, message, claimed)
        self._ledger.pairing_proved()
        return secret

    def challenge(self) -> Challenge:
        """Something fresh to sign."""
        end = self._time.boot_ns() + identity.CHALLENGE_LIFE_NS
        body = end.to_bytes(_END_BYTES, "big") + self._random(_NONCE_BYTES)
        return Challenge(b64u(body + self._challenge_mac(body)), self._shown(identity.CHALLENGE_LIFE_NS))

    def _shown(self, life_ns: int) -> str:
        """The end of something that begins now, for people."""
        return format_time(self._time.now() + life_ns)

    def _challenge_mac(self, body: bytes) -> bytes:
        return hmac.digest(self._challenge_key, b"doorward challenge v1" + body, "sha256")[:_MAC_BYTES]

    def _take_challenge(self, text: str, now: int) -> bool:
        """Whether `text` is a challenge of this process, not ended and not answered before; from now on it is."""
        raw = from_b64u(text, _END_BYTES + _NONCE_BYTES + _MAC_BYTES)
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        end = int.from_bytes(body[:_END_BYTES], "big")
        if not hmac.compare_digest(self._challenge_mac(body), mac) or end <= now or text in self._answered:
            return False
        self._answered = {t: e for t, e in self._answered.items() if e > now}
        if len(self._answered) >= _ANSWERED_LIMIT:
            raise Refused("too-many", "an owner signs in too often; try again in a minute")
        self._answered[text] = end
        return True

    def open_session(self, proof: str) -> Session:
        """A session for the owner (or recovery code) who signed an open challenge; Refused("no-session") otherwise."""
        owners = self.owner_set()
        keys = owners.signers() if owners else {}
        token = proof.encode()
        said = statements.read(Kind.SESSION, token, keys, SessionProof)
        now = self._time.boot_ns()
        if said.device != device_id(self._device) or not self._take_challenge(said.challenge, now):
            raise Refused("no-session", "this answer is for another doorbell or comes too late; ask again")
        owner = statements.signer(Kind.SESSION, token)
        secret = self._random(32)
        self._sessions = {t: s for t, s in self._sessions.items() if s[1] > now}
        while len(self._sessions) >= _SESSIONS_LIMIT:
            self._sessions.pop(next(iter(self._sessions)))
        self._sessions[hashlib.sha256(secret).digest()] = (owner, now + identity.SESSION_LIFE_NS)
        return Session(b64u(secret), self._shown(identity.SESSION_LIFE_NS), owner)

    def owner_of(self, token: str) -> str:
        """The kid of the owner whose session this is, still in the owner set; Refused("no-session") otherwise."""
        try:
            key = hashlib.sha256(from_b64u(token, 32)).digest()
        except Corrupt as e:
            raise Refused("no-session", "this is not a session's token") from e
        owner, end = self._sessions.get(key, ("", 0))
        owners = self.owner_set()
        if end <= self._time.boot_ns() or owners is None or owner not in owners.signers():
            raise Refused("no-session", "the session has ended; sign in again")
        return owner
