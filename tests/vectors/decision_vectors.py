"""The decision vectors: one input, one outcome, one named reason.

Decisions and releases are made here by the letter of docs/spec/decision.md, not by the product's code. A clip begins
between two moments (the same where its time is known); its records stand as [flags, start_ns, duration_ns, hash]. With
an accepted share `opened` says what the requester finds in each release: hex of its secrets, by track and index.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.vectors.request_vectors import POLICE, STRANGER, Party, b64u
from tests.vectors.sealed_clip_vectors import hpke_seal

OWNER = Party(b"o", "")
SECOND_OWNER = Party(b"q", "")
RECOVERY = Party(b"r", "")
DEVICE = b64u(b"kid of a device.")
NOW = "2026-11-23T18:00:00Z"
SECOND = 1_000_000_000
OUT = "accepted"
REQUEST = {
    "hash": b64u(b"the hash of a request, 32 bytes!"),
    "requester": POLICE.kid,
    "key": b64u(hashlib.sha256(POLICE.opens).digest()[:16]),
    "purpose": "To find a witness.",
    "from": "2026-11-23T14:00:10Z",
    "to": "2026-11-23T14:30:00Z",
}


def digest_of(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


def clip(name: str, begins: str, seconds: int, latest: str = "") -> dict[str, Any]:
    """One record a second; every other video record and every sound record is a key."""
    tracks: dict[str, list[list[Any]]] = {}
    for track, every in (("video", 2), ("audio", 1)):
        rows: list[list[Any]] = [[2, 0, 0, b64u(digest_of(name, track, 0))]]
        for n in range(seconds):
            flags = 1 if n % every == 0 else 0
            rows.append([flags, n * SECOND, SECOND, b64u(digest_of(name, track, n + 1))])
        tracks[track] = rows
    id_ = b64u(digest_of(name)[:15] + b"\x00")
    return {
        "clip": "A" + id_[1:],
        "header": b64u(digest_of(name, "header")),
        "begins": [begins, latest or begins],
        "records": tracks,
    }


# The span begins at 14:00:10: of FIRST, records 9 (the key before it) to 20 of the video may be shared.
FIRST = clip("first", "2026-11-23T14:00:00.5Z", 20)
LATER = clip("later", "2026-11-23T14:10:00Z", 6)
UNSURE = clip("unsure", "2026-11-23T13:59:50Z", 6, "2026-11-23T14:00:20Z")
ELSEWHERE = clip("elsewhere", "2026-11-23T14:20:00Z", 6)


def from_b64u(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def track(of: dict[str, Any], name: str, first: int, last: int, **changes: Any) -> dict[str, Any]:
    hashes = [from_b64u(row[3]) for row in of["records"][name]]
    found = hashlib.sha256(b"".join([hashes[0], *hashes[first : last + 1]])).digest()
    return {"track": name, "first": first, "last": last, "digest": b64u(found)} | changes


def shared(of: dict[str, Any], *tracks: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"clip": of["clip"], "header": of["header"], "tracks": list(tracks)} | changes


VIDEO = track(FIRST, "video", 9, 20)
SHORTER = track(FIRST, "video", 9, 19)


def payload(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "request": REQUEST["hash"],
        "device": DEVICE,
        "answer": "share",
        "clips": [shared(FIRST, VIDEO)],
        "requester": REQUEST["requester"],
        "key": REQUEST["key"],
        "purpose": REQUEST["purpose"],
        "issued": "2026-11-23T17:59:58Z",
        "not_before": "2026-11-23T18:00:28Z",
        "expires": "2026-11-30T17:59:58Z",
    }
    return {k: v for k, v in (fields | changes).items() if v is not ...}


def secret(of: str, track: str, index: int) -> bytes:
    return digest_of("secret", of, track, index)


def indexes(part: dict[str, Any]) -> list[int]:
    return [0, *range(part["first"], part["last"] + 1)]


def secrets(of: str, part: dict[str, Any]) -> dict[str, str]:
    return {str(i): secret(of, part["track"], i).hex() for i in indexes(part)}


def releases_for(token: str, clips: list[dict[str, Any]]) -> list[str]:
    found = []
    for k, part in enumerate(clips):
        joined = b"".join(secret(part["clip"], t["track"], i) for t in part["tracks"] for i in indexes(t))
        info = b"doorward release v1" + hashlib.sha256(token.encode()).digest() + from_b64u(part["header"])
        ephemeral = X25519PrivateKey.from_private_bytes(bytes([97 + k]) * 32)
        found.append(b64u(hpke_seal(joined, POLICE.opens, info, ephemeral)))
    return found


class Case:
    """One vector. `by`: who signs; `header`: changes of the JWS header; `releases`: instead of the ones that fit.

    `record_bytes`: ciphertext and tag of each record of the clips, where their size matters.
    """

    def __init__(
        self, name: str, outcome: str, *, by: Party = OWNER, token: str | None = None, releases: Any = None,
        header: dict[str, Any] | None = None, record_bytes: int | None = None, **changes: Any,
    ) -> None:  # fmt: skip
        self.sizes = {} if record_bytes is None else {"record_bytes": record_bytes}
        self.name, self.outcome = name, outcome
        said = payload(**changes)
        self.token = token if token is not None else by.sign("doorward.decision.v1", said, **(header or {}))
        self.clips = said.get("clips") or []
        fits = outcome in (OUT, "bad-release")
        made = releases_for(self.token, self.clips) if fits else ["AA"] * len(self.clips)
        self.releases = releases(made) if releases else made

    def vector(self) -> dict[str, Any]:
        accepted = self.outcome == OUT
        opened = [{t["track"]: secrets(part["clip"], t) for t in part["tracks"]} for part in self.clips if accepted]
        return {
            "name": self.name,
            "outcome": self.outcome,
            "now": NOW,
            "device": DEVICE,
            "owners": [b64u(OWNER.public), b64u(SECOND_OWNER.public)],
            "recovery": [b64u(RECOVERY.public)],
            "request": REQUEST,
            "clips": [of | self.sizes for of in (FIRST, LATER, UNSURE)],
            "decision": self.token,
            "releases": self.releases,
        } | ({"opened": opened, "requester_opens": (b"p" * 32).hex()} if accepted else {})


def altered(token: str) -> str:
    head, body, signature = token.split(".")
    return f"{head}.{body[:-8]}{body[-8:].swapcase()}.{signature}"


def of_first(*tracks: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    return [shared(FIRST, *tracks, **changes)]


GOOD = OWNER.sign("doorward.decision.v1", payload())
DECLINE: dict[str, Any] = {"answer": "decline", "clips": [], "not_before": "2026-11-23T17:59:58Z"}
CASES = [
    Case("share", OUT),
    Case("share-by-the-second-owner", OUT, by=SECOND_OWNER),
    Case("share-with-sound", OUT, clips=of_first(VIDEO, track(FIRST, "audio", 10, 20))),
    Case("share-less-than-asked", OUT, clips=of_first(track(FIRST, "video", 13, 14))),
    Case("share-two-clips", OUT, clips=[shared(FIRST, VIDEO), shared(LATER, track(LATER, "video", 1, 6))]),
    Case("share-a-clip-of-uncertain-time", OUT, clips=[shared(UNSURE, track(UNSURE, "video", 1, 6))]),
    Case("decline", OUT, **DECLINE),
    Case("issued-five-minutes-ago", OUT, issued="2026-11-23T17:55:00Z", expires="2026-11-30T17:55:00Z"),
    Case("by-a-stranger", "not-an-owner", by=STRANGER),
    Case("by-the-recovery-code", "not-an-owner", by=RECOVERY),
    Case("signed-by-another", "bad-signature", by=STRANGER, header={"kid": OWNER.kid}),
    Case("altered", "bad-signature", token=altered(GOOD)),
    Case("other-type", "wrong-type", token=OWNER.sign("doorward.session.v1", payload())),
    Case("older-version", "wrong-type", token=OWNER.sign("doorward.decision.v0", payload())),
    Case("too-large", "too-large", purpose="x" * 60_000),
    Case("alg-none", "malformed", header={"alg": "none"}),
    Case("alg-hs256", "malformed", header={"alg": "HS256"}),
    Case("empty", "malformed", token=""),
    Case("unknown-field", "malformed", also=1),
    Case("field-missing", "malformed", purpose=...),
    Case("answer-maybe", "malformed", answer="maybe"),
    Case("share-nothing", "malformed", clips=[]),
    Case("decline-with-clips", "malformed", answer="decline"),
    Case("the-same-clip-twice", "malformed", clips=of_first(VIDEO) * 2),
    Case("sixty-five-clips", "malformed", clips=[shared(FIRST, VIDEO, clip=b64u(bytes([n]) * 16)) for n in range(65)]),
    Case("sound-without-video", "malformed", clips=of_first(track(FIRST, "audio", 10, 20))),
    Case("a-track-twice", "malformed", clips=of_first(VIDEO, VIDEO)),
    Case("a-track-that-is-not-shared", "malformed", clips=of_first(VIDEO, VIDEO | {"track": "about"})),
    Case("from-the-init-segment", "malformed", clips=of_first(VIDEO | {"first": 0})),
    Case("last-before-first", "malformed", clips=of_first(VIDEO | {"first": 15, "last": 14})),
    Case("digest-no-hash", "malformed", clips=of_first(VIDEO | {"digest": "abc"})),
    Case("life-too-long", "malformed", expires="2026-11-30T17:59:59Z"),
    Case("expires-before-issued", "malformed", expires="2026-11-23T17:59:57Z"),
    Case("leaves-before-it-was-issued", "malformed", not_before="2026-11-23T17:59:57Z"),
    Case("leaves-after-it-expired", "malformed", not_before="2026-12-01T00:00:00Z"),
    Case("time-without-zone", "malformed", issued="2026-11-23T17:59:58"),
    Case("for-another-doorbell", "wrong-device", device=b64u(b"another device..")),
    Case("of-another-request", "unknown-request", request=b64u(b"the hash of another, 32 bytes...")),
    Case("to-another-requester", "wrong-requester", requester=STRANGER.kid),
    Case("to-another-key", "wrong-requester", key=b64u(hashlib.sha256(STRANGER.opens).digest()[:16])),
    Case("for-another-purpose", "wrong-requester", purpose="To show on television."),
    Case("issued-too-long-ago", "stale", issued="2026-11-23T17:54:59Z", expires="2026-11-30T17:54:59Z"),
    Case("issued-ahead", "stale", issued="2026-11-23T18:05:01Z", not_before="2026-11-23T18:05:31Z"),
    Case("expired", "stale", expires=NOW, not_before="2026-11-23T17:59:59Z"),
    Case("a-clip-not-asked-for", "unknown-clip", clips=[shared(ELSEWHERE, track(ELSEWHERE, "video", 1, 6))]),
    Case("another-clips-header", "unknown-clip", clips=of_first(VIDEO, header=LATER["header"])),
    Case("another-clips-digest", "changed", clips=of_first(VIDEO | {"digest": track(LATER, "video", 1, 6)["digest"]})),
    Case("digest-of-fewer-records", "changed", clips=of_first(VIDEO | {"digest": SHORTER["digest"]})),
    Case("more-records-than-there-are", "changed", clips=of_first(VIDEO | {"last": 21})),
    Case("not-from-a-key-record", "changed", clips=of_first(track(FIRST, "video", 10, 20))),
    Case("one-key-record-too-early", "outside-span", clips=of_first(track(FIRST, "video", 7, 20))),
    Case("sound-from-before", "outside-span", clips=of_first(VIDEO, track(FIRST, "audio", 9, 20))),
    Case("more-than-a-bundle-holds", "too-much", record_bytes=400_000_000),
    Case("a-release-too-few", "bad-release", releases=lambda made: made[:-1]),
    Case("a-release-too-many", "bad-release", releases=lambda made: made * 2),
    Case("a-key-too-few", "bad-release", releases=lambda made: [b64u(from_b64u(made[0])[:-32])]),
    Case("a-key-too-many", "bad-release", releases=lambda made: [b64u(from_b64u(made[0]) + bytes(32))]),
    Case("a-release-with-a-decline", "bad-release", releases=lambda made: ["AAAA"], **DECLINE),
]  # fmt: skip


def vectors() -> list[tuple[str, dict[str, Any]]]:
    return [(case.name, case.vector()) for case in CASES]
