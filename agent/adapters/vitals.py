"""How the machine is: its temperature and power, how fast its disk is, what systemd says of the doorbell, whose may
read what.

Measures and reads; judges nothing, changes nothing. Sources: sysfs (thermal, raspberrypi-firmware's get_throttled,
rpi_volt of hwmon), systemctl(1).
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import ssl
import subprocess
import tempfile
import time
from asyncio import open_connection, timeout
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.core.errors import Unavailable

_UNIT: Final = "doorward.service"
_HANDSHAKE_S: Final = 10.0
_VOLTAGE_LOW: Final = 0x1


def hottest_c(sys: Path = Path("/sys")) -> float | None:
    """The warmest thermal zone in degrees Celsius; None where there is none."""
    found = [_number(zone, 10) for zone in sorted(sys.glob("class/thermal/thermal_zone*/temp"))]
    return max((each / 1000 for each in found if each is not None), default=None)


def throttled_bits(sys: Path = Path("/sys")) -> int | None:
    """A Raspberry Pi's `get_throttled`, or its alarm of low voltage; None on other machines."""
    for file in sorted(sys.glob("devices/platform/*/*firmware/get_throttled")):
        if (bits := _number(file, 16)) is not None:
            return bits
    for name in sorted(sys.glob("class/hwmon/hwmon*/name")):
        if name.read_text().strip() == "rpi_volt":
            alarm = _number(name.with_name("in0_lcrit_alarm"), 10)
            return None if alarm is None else _VOLTAGE_LOW * alarm
    return None


def _number(file: Path, base: int) -> int | None:
    try:
        return int(file.read_text().strip(), base)
    except (OSError, ValueError):  # a zone that is switched off gives an error for a temperature
        return None


def sync_times_s(directory: Path, count: int, size: int) -> list[float]:
    """How long each of `count` pieces of `size` bytes takes to be safe on that disk, one after the other.

    The file has no name and is gone afterwards. Unavailable where nothing can be written.
    """
    piece = os.urandom(size)
    took = []
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            for _ in range(count):
                begun = time.monotonic()
                file.write(piece)
                file.flush()
                os.fdatasync(file.fileno())
                took.append(time.monotonic() - begun)
    except OSError as e:
        raise Unavailable(f"nothing can be written in {directory}: {e.strerror}") from e
    return took


def free_bytes(directory: Path) -> int:
    """What is free on that disk."""
    return shutil.disk_usage(directory).free


@dataclass(frozen=True, slots=True)
class Service:
    """The doorbell's unit, as systemd has it. `status`: what the doorbell itself said last."""

    active: str
    enabled: str
    pid: int
    status: str
    user: str


def service() -> Service | None:
    """None where the unit, or systemd, is not there."""
    names = ("LoadState", "ActiveState", "UnitFileState", "MainPID", "StatusText", "User")
    try:
        done = subprocess.run(  # noqa: S603
            ["systemctl", "show", _UNIT, *(f"--property={name}" for name in names)],  # noqa: S607
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    said = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    if said.get("LoadState") != "loaded":
        return None
    return Service(said["ActiveState"], said["UnitFileState"], int(said["MainPID"]), said["StatusText"], said["User"])


def groups_of(user: str) -> set[str]:
    """The names of the groups a user is in; none where there is no such user."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return set()
    return {grp.getgrgid(number).gr_name for number in os.getgrouplist(user, entry.pw_gid)}


def group_exists(name: str) -> bool:
    """Whether this machine has it."""
    return any(entry.gr_name == name for entry in grp.getgrall())


def may_read(user: str, path: Path) -> bool:
    """Whether the mode of `path` lets the user read it; ACLs and the folders above it are not looked at."""
    entry, found = pwd.getpwnam(user), path.stat()
    if entry.pw_uid == found.st_uid:
        return bool(found.st_mode & 0o400)
    if found.st_gid in os.getgrouplist(user, entry.pw_gid):
        return bool(found.st_mode & 0o040)
    return bool(found.st_mode & 0o004)


async def tls_facts(host: str, port: int, context: ssl.SSLContext, name: str | None = None) -> tuple[str, float]:
    """The version of TLS agreed on, and when the server's certificate ends (UTC seconds).

    Unavailable where the server cannot be reached or its certificate does not hold for `name` (else `host`).
    """
    try:
        async with timeout(_HANDSHAKE_S):
            _, writer = await open_connection(host, port, ssl=context, server_hostname=name or host)
    except ssl.SSLCertVerificationError as e:
        raise Unavailable(f"the certificate at {host}:{port} does not hold: {e.verify_message}") from e
    except (OSError, TimeoutError) as e:
        raise Unavailable(f"no encrypted connection to {host}:{port}: {e or type(e).__name__}") from e
    try:
        agreed = writer.get_extra_info("ssl_object")
        return agreed.version(), float(ssl.cert_time_to_seconds(agreed.getpeercert()["notAfter"]))
    finally:
        writer.close()


async def listens(host: str, port: int) -> None:
    """Unavailable where nothing takes a connection there."""
    try:
        async with timeout(_HANDSHAKE_S):
            _, writer = await open_connection(host, port)
    except (OSError, TimeoutError) as e:
        raise Unavailable(f"nothing answers at {host}:{port}: {e or type(e).__name__}") from e
    writer.close()
