"""The doctor's looks at real things: files and rights, a disk, brokers with and without TLS, a machine's sysfs."""

from __future__ import annotations

import asyncio
import datetime
import os
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent import examining
from agent.adapters import vitals
from agent.adapters.embedded_broker import EmbeddedBroker
from agent.adapters.vitals import Service
from agent.config import read_config
from agent.core.errors import Unavailable
from agent.core.frame import Away, EncodedPacket, Mute, SoundPacket, SourceItem, VideoFormat
from agent.core.health import Finding, Verdict
from agent.examining import examine
from agent.setup import open_state
from agent.store.state import StateDirectory, WriterLock
from tests.ntfy_server import NtfyServer

RUNS = Service("active", "enabled", os.getpid(), "Recording", "")


class Door:
    """A doorbell's settings and state below `root`, never run."""

    def __init__(self, root: Path) -> None:
        self.file = root / "doorward.toml"
        self.state = root / "state"
        open_state(StateDirectory(self.state, create=True), 0, os.urandom, make_recovery=True).db.close()
        self.settings("")

    def settings(self, text: str) -> None:
        self.file.write_text(text)
        self.file.chmod(0o640)

    def looked_at(self, unit: Service | None = None) -> dict[str, list[Finding]]:
        found: dict[str, list[Finding]] = {}
        for finding in examine(read_config(self.file), self.file, self.state, unit):
            found.setdefault(finding.check, []).append(finding)
        return found

    def verdict(self, check: str, unit: Service | None = None) -> Verdict:
        (finding,) = self.looked_at(unit)[check]
        return finding.verdict


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def test_what_is_not_in_use_is_neither_right_nor_wrong(door: Door) -> None:
    found = door.looked_at()
    for check in ("doorbell", "detector", "broker", "home assistant", "push"):
        assert [each.verdict for each in found[check]] == [Verdict.OFF], check
    assert found["settings"][0].verdict is found["permissions"][0].verdict is found["disk"][0].verdict is Verdict.OK
    assert [each.do for each in found["owner"]] == ["sudo doorward pair"], "a recovery code is no owner"


def test_before_the_first_start_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "doorward.toml").write_text("")
    config = read_config(tmp_path / "doorward.toml")
    list(examine(config, tmp_path / "doorward.toml", tmp_path / "state", None))
    assert not (tmp_path / "state").exists()


def test_looking_leaves_no_trace(door: Door) -> None:
    def names() -> set[Path]:
        return {path for path in door.state.rglob("*") if not path.name.endswith(("-wal", "-shm"))}

    before = names()
    door.looked_at()
    assert names() == before


@pytest.mark.parametrize(
    ("unit", "verdict", "do"),
    [
        (RUNS, Verdict.OK, ""),
        (Service("failed", "enabled", 0, "", ""), Verdict.BAD, "journalctl -u doorward -n 20"),
        (Service("inactive", "enabled", 0, "", ""), Verdict.BAD, "sudo systemctl enable --now doorward"),
    ],
)
def test_a_service_runs(door: Door, unit: Service, verdict: Verdict, do: str) -> None:
    (finding,) = door.looked_at(unit)["doorbell"]
    assert (finding.verdict, finding.do) == (verdict, do)


def test_a_service_starts_with_the_machine(door: Door) -> None:
    assert "start" not in door.looked_at(RUNS)
    disabled = Service("active", "disabled", 1, "", "")
    assert door.looked_at(disabled)["start"][0].do == "sudo systemctl enable doorward"


@pytest.mark.parametrize(
    "secret",
    [
        '[camera]\nurl = "rtsp://door:pass@192.0.2.1/x"',
        '[broker]\nurl = "mqtt://door:pass@192.0.2.1"',
        '[notify]\nntfy_token = "tk_x"',
    ],
)
def test_passwords_are_not_for_everybody(door: Door, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "_CAMERA_S", 0.0)
    monkeypatch.setattr(examining, "_BROKER_S", 0.1)
    door.settings(secret)
    assert door.verdict("permissions") is Verdict.OK
    door.file.chmod(0o644)
    assert door.looked_at()["permissions"][0].do == f"sudo chmod o= {door.file}"
    door.settings("")
    door.file.chmod(0o644)
    assert door.verdict("permissions") is Verdict.OK, "nothing secret is in it"


def test_nobody_else_looks_into_the_state(door: Door) -> None:
    door.state.chmod(0o750)
    assert door.looked_at()["permissions"][0].do == f"sudo chmod 700 {door.state}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_doorbell_can_read_what_is_named(door: Door) -> None:
    """`nobody` stands for the service's user: not root's group, but its own."""
    unit = Service("active", "enabled", 1, "", "nobody")
    (door.file.parent / "police").write_text("statement")
    door.settings('[requesters]\npinned = ["police"]\n[button]\npin = 17\n')
    (door.file.parent / "police").chmod(0o600)
    says = [each.text for each in door.looked_at(unit)["permissions"]]
    assert [text for text in says if "cannot read" in text] == [
        f"the doorbell cannot read {path}" for path in (door.file, door.file.parent / "police")
    ]
    os.chown(door.file, 0, 65534)
    (door.file.parent / "police").chmod(0o604)
    assert not [each for each in door.looked_at(unit)["permissions"] if "cannot read" in each.text]
    strange = door.state / "strange"
    strange.touch()
    os.chown(strange, 61234, 0)
    assert "strange" in door.looked_at()["permissions"][0].text


def test_a_camera_that_is_not_there_or_not_named(door: Door) -> None:
    assert door.verdict("camera") is Verdict.BAD
    door.settings('[camera]\nurl = "rtsp://127.0.0.1:9/none"\n')
    (finding,) = door.looked_at()["camera"]
    assert finding.verdict is Verdict.BAD
    assert "127.0.0.1" in finding.text


@pytest.mark.parametrize(
    ("others", "verdicts"),
    [
        ([], [Verdict.OK, Verdict.OK, Verdict.BAD]),
        ([SoundPacket(b"aac", 0)], [Verdict.OK, Verdict.OK, Verdict.OK]),
        ([SoundPacket(b"aac", 0), Mute("The microphone hangs.")], [Verdict.OK, Verdict.OK, Verdict.BAD]),
        ([Away(0, "The cable is off.")], [Verdict.BAD]),
    ],
)
def test_what_comes_of_a_camera(
    door: Door, monkeypatch: pytest.MonkeyPatch, others: list[SourceItem], verdicts: list[Verdict]
) -> None:
    frame_ns = 10**9 // 15
    pictures = [EncodedPacket(b"", n * frame_ns, n * frame_ns, frame_ns, True) for n in range(70)]
    items = [VideoFormat(640, 360, 15, b""), *pictures[:30], *others, *pictures[30:]]
    monkeypatch.setattr(examining, "live_source", lambda config: lambda stopped: items)
    door.settings('[camera]\nurl = "pi"\n[audio]\nrecord = true\n')
    found = door.looked_at()
    seen = [each for check in ("camera", "encoder", "sound") for each in found.get(check, [])]
    assert [each.verdict for each in seen] == verdicts, seen


def test_a_camera_in_use_is_not_opened_but_asked_for(door: Door) -> None:
    door.settings('[camera]\nurl = "rtsp://127.0.0.1:9/none"\n[http]\nport = 9\n')
    assert door.verdict("page") is Verdict.OFF
    with WriterLock(StateDirectory(door.state), "run"):
        assert door.verdict("camera") is Verdict.OFF
        assert door.verdict("doorbell") is Verdict.OK
        assert door.verdict("page") is Verdict.BAD, "nothing answers"
        (asked,) = door.looked_at(RUNS)["camera"]
        assert (asked.verdict, asked.text) == (Verdict.OK, "the running doorbell says: Recording")
        blind = Service("active", "enabled", os.getpid(), "The camera gave no picture.", "")
        assert door.verdict("camera", blind) is Verdict.BAD
        other = Service("active", "enabled", os.getpid() + 1, "Recording", "")
        assert door.verdict("camera", other) is Verdict.OFF, "another doorbell's service"


async def test_a_broker_takes_the_doorbell_or_says_why_not(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async with EmbeddedBroker() as broker:
        door.settings(f'[broker]\nurl = "{broker.url}"\n[clock]\ntrusted = true\n')
        found = await asyncio.to_thread(door.looked_at)
    assert [each.verdict for each in found["broker"] + found["broker TLS"]] == [Verdict.OK, Verdict.OFF]
    assert found["clock"][0].verdict is Verdict.OK
    monkeypatch.setattr(examining, "_BROKER_S", 0.5)
    door.settings('[broker]\nurl = "mqtt://127.0.0.1:9"\n[home_assistant]\nurl = "http://x"\n')
    found = await asyncio.to_thread(door.looked_at)
    assert "no connection to the MQTT broker" in found["broker"][0].text
    assert found["home assistant"][0].verdict is Verdict.BAD


def test_the_phones_server_answers(door: Door) -> None:
    with NtfyServer() as server:
        door.settings(f'[notify]\nntfy = "{server.url}"\n')
        assert door.verdict("push") is Verdict.OK
        assert server.tries == 0, "nobody's phone rings for it"
    door.settings('[notify]\nntfy = "http://127.0.0.1:9/a-topic"\n')
    assert door.verdict("push") is Verdict.BAD


@pytest.fixture
def certified(tmp_path: Path) -> Callable[[int], tuple[Path, Path]]:
    """A certificate for localhost that ends in so many days, and its key."""

    def made(days: int) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(1).not_valid_before(now - datetime.timedelta(days=9))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )  # fmt: skip
        (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (tmp_path / "key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return tmp_path / "cert.pem", tmp_path / "key.pem"

    return made


@pytest.mark.parametrize("days", [100, -1])
async def test_the_end_of_a_certificate_is_read(certified: Callable[[int], tuple[Path, Path]], days: int) -> None:
    certificate, key = certified(days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        trusting = ssl.create_default_context(cafile=certificate)
        if days < 0:
            with pytest.raises(Unavailable, match="does not hold: certificate has expired"):
                await vitals.tls_facts("localhost", port, trusting)
        else:
            version, ends = await vitals.tls_facts("localhost", port, trusting)
            assert version == "TLSv1.3"
            assert abs(ends - datetime.datetime.now(datetime.UTC).timestamp() - days * 86400) < 60
            with pytest.raises(Unavailable, match="does not hold"):
                await vitals.tls_facts("localhost", port, trusting, "elsewhere.local")
        with pytest.raises(Unavailable, match="does not hold"):
            await vitals.tls_facts("localhost", port, ssl.create_default_context())


def test_a_machines_warmest_place(tmp_path: Path) -> None:
    assert vitals.hottest_c(tmp_path) is None
    for number, text in enumerate(("41200\n", "63456\n", "not told\n")):
        zone = tmp_path / "class" / "thermal" / f"thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "temp").write_text(text)
    assert vitals.hottest_c(tmp_path) == pytest.approx(63.456)


def test_a_pis_power(tmp_path: Path) -> None:
    assert vitals.throttled_bits(tmp_path) is None
    monitor = tmp_path / "class" / "hwmon" / "hwmon1"
    monitor.mkdir(parents=True)
    (monitor / "name").write_text("rpi_volt\n")
    (monitor / "in0_lcrit_alarm").write_text("1\n")
    assert vitals.throttled_bits(tmp_path) == 1
    firmware = tmp_path / "devices" / "platform" / "soc" / "soc:firmware"
    firmware.mkdir(parents=True)
    (firmware / "get_throttled").write_text("50005\n")
    assert vitals.throttled_bits(tmp_path) == 0x50005


def test_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    assert len(vitals.sync_times_s(tmp_path, 3, 1000)) == 3
    with pytest.raises(Unavailable, match="nothing can be written"):
        vitals.sync_times_s(Path("/proc"), 3, 1000)
