"""The table of everything that reads bytes from outside, each with good inputs to begin with."""

from __future__ import annotations

import inspect
import pkgutil
import struct
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import agent.core
from agent.adapters.broker import BrokerAddress
from agent.adapters.stream_open import CameraAddress
from agent.config import read_config
from agent.core import (
    aac,
    about,
    area,
    bundle,
    encoding,
    fmp4,
    fmp4_sound,
    h264,
    hpke,
    identity,
    orientation,
    release,
    request,
    sealing,
    statements,
)
from agent.core.boot_clock import BootClock, ClockStretch, read_clock
from agent.core.directory import read_directory, sign_directory
from agent.core.errors import BadInput, Corrupt, DoorwardError, Refused
from agent.core.frame import SoundFormat
from agent.core.home_assistant import read_command, topics
from agent.core.identity import recovery_entry
from agent.core.joining import Invitation, introduce, read_entry, read_invitation, read_welcome
from agent.core.manifest import read_manifest
from agent.core.models import read_manifest as read_models
from agent.core.place import parse_place
from agent.core.settings import DeclineRules
from agent.core.settings_text import with_values
from agent.core.sound import SoundRun
from agent.core.statements import Kind
from agent.core.timeline import Span, parse_span
from agent.core.topics import read_transfer_topic, transfer_topic
from agent.core.transfer import read_get
from agent.core.withdrawal import Withdrawal, judge_withdrawal
from agent.owner import key_file as owner_key_file
from agent.owner.session import read_pairing
from agent.requester.asking import read_area
from agent.store.clips import clip_facts
from agent.store.ring import Ring
from tests.answered import AVCC, SPS, SYNTHETIC, answer, synthetic_packets
from tests.fuzzing import Reader, signed
from tests.household import HOME, NOW, SECOND, Household, new_keys

MODELS = Path(__file__).parents[1] / "models" / "manifest.toml"
CONFIG = Path(__file__).parents[1] / "config" / "doorward.toml"
AT_HOME = topics("0" * 16, "homeassistant")
READS = ("read", "parse", "open", "split", "from", "unverified", "signer", "verify", "judge", "scan", "unpack")


def core_readers() -> set[str]:
    """The name of every public function of the core that by its name reads, and takes bytes or text first."""
    found = set()
    for module in pkgutil.iter_modules(agent.core.__path__):
        for name, function in inspect.getmembers(import_module(f"agent.core.{module.name}"), inspect.isfunction):
            if function.__module__ != f"agent.core.{module.name}" or name.split("_")[0] not in READS:
                continue
            kinds = [str(p.annotation) for p in inspect.signature(function).parameters.values()]
            if any(kind.startswith(("bytes", "str")) for kind in kinds):
                found.add(f"{module.name}.{name}")
    return found


def readers(folder: Path) -> list[Reader]:
    """Everything there is to fuzz; `folder` holds the files some of them need."""
    home = Household.at(folder / "home")
    return [
        *_texts(),
        *_video(),
        *_clips(home),
        *_a_clock(home),
        *_people(home),
        *_asking(home),
        *_deciding(home),
        *_answering(folder),
        *_files(folder),
    ]


def _statement(
    name: str, kind: Kind, key: Any, token: bytes, take: Callable[[bytes], object], error: type[DoorwardError] = Refused
) -> list[Reader]:
    """One reader of a statement as two targets: the envelope as bytes, the payload as JSON signed again."""
    payload = encoding.from_b64u(token.split(b".")[1].decode())
    return [
        Reader(name, take, error, [token]),
        Reader(f"{name} (signed)", lambda data: take(signed(kind, key, data)), error, [payload], as_json=True),
    ]


def _as_text(take: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: take(data.decode("utf-8", "replace"))


def _texts() -> list[Reader]:
    code, pairing = identity.recovery_code(bytes(16)), identity.pairing_code(bytes(16))
    text: list[tuple[str, Callable[[str], object], type[Exception], list[str]]] = [
        ("encoding.from_b64u", encoding.from_b64u, Corrupt, ["AAAA", "_-8"]),
        (
            "encoding.parse_time",
            encoding.parse_time,
            BadInput,
            ["2026-11-23T18:00:00.25Z", "2026-11-23T18:00:00+01:00"],
        ),
        ("timeline.parse_span", _span, BadInput, ["2026-11-23T18:00:00Z 2026-11-23T19:00:00Z"]),
        ("identity.read_recovery_code", identity.read_recovery_code, BadInput, [code]),
        ("identity.read_pairing_code", identity.read_pairing_code, BadInput, [pairing]),
        ("models.read_manifest", read_models, Corrupt, [MODELS.read_text()]),
        ("topics.read_transfer_topic", read_transfer_topic, Refused, [transfer_topic("A" * 22, "B" * 22, "get")]),
        ("owner.read_pairing", read_pairing, BadInput, ["https://door.local:8443/pair#1.AAAAAAAAAAAAAAAAAAAAAA.B.C"]),
        (
            "joining.read_invitation",
            read_invitation,
            BadInput,
            ["http://door.local:8080/pair#2.AAAAAAAAAAAAAAAAAAAAAA.BAAAAAAAAAAAAAAAAAAAAA."],
        ),
        ("broker.BrokerAddress", BrokerAddress.parse, BadInput, ["mqtts://user:word@broker.example:8883"]),
        ("place.parse_place", parse_place, BadInput, ["48.2082, 16.3738", "48°12'29.52\"N 16°22'25.68\"E"]),
        ("settings_text.with_values", _with_a_name, BadInput, [CONFIG.read_text()]),
        ("camera.CameraAddress", CameraAddress.parse, BadInput, ["rtsp://user:word@camera.example:554/stream"]),
    ]
    return [Reader(name, _as_text(take), error, [s.encode() for s in seeds]) for name, take, error, seeds in text]


def _with_a_name(text: str) -> object:
    return with_values(text, {("doorbell", "name"): "Gate"})


def _span(text: str) -> object:
    start, _, end = text.partition(" ")
    return parse_span(start, end)


def _video() -> list[Reader]:
    cutter = fmp4.Fragmenter()
    runs = [run for packet in synthetic_packets(4, 60) for run in cutter.push(packet)] + cutter.flush()
    fragment = fmp4.render_fragment(runs[1], SYNTHETIC, runs[0].origin, 2)
    packet = synthetic_packets(1, 60)[0].data
    config = bytes.fromhex("1408")
    sound = SoundFormat(16_000, 1, config)
    heard = fmp4_sound.render_sound(SoundRun((b"one", b"two"), SECOND, 0), sound, 0, 1)
    return [
        Reader("fmp4.parse_fragment", fmp4.parse_fragment, Corrupt, [fragment]),
        Reader("fmp4.parse_init", fmp4.parse_init, Corrupt, [fmp4.init_segment(SYNTHETIC)]),
        Reader("fmp4_sound.parse_sound", fmp4_sound.parse_sound, Corrupt, [heard]),
        Reader("fmp4_sound.parse_sound_init", fmp4_sound.parse_sound_init, Corrupt, [fmp4_sound.sound_init(sound)]),
        Reader("aac.read_config", aac.read_config, BadInput, [config, bytes.fromhex("119056e500")]),
        Reader("h264.split_annexb", h264.split_annexb, BadInput, [b"\0\0\0\1\x67abc\0\0\1\x68d"]),
        Reader("h264.split_lengths", h264.split_lengths, BadInput, [packet]),
        Reader("h264.parse_configuration", h264.parse_configuration, BadInput, [AVCC]),
        Reader("h264.parse_sps", h264.parse_sps, BadInput, [SPS]),
        Reader(
            "orientation.from_display_matrix",
            orientation.from_display_matrix,
            BadInput,
            [struct.pack("=9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)],
        ),
    ]


def _clips(home: Household) -> list[Reader]:
    row = home.record_clip(seconds=3, size=60)
    stored = home.clips.ring.read(row.sequence)
    keys = sealing.ClipKeys(
        sealing.unwrap_clip_key(stored.header, stored.wraps, home.owner.opens), sealing.header_hash(stored.header)
    )
    data = stored.path.read_bytes()
    first = stored.records[0]
    record = data[first.offset : first.offset + first.header.total_bytes]
    secret = keys.record_secret(first.header.track, first.header.index)
    assert stored.manifest is not None
    return [
        Reader("sealing.read_header", sealing.read_header, Corrupt, [stored.header], as_json=True),
        Reader("sealing.parse_record", sealing.parse_record, Corrupt, [record]),
        Reader("sealing.open_record", lambda d: sealing.open_record(secret, d), Corrupt, [record]),
        Reader("sealing.open_record (keys)", lambda d: sealing.open_record(d, record), Corrupt, [secret]),
        Reader("about.read_about", about.read_about, Corrupt, [about.write_about(["ring"], [(5, 9)])], as_json=True),
        Reader("about.check_poster", about.check_poster, Corrupt, [b"\xff\xd8\xff picture \xff\xd9"]),
        Reader("ring.read", _ring_reader(home), Corrupt, [data]),
        *_statement(
            "manifest.read_manifest", Kind.MANIFEST, home.device, stored.manifest,
            lambda token: read_manifest(token, home.device.public_key()),
        ),
    ]  # fmt: skip


def _a_clock(home: Household) -> list[Reader]:
    said = BootClock(
        device=home.device_id,
        boot=encoding.b64u(bytes(16)),
        number=1,
        began_after="",
        ended_before="",
        until_us=5_000_000,
        stretches=[ClockStretch(0, 5_000_000, encoding.format_time(NOW), 1000, True)],
    )
    token = statements.sign(Kind.CLOCK, said, home.device)
    return _statement(
        "boot_clock.read_clock", Kind.CLOCK, home.device, token, lambda t: read_clock(t, home.device.public_key())
    )


def _ring_reader(home: Household) -> Callable[[bytes], object]:
    ring = Ring(home.state.root / "another")
    path = ring.path(1)
    path.parent.mkdir(parents=True, exist_ok=True)

    def take(data: bytes) -> object:
        path.write_bytes(data)
        return ring.read(1)

    return take


def _people(home: Household) -> list[Reader]:
    sealed = hpke.seal(b"film", home.requester.opens_public, b"info")
    trusted = identity.public_key(home.requester.signs_public)
    invited = Invitation("http://door.local", home.device_id, bytes(16))
    me = identity.owner_entry("me", home.owner)
    entry, welcome = introduce(invited, me)[0], home.owner_set_statement
    statement = home.requester_statement
    return [
        Reader("hpke.open_sealed", lambda d: hpke.open_sealed(d, home.requester.opens, b"info"), Corrupt, [sealed]),
        Reader("statements.signer", lambda d: statements.signer(Kind.REQUESTER, d), Refused, [statement]),
        Reader("statements.verify", lambda d: statements.verify(Kind.REQUESTER, d, trusted), Refused, [statement]),
        *_statement(
            "statements.read", Kind.REQUESTER, home.requester.signs, statement,
            lambda token: statements.read(Kind.REQUESTER, token, trusted, identity.RequesterStatement),
        ),
        *_statement(
            "statements.unverified", Kind.REQUESTER, home.requester.signs, statement,
            lambda token: statements.unverified(Kind.REQUESTER, token, identity.RequesterStatement),
        ),
        *_statement(
            "identity.read_requester_statement", Kind.REQUESTER, home.requester.signs, statement,
            identity.read_requester_statement,
        ),
        Reader(
            "joining.read_entry", lambda d: read_entry(invited, d, invited.mac("doorward join v1", d)), Refused,
            [entry], as_json=True,
        ),
        Reader(
            "joining.read_welcome",
            lambda d: read_welcome(invited, d, invited.mac("doorward joined v1", d), home.owner_set.owners[0]),
            Refused, [welcome],
        ),
        *_statement(
            "identity.read_owner_set", Kind.OWNERS, home.owner.signs, home.owner_set_statement,
            lambda token: identity.read_owner_set(token, home.device_id),
        ),
    ]  # fmt: skip


def _asking(home: Household) -> list[Reader]:
    pinned = {home.requester.kid: identity.read_requester_statement(home.requester_statement)}
    token, _ = home.request(Span(NOW - 3600 * SECOND, NOW - 1800 * SECOND))
    known = request.Circumstances(
        now_ns=NOW + SECOND,
        home=HOME,
        pinned=pinned,
        blocked=frozenset(),
        paused=False,
        decline=DeclineRules(),
        asker_of=lambda _: None,
        seen=lambda _: False,
        taken_back=lambda *_: False,
        asked_for_case=lambda *_: 0,
        asked_since=lambda *_: 0,
        clips=lambda _: ["clip"],
    )
    taken_back = statements.sign(
        Kind.WITHDRAWAL,
        Withdrawal(encoding.b64u(statements.digest(token)), home.requester.kid, encoding.format_time(NOW)),
        home.requester.signs,
    )
    withdrawn = partial(judge_withdrawal, statement_of=pinned.get, asker_of=lambda _: home.requester.kid)
    early = partial(request.judge_without_time, pinned=pinned, home=HOME, seen=lambda _: False)
    listed = sign_directory("County", 1, [home.requester_statement], home.device, now_ns=NOW, life_ns=86_400 * SECOND)
    read = partial(read_directory, key=home.device.public_key().public_bytes_raw())
    return [
        *_statement("directory.read_directory", Kind.DIRECTORY, home.device, listed, read),
        *_statement("request.judge", Kind.REQUEST, home.requester.signs, token, lambda t: request.judge(t, known)),
        *_statement("request.judge_without_time", Kind.REQUEST, home.requester.signs, token, early),
        *_statement("withdrawal.judge_withdrawal", Kind.WITHDRAWAL, home.requester.signs, taken_back, withdrawn),
    ]


def _deciding(home: Household) -> list[Reader]:
    row = home.record_clip(NOW + 100 * SECOND)
    _, asked = home.admit(Span(NOW - 900 * SECOND, NOW + 106 * SECOND))
    stored = home.clips.ring.read(row.sequence)
    facts = clip_facts(stored)
    hh = sealing.header_hash(stored.header)
    keys = sealing.ClipKeys(sealing.unwrap_clip_key(stored.header, stored.wraps, home.owner.opens), hh)
    part = release.share_clip(facts, asked.span, sound=True)
    assert part is not None
    decision = release.build_decision(asked, home.device_id, [part], now_ns=NOW, undo_ns=0)
    token = release.sign_decision(decision, home.owner.signs)
    (sealed,) = release.seal_releases(token, decision, [keys], home.requester.opens_public)

    def judge(data: bytes, releases: list[bytes]) -> object:
        return release.judge_decision(
            data, releases, owners=home.owner_set, device=home.device_id, asked=asked, clips={row.id: facts}, now_ns=NOW
        )

    deciders, opens = home.owner_set.deciders(), home.requester.opens
    return [
        *_statement(
            "release.read_decision", Kind.DECISION, home.owner.signs, token,
            lambda t: release.read_decision(t, deciders),
        ),
        *_statement("release.judge_decision", Kind.DECISION, home.owner.signs, token, lambda t: judge(t, [sealed])),
        Reader("release.judge_decision (releases)", lambda d: judge(token, [d]), Refused, [sealed]),
        Reader("release.open_release", lambda d: release.open_release(token, part, d, opens), Corrupt, [sealed]),
    ]  # fmt: skip


def _answering(folder: Path) -> list[Reader]:
    requester = folder / "requester"
    requester.mkdir()
    answered = answer(requester, seconds=8, packet_bytes=60)
    offered = answered.offer
    said = bundle.Receipt(
        offered.transfer, offered.request, offered.decision,
        encoding.b64u(statements.digest(answered.offer_token)), offered.size, encoding.format_time(NOW),
    )  # fmt: skip
    signs = answered.identity.keys.signs
    receipt = statements.sign(Kind.RECEIPT, said, signs)
    end = statements.sign(
        Kind.END, bundle.End(offered.transfer, offered.request, "stopped", said.received), answered.device
    )
    judge_offer = partial(
        bundle.judge_offer, transfer=offered.transfer, requester=offered.requester, asked=lambda _: True, now_ns=0
    )
    return [
        *_statement("bundle.read_offer", Kind.OFFER, answered.device, answered.offer_token, bundle.read_offer),
        *_statement("bundle.judge_offer", Kind.OFFER, answered.device, answered.offer_token, judge_offer),
        *_statement("bundle.read_end", Kind.END, answered.device, end, lambda t: bundle.read_end(t, offered)),
        *_statement(
            "bundle.read_receipt", Kind.RECEIPT, signs, receipt,
            lambda t: bundle.read_receipt(t, answered.offer_token, identity.public_key(statements.raw_public(signs))),
        ),
        Reader("transfer.read_get", lambda d: read_get(d, 40), Refused, [b'{"seq":1,"ranges":[[0,3]]}'], as_json=True),
    ]  # fmt: skip


def _any_json(data: bytes) -> object:
    return encoding.from_json(data, area.Polygon | area.Circle, "the area")  # type: ignore[arg-type]


def _files(folder: Path) -> list[Reader]:
    def through(name: str, take: Callable[[Path], object]) -> Callable[[bytes], object]:
        path = folder / name

        def write_and_take(data: bytes) -> object:
            path.write_bytes(data)
            return take(path)

        return write_and_take

    keys = new_keys()
    owner_key_file.write(
        folder / "good.key", owner_key_file.make("phone", bytes(64), recovery_entry(keys), None, bytes(48)), new=True
    )
    key_data = (folder / "good.key").read_bytes()
    polygon = b'{"type":"Polygon","coordinates":[[[16.37,48.2],[16.38,48.2],[16.38,48.21],[16.37,48.21],[16.37,48.2]]]}'
    return [
        Reader(
            "asking.read_area", through("area", lambda p: _in_use(read_area(str(p)))), BadInput, [polygon], as_json=True
        ),
        Reader(
            "home_assistant.read_command (pause)", lambda d: read_command(AT_HOME, AT_HOME.pause, d), Refused, [b"ON"]
        ),
        Reader(
            "home_assistant.read_command", lambda d: read_command(AT_HOME, AT_HOME.decline, d), Refused, [b"A" * 22]
        ),
        Reader("encoding.from_json", _any_json, Corrupt, [polygon], as_json=True),
        Reader("owner.key_file", through("key", owner_key_file.read), BadInput, [key_data], as_json=True),
        Reader("config", through("doorward.toml", read_config), BadInput, [CONFIG.read_bytes()]),
    ]


def _in_use(shape: area.Area) -> object:
    return shape.contains(48.2, 16.37), shape.cells(), shape.square_miles()
