"""Transfers through a real Mosquitto: killed, cut, throttled, locked; and the report in a real browser."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from playwright.async_api import async_playwright

from agent.adapters.broker import BrokerAddress, BrokerSession
from agent.adapters.embedded_broker import EmbeddedBroker
from agent.adapters.replay import ReplaySource
from agent.core import statements
from agent.core.area import cell_of
from agent.core.errors import Unavailable
from agent.core.frame import EncodedPacket, VideoFormat
from agent.core.request import FootageRequest
from agent.core.statements import Kind
from agent.core.topics import request_topic
from agent.requester.folder import TransferFolder
from agent.requester.opening import verify_folder
from agent.requester.receiving import Progress, Receiver, Stage
from tests.answered import Answered, answer
from tests.films import FilmKind, make_film
from tests.home import serving
from tests.link import Link
from tests.slow.conftest import doorward, doorward_json, needed
from tests.slow.killable_broker import Mosquitto

pytestmark = pytest.mark.slow


async def received(url: str, answered: Answered, out: Path, seconds: float) -> Progress:
    """Receive until verified."""
    stop, last = asyncio.Event(), []

    def take(news: Progress) -> None:
        last.append(news)
        if news.stage is not Stage.RECEIVING and news.stage is not Stage.OPENING:
            stop.set()

    async with BrokerSession(BrokerAddress.parse(url)) as session, asyncio.timeout(seconds):
        await Receiver(answered.identity, session, out, take).run(stop)
    return last[-1]


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
async def test_fifty_megabytes_arrive_and_no_block_twice(kind: str, tmp_path: Path) -> None:
    answered = answer(tmp_path, seconds=100, packet_bytes=100_000)
    assert answered.bundle.size > 48_000_000
    async with contextlib.AsyncExitStack() as stack:
        if kind == "mosquitto":
            url = stack.enter_context(Mosquitto(tmp_path)).url
        else:
            url = (await stack.enter_async_context(EmbeddedBroker())).url
        home = await stack.enter_async_context(serving(url, answered))
        news = await received(url, answered, tmp_path / "out", 60)
        assert news.stage is Stage.VERIFIED
        await asyncio.wait_for(home.receipt_came.wait(), 5)
        assert len(home.sent) == answered.bundle.blocks + len(answered.pages)


async def test_killed_requester_and_broker_cost_only_what_was_under_way(tmp_path: Path) -> None:
    """The requester's process is killed twice and the broker once; what was received before is never sent again."""
    answered = answer(tmp_path, seconds=60, packet_bytes=100_000)
    out = tmp_path / "out"
    with Mosquitto(tmp_path) as broker:
        async with serving(broker.url, answered, pause_s=0.004) as home:
            command = [sys.executable, "-m", "agent", "requester", "receive", "--broker", broker.url]
            command += ["--identity", str(answered.identity.path), "--out", str(out)]
            for share in (0.25, 0.6):
                process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
                async with asyncio.timeout(60):
                    while len(set(home.sent)) < share * answered.bundle.blocks:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                process.kill()
                await process.wait()
                if share > 0.5:
                    broker.kill()
                    broker.start()
            process = await asyncio.create_subprocess_exec(*command, "--for", "60", stdout=subprocess.DEVNULL)
            await asyncio.wait_for(home.receipt_came.wait(), 60)
            process.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(process.wait(), 10) == 0
    (folder,) = out.iterdir()
    assert verify_folder(TransferFolder(folder)).verified
    assert len(home.sent) - len(set(home.sent)) <= 3 * 40  # three breaks, each with what was under way


@pytest.mark.parametrize("bytes_per_s", [2e6, 10e6])
async def test_a_link_cut_every_600_ms_costs_at_most_a_tenth_more(tmp_path: Path, bytes_per_s: float) -> None:
    answered = answer(tmp_path, seconds=int(bytes_per_s * 6 / 500_000), packet_bytes=100_000)
    with Mosquitto(tmp_path) as broker:
        async with Link(broker.port, bytes_per_s).open() as link, serving(broker.url, answered) as home:

            async def cut() -> None:
                while True:
                    await asyncio.sleep(0.6)
                    link.cut()

            cutting = asyncio.create_task(cut())
            news = await received(f"mqtt://127.0.0.1:{link.port}", answered, tmp_path / "out", 120)
            cutting.cancel()
        assert news.stage is Stage.VERIFIED
        assert len(home.sent) <= 1.1 * (answered.bundle.blocks + len(answered.pages))


def make_certificates(folder: Path) -> None:
    """An authority, a server for 127.0.0.1 and a client, as PEM files in `folder`."""
    now = datetime.datetime.now(datetime.UTC)

    def issue(name: str, issuer: x509.Name | None, signer: ec.EllipticCurvePrivateKey | None, *, ca: bool) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if name == "server":
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        (folder / f"{name}.pem").write_bytes(
            builder.sign(signer or key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / f"{name}.key").write_bytes(private)
        if ca:
            for other in ("server", "client"):
                issue(other, subject, key, ca=False)

    issue("ca", None, None, ca=True)


async def test_encryption_with_certificates_on_both_sides(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    lines = [f"cafile {tmp_path}/ca.pem", f"certfile {tmp_path}/server.pem", f"keyfile {tmp_path}/server.key"]
    with Mosquitto(tmp_path, *lines, "require_certificate true", "use_identity_as_username true") as broker:
        url = broker.url.replace("mqtt:", "mqtts:")
        good = BrokerAddress.parse(
            url, ca_file=tmp_path / "ca.pem", cert_file=tmp_path / "client.pem", key_file=tmp_path / "client.key"
        )
        async with BrokerSession(good) as session:
            await session.subscribe("t")
            await session.connected(5)
            await session.publish("t", bytes(100_000))
            async with asyncio.timeout(5):
                while not (came := await session.receive(1)):
                    pass
            assert came[0].payload == bytes(100_000)
        for bad in (BrokerAddress.parse(url), BrokerAddress.parse(url, ca_file=tmp_path / "ca.pem")):
            async with BrokerSession(bad) as session:
                with pytest.raises(Unavailable) as unavailable:
                    await session.connected(1.5)
                assert "\n" not in str(unavailable.value)


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    path = tmp_path / "passwords"
    subprocess.run([needed("mosquitto_passwd"), "-b", "-c", str(path), "me", "right"], check=True)
    path.chmod(0o644)
    return path


async def test_a_wrong_password_is_one_sentence(tmp_path: Path, passwords: Path) -> None:
    with Mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}") as broker:
        for password, works in (("right", True), ("wrong", False)):
            async with BrokerSession(BrokerAddress.parse(broker.url.replace("//", f"//me:{password}@"))) as session:
                if works:
                    await session.connected(5)
                    continue
                with pytest.raises(Unavailable, match=r"(?i)not authori[sz]ed") as unavailable:
                    await session.connected(1)
                assert "wrong" not in str(unavailable.value)


ASK = ["--from", "2026-11-23T14:00:00Z", "--to", "2026-11-23T15:00:00Z", "--case", "1", "--incident", "Theft"]
ASK += ["--message", "Please look.", "--contact", "555"]


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    path = tmp_path / "police.key"
    made = doorward_json("requester", "init", "--agency", "Police", "--identity", path)
    assert Path(made["statement"]).is_file()
    return path


def past_span() -> list[str]:
    """An hour that ended an hour ago."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    start, end = (f"{(now - datetime.timedelta(hours=h)).isoformat()[:19]}Z" for h in (2, 1))
    return ["--from", start, "--to", end, *ASK[4:]]


async def test_ask_publishes_to_the_cells_of_the_area(tmp_path: Path, identity: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        async with BrokerSession(BrokerAddress.parse(broker.url)) as doorbell:
            await doorbell.subscribe(request_topic(cell_of(48.2082, 16.3738)))
            await doorbell.connected(5)
            place = ["--broker", broker.url, "--area", "48.2082,16.3738,400"]
            arguments = ["requester", "ask", "--identity", identity, *place, *past_span()]
            asked = await asyncio.to_thread(doorward_json, *arguments)
            async with asyncio.timeout(5):
                while not (came := await doorbell.receive(1)):
                    pass
    token = came[0].payload
    assert statements.unverified(Kind.REQUEST, token, FootageRequest).id == asked["request"]
    assert (tmp_path / "police.key.requests" / f"{asked['hash']}.jws").read_bytes() == token


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        (["--broker", "mqtt://127.0.0.1:1"], 3, "no connection to the MQTT broker"),
        (["--broker", "nonsense"], 2, "broker's address"),
        (["--area", "48.2,16.37,5000"], 2, "square miles"),
        (["--area", "48.2,16.37"], 2, "GeoJSON"),
        (["--area", "99,16.37,400"], 2, "position on the map"),
        (["--to", "2030-01-01T00:00:00Z"], 2, "minutes|hours|future"),
        (["--from", "2026-11-23T14:00:00"], 2, "zone"),
        (["--message", ""], 2, "message must not be empty"),
        (["--identity", "/nonexistent"], 2, "requester init"),
    ],
)
def test_bad_asking_is_one_sentence_and_the_right_exit_code(
    identity: Path, changes: Sequence[str], code: int, says: str
) -> None:
    place = ["--broker", "mqtt://127.0.0.1:1", "--area", "48.2082,16.3738,400", "--identity", str(identity)]
    done = doorward("requester", "ask", *place, *past_span(), *changes)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert any(word in done.stderr for word in says.split("|"))


def footage_of(film: Path) -> tuple[VideoFormat, list[EncodedPacket]]:
    """The packets of a film as the recorder would get them."""
    items = list(ReplaySource([film]))
    formats = [i for i in items if isinstance(i, VideoFormat)]
    return formats[0], [i for i in items if isinstance(i, EncodedPacket)]


@pytest.fixture
def evidence(tmp_path: Path) -> tuple[Answered, Path]:
    film = make_film(tmp_path / "film.mp4", FilmKind(size=(320, 240), pictures=150, b_frames=0))
    return answer(tmp_path, clips=2, footage=footage_of(film)), tmp_path / "out"


async def test_the_report_plays_and_reads_well_in_a_browser(evidence: tuple[Answered, Path], tmp_path: Path) -> None:
    answered, out = evidence
    with Mosquitto(tmp_path) as broker:
        async with serving(broker.url, answered):
            news = await received(broker.url, answered, out, 30)
    assert news.stage is Stage.VERIFIED, news.failed
    verified = await asyncio.to_thread(doorward_json, "requester", "verify", news.folder)
    assert verified["verified"] is True
    shots = tmp_path / "shots"
    shots.mkdir()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=needed("chromium"), args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        for scheme, width in (("light", 1000), ("dark", 1000), ("light", 390)):
            page = await browser.new_page(
                color_scheme="dark" if scheme == "dark" else "light", viewport={"width": width, "height": 844}
            )
            complaints: list[str] = []
            page.on("console", lambda message, to=complaints: to.append(message.text))
            await page.goto((news.folder / "report.html").as_uri())
            for i in range(2):
                script = "i => { const v = document.querySelectorAll('video')[i]; v.muted = true; return v.play() }"
                await page.evaluate(script, i)
                await page.wait_for_function("i => document.querySelectorAll('video')[i].currentTime > 0.2", arg=i)
                size = await page.evaluate("i => document.querySelectorAll('video')[i].videoWidth", i)
                assert size == 320
            assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
            assert complaints == []
            await page.screenshot(path=shots / f"report-{scheme}-{width}.png", full_page=True)
        page = await browser.new_page()
        await page.goto((news.folder / "report.html").as_uri())
        await page.pdf(path=shots / "report.pdf")
        await browser.close()
    assert json.loads((news.folder / "report.json").read_text())["verified"] is True


def test_verify_names_the_file_that_was_altered_and_ends_with_1(
    evidence: tuple[Answered, Path], tmp_path: Path
) -> None:
    answered, out = evidence

    async def receive() -> Progress:
        async with EmbeddedBroker() as broker, serving(broker.url, answered):
            return await received(broker.url, answered, out, 30)

    news = asyncio.run(receive())
    film = news.folder / "clip-2.mp4"
    data = bytearray(film.read_bytes())
    data[len(data) // 2] ^= 1
    film.write_bytes(data)
    done = doorward("--json", "requester", "verify", news.folder)
    assert done.returncode == 1
    assert json.loads(done.stdout)["failed"]["file"] == "clip-2.mp4"
    plain = doorward("requester", "verify", news.folder)
    assert plain.returncode == 1
    assert "clip-2.mp4" in plain.stdout
    empty = doorward("requester", "verify", tmp_path)
    assert empty.returncode == 2
