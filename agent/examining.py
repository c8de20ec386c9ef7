"""Whether everything a doorbell needs is there: each thing tried, with what to do where it fails.

Reads and measures; the one thing it writes is a file without a name, to see how fast the disk is. A camera that the
running doorbell has is not opened a second time: the doorbell is asked. What is good enough is core.health's to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from agent.adapters import clock, vitals
from agent.adapters.broker import BrokerAddress, BrokerSession
from agent.adapters.ntfy import owner_phones
from agent.adapters.vitals import Service
from agent.broker_talk import broker_address
from agent.config import Config
from agent.core import health, identity
from agent.core.errors import DoorwardError
from agent.core.frame import Away, EncodedPacket, Mute, SoundPacket, SourceItem, VideoFormat
from agent.core.health import Finding, bad, off, ok
from agent.detecting import named_model
from agent.home_talk import household_address
from agent.live import live_source
from agent.secure_home import SecureHome, stays_here
from agent.store.database import connect
from agent.store.index import Index
from agent.store.keeping import ring_limits
from agent.store.ledger import Ledger
from agent.store.models import ModelStore
from agent.store.state import StateDirectory, WriterLock, device_id

_CAMERA_S: Final = 20.0
_LOOK_AT_NS: Final = 4_000_000_000
_BROKER_S: Final = 10.0
_NETWORK_KBIT_S: Final = 4000
_WELL: Final = ("waiting", "watching", "recording", "paused", "ended")

Look = tuple[str, Callable[[], Iterable[Finding]]]


def examine(config: Config, file: Path, state: Path, unit: Service | None) -> Iterator[Finding]:
    """One finding or more for each thing, as each is done.

    `file`: where the settings are, or would be; `unit`: the service that has this state directory, if one has.
    """
    for check, look in _looks(config, file, state, unit):
        try:
            yield from look()
        except DoorwardError as error:
            yield bad(check, str(error), "")


def _looks(config: Config, file: Path, state: Path, unit: Service | None) -> list[Look]:
    return [
        ("settings", lambda: [_settings(file)]),
        ("doorbell", lambda: _doorbell(state, unit)),
        ("permissions", lambda: _permissions(config, file, state, unit)),
        ("page", lambda: [_page(config, state)]),
        ("camera", lambda: try_camera(config, state, unit)),
        ("disk", lambda: [_disk(config, state)]),
        ("clock", lambda: [_clock(config)]),
        ("detector", lambda: [_detector(config, state)]),
        ("broker", lambda: try_broker("broker", broker_address(config.broker))),
        ("home assistant", lambda: try_broker("home assistant", household_address(config))),
        ("push", lambda: [_push(config)]),
        ("temperature", lambda: [health.temperature(vitals.hottest_c())]),
        ("power", lambda: [health.power(vitals.throttled_bits())]),
    ]


def _settings(file: Path) -> Finding:
    return ok("settings", str(file)) if file.exists() else off("settings", "none: the defaults hold")


def _doorbell(state: Path, unit: Service | None) -> Iterator[Finding]:
    if unit is not None:
        if unit.active == "active":
            yield ok("doorbell", "runs as a service")
        else:
            log = "journalctl -u doorward -n 20" if unit.active == "failed" else "sudo systemctl enable --now doorward"
            yield bad("doorbell", f"the service does not run ({unit.active})", log)
        if unit.enabled != "enabled":
            yield bad("start", "the doorbell does not start with the machine", "sudo systemctl enable doorward")
    if unit is None:
        running = _running(state)
        yield ok("doorbell", f"{running} runs") if running else off("doorbell", "does not run")
    if not (state / "doorward.db").exists():
        yield off("owner", "a phone can be paired once the doorbell was started")
        return
    found = StateDirectory(state)
    with contextlib.closing(connect(found.database, read_only=True)) as db:
        current = Ledger(db).owners()
    if current is not None and identity.read_owner_set(current, device_id(found.device_key())).owners:
        yield ok("owner", "a phone is paired")
    else:
        yield bad("owner", "no phone is paired: nothing is recorded", "sudo doorward pair")


def _permissions(config: Config, file: Path, state: Path, unit: Service | None) -> Iterator[Finding]:
    wrong = False
    if file.exists() and file.stat().st_mode & 0o004 and _holds_secrets(config):
        wrong = True
        yield bad("permissions", f"everybody on this machine can read the passwords in {file}", f"sudo chmod o= {file}")
    user = unit.user if unit is not None else ""
    if user and (groups := vitals.groups_of(user)):
        for path in filter(Path.exists, (file, *_named_files(config))):
            if not vitals.may_read(user, path):
                wrong = True
                yield bad("permissions", f"the doorbell cannot read {path}",
                          f"sudo chgrp {user} {path}; sudo chmod 640 {path}")  # fmt: skip
        for group in _groups_needed(config):
            if vitals.group_exists(group) and group not in groups:
                wrong = True
                yield bad("permissions", f"the doorbell is not in the group {group}",
                          f"sudo usermod -aG {group} {user}; sudo systemctl restart doorward")  # fmt: skip
    if state.exists():
        owner = state.stat().st_uid
        if strangers := [path.name for path in state.iterdir() if path.lstat().st_uid not in (owner, 0)]:
            wrong = True
            yield bad("permissions", f"{strangers[0]} in {state} is not the doorbell's own",
                      f"sudo chown -R --reference={state} {state}")  # fmt: skip
        if state.stat().st_mode & 0o077:
            wrong = True
            yield bad("permissions", f"others on this machine can look into {state}", f"sudo chmod 700 {state}")
    if not wrong:
        yield ok("permissions", "settings and recordings are the doorbell's own")


def _holds_secrets(config: Config) -> bool:
    urls = (config.camera.url, config.broker.url, config.home_assistant.url)
    return bool(config.notify.ntfy_token) or any(urlsplit(url).password for url in urls)


def _named_files(config: Config) -> list[Path]:
    brokers = (config.broker, config.home_assistant)
    names = [name for broker in brokers for name in (broker.ca, broker.certificate, broker.key) if name]
    page = [name for name in (config.http.certificate, config.http.key) if name]
    return [Path(name) for name in (*names, *page, *config.requesters.pinned)]


def _groups_needed(config: Config) -> list[str]:
    local = bool(config.camera.url) and not urlsplit(config.camera.url).netloc
    needed = {"video": local, "audio": local and config.audio.record, "gpio": config.button.pin >= 0}
    return [name for name, wanted in needed.items() if wanted]


def try_camera(config: Config, state: Path, unit: Service | None) -> list[Finding]:
    """Whether pictures come: of the camera itself, or by the word of the doorbell that has it."""
    if config.camera.replay:
        return [off("camera", "film files are replayed instead of one")]
    if not config.camera.url:
        return [bad("camera", "the settings name none", "sudo doorward setup")]
    holder = _running(state)
    if holder is None:
        return film_some(config)
    if unit is None or f"(process {unit.pid})" not in holder:
        return [off("camera", f"{holder} has it; the owner's page says how it does")]
    if unit.status.lower() in _WELL:
        return [ok("camera", f"the running doorbell says: {unit.status}")]
    return [bad("camera", f"the running doorbell says: {unit.status}", "")]


def _running(state: Path) -> str | None:
    """The doorbell that runs over `state`."""
    return WriterLock.holder(StateDirectory(state)) if (state / "doorward.db").exists() else None


def _page(config: Config, state: Path) -> Finding:
    """The owner's page as a phone finds it: what answers, and with a certificate that holds for its name."""
    http = config.http
    if _running(state) is None:
        return off("page", "the doorbell does not run")
    here = "127.0.0.1" if http.host in ("0.0.0.0", "::", "localhost") else http.host  # noqa: S104 - no address to bind
    asyncio.run(vitals.listens(here, http.port))
    if stays_here(http.host):
        return ok("page", f"http://localhost:{http.port}, for this machine alone")
    home = SecureHome(config, StateDirectory(state))
    steps = home.steps(http.https_port)
    trusting = ssl.create_default_context(cadata=steps.authority or None)
    _, ends = asyncio.run(vitals.tls_facts(here, http.https_port, trusting, home.names[0]))
    renewal = "sudo systemctl restart doorward" if steps.authority else "renew http.certificate"
    return health.certificate("page", f"{steps.origin} answers; its", ends, clock.utc_ns() / 1e9, renewal)


def film_some(config: Config) -> list[Finding]:
    """What comes of the camera, and of the microphone where there is to be sound, in some seconds.

    Opened as for recording. BadInput where the address is none.
    """
    until = time.monotonic() + _CAMERA_S
    size, times, lasting_ns = (0, 0), [], 1
    heard, mute = False, "it sends no sound"
    with contextlib.closing(_items(live_source(config)(lambda: time.monotonic() > until))) as items:
        for item in items:
            if isinstance(item, Away):
                return [bad("camera", item.reason, "")]
            if isinstance(item, VideoFormat):
                size = (item.width, item.height)
            elif isinstance(item, SoundPacket):
                heard = True
            elif isinstance(item, Mute):
                heard, mute = False, item.reason
            elif isinstance(item, EncodedPacket):
                times.append(item.pts_ns)
                lasting_ns = item.duration_ns
                if max(times) - times[0] >= _LOOK_AT_NS:
                    break
    if not times:
        return [bad("camera", f"no picture came in {_CAMERA_S:.0f} seconds", "look at the camera's cable or network")]
    found = health.camera(health.Sample(*size, tuple(sorted(times)), max(1, lasting_ns)))
    if config.audio.record:
        found.append(ok("sound", "is heard") if heard else bad("sound", mute, "or set audio.record = false"))
    return found


def _items(source: Iterable[SourceItem]) -> Generator[SourceItem]:
    yield from source


def _disk(config: Config, state: Path) -> Finding:
    if not (state / "doorward.db").exists():
        return off("disk", f"{state} holds no doorbell yet")
    limits = ring_limits(config)
    found = StateDirectory(state)
    with contextlib.closing(connect(found.database, read_only=True)) as db:
        _, used, _ = Index(db).totals()
    kbit_s = config.camera.bitrate_kbps if config.camera.url.startswith(("pi", "usb", "/")) else _NETWORK_KBIT_S
    second = kbit_s * 1000 // 8
    took = vitals.sync_times_s(found.ring, health.SYNCS, second)
    free = vitals.free_bytes(found.ring)
    return health.disk(second, took, free, max(0, limits.budget_bytes - used), limits.min_free_bytes)


def _clock(config: Config) -> Finding:
    reading = clock.reading()
    return health.clock(reading.synchronised, reading.error_ns, config.clock.trusted)


def _detector(config: Config, state: Path) -> Finding:
    if not config.detector.model:
        return off("detector", "none is wanted: clips get no labels")
    model, store = named_model(config.detector.model), ModelStore(state)
    if not store.there(model):
        return off("detector", f"{model.name} is not here: clips get no labels", "sudo doorward models fetch")
    store.checked(model)
    if find_spec("onnxruntime") is None:
        return bad("detector", "onnxruntime, which runs the model, is not installed", "sudo scripts/install")
    return ok("detector", f"{model.name} is here, whole")


def try_broker(check: str, address: BrokerAddress | None) -> Iterator[Finding]:
    """Whether it takes the doorbell, and encrypts. Unavailable where it does not."""
    if address is None:
        yield off(check, "none is named")
        return
    asyncio.run(_connected(address))
    yield ok(check, f"{address} takes the doorbell")
    if address.tls is None:
        yield off(f"{check} TLS", "not used: who sits between reads who is asked, and when")
    else:
        version, ends = asyncio.run(vitals.tls_facts(address.host, address.port, address.tls))
        yield health.certificate(
            f"{check} TLS", f"{version}; the broker's", ends, clock.utc_ns() / 1e9,
            "ask who runs the broker to renew it",
        )  # fmt: skip


async def _connected(address: BrokerAddress) -> None:
    async with BrokerSession(address) as session:
        await session.connected(_BROKER_S)


def _push(config: Config) -> Finding:
    told = config.notify
    phones = owner_phones(told.ntfy, config.doorbell.name, told.page, told.ntfy_token)
    if phones is None:
        return off("push", "no topic is named: your phone is told only while the page is open")
    asyncio.run(phones.answers())
    return ok("push", "the ntfy server answers; 'doorward notify' sends your phone a notice")
