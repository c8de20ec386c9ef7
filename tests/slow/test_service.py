"""Doorward as a homeowner has it: installed by scripts/install, started, watched and stopped by a real systemd.

The machine is the Debian of scripts/camera_root, booted in a container that shares this one's network; film files
stand for the camera. Not covered: a Raspberry Pi's kernel, and its camera's devices under the unit's sandbox.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.slow.conftest import doorward_json, free_port
from tests.slow.doorbells import until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CONFIG = "etc/doorward/doorward.toml"
DROPINS = "etc/systemd/system/doorward.service.d"
WEDGED_S = 8
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
PROBING = ("/opt/doorward/bin/python", "/opt/doorward/probe.py")

# What is tried from inside the unit's sandbox, before the doorbell starts there; one JSON line in the journal.
PROBE = """
import ctypes, grp, json, os, resource, socket, time
def refused(act):
    try:
        act()
    except OSError as e:
        return e.strerror
    return None
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
print("PROBE " + json.dumps({
    "asks the clock": libc.adjtimex(ctypes.create_string_buffer(256)) >= 0,
    "pipe": refused(lambda: os.mkfifo(".lgd-nfy0")),  # as lgpio does, which reads the button
    "uid": os.getuid(),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "refused": {
        "set the clock": refused(lambda: time.clock_settime(time.CLOCK_REALTIME, time.time())),
        "write to /etc": refused(lambda: open("/etc/doorward/x", "w")),
        "write to /opt": refused(lambda: open("/opt/doorward/x", "w")),
        "see /root": refused(lambda: os.listdir("/root")),
        "raw packets": refused(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)),
        "mount": refused(lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None)),
        "namespace": refused(lambda: call("unshare", 0x10000000)),
    },
    "groups": sorted(grp.getgrgid(number).gr_name for number in os.getgroups()),
    "state": os.stat(os.environ.get("STATE_DIRECTORY", "/")).st_mode & 0o777,
}))
"""


class Machine:
    """A booted Debian; `leader` is its first process, seen from here."""

    def __init__(self, leader: int) -> None:
        self.root = Path(f"/proc/{leader}/root")
        self._enter = ["nsenter", "--target", str(leader), "--all"]

    def try_(self, *command: str, timeout: float = 60, typed: str = "") -> subprocess.CompletedProcess[str]:
        """A command of root's on the machine."""
        env = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.lower() in _PROXIES}
        env |= {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        enter = [*self._enter, *command]
        return subprocess.run(enter, capture_output=True, text=True, timeout=timeout, env=env, input=typed)

    def do(self, *command: str, timeout: float = 60) -> str:
        done = self.try_(*command, timeout=timeout)
        assert done.returncode == 0, f"{command}: {done.stderr[-1500:]}{self.journal()[-3000:]}"
        return done.stdout

    def journal(self, unit: str = "doorward") -> str:
        return self.try_("journalctl", f"--unit={unit}", "--output=cat", "--no-pager").stdout

    def doorward(self, *arguments: str) -> Any:
        return json.loads(self.do("doorward", "--json", *arguments))

    def service(self, what: str) -> str:
        """A property of the unit, as systemd has it."""
        return self.do("systemctl", "show", "--value", f"--property={what}", "doorward").strip()


def lacking(why: str) -> NoReturn:
    """Nothing to test on here; on a desk that is all right."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@contextlib.contextmanager
def booted(film: Path) -> Iterator[Machine]:
    """The machine, up, with the film as /films/door.mp4; powered off afterwards."""
    home = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}
    console = subprocess.Popen(
        [
            ROOT / "scripts" / "camera_root", "boot", f"--bind-ro={film}:/films/door.mp4",
            "--system-call-filter=adjtimex clock_adjtime",  # a Pi has no container around it that forbids these
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=home,
    )  # fmt: skip
    try:
        children = Path(f"/proc/{console.pid}/task/{console.pid}/children")

        def leader() -> int | None:
            if console.poll() is not None:
                lacking(f"no Debian can be booted here: {console.stdout.read() if console.stdout else ''}")
            for pid in children.read_text().split():
                with contextlib.suppress(FileNotFoundError):  # one that has just ended
                    if os.readlink(f"/proc/{pid}/exe").endswith("/systemd"):
                        return int(pid)
            return None

        machine = Machine(until(leader, lambda found: found is not None))
        until(
            lambda: machine.try_("systemctl", "is-system-running", "--wait").stdout.strip(),
            lambda state: state in ("running", "degraded"),
        )
        yield machine
    finally:
        console.send_signal(signal.SIGTERM)  # an orderly power-off
        try:
            console.wait(30)
        except subprocess.TimeoutExpired:
            console.kill()
            console.wait()
            raise


@pytest.fixture
def machine(scene: Path, tmp_path: Path) -> Iterator[Machine]:
    if shutil.which("systemd-nspawn") is None:
        lacking("systemd-nspawn is not installed (systemd-container)")
    home = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}
    made = subprocess.run([ROOT / "scripts" / "camera_root"], capture_output=True, text=True, env=home)
    if made.returncode:
        lacking(made.stderr.strip().splitlines()[-1])
    film = tmp_path / "door.mp4"
    shutil.copyfile(scene, film)
    film.chmod(0o644)  # the doorbell's user is nobody's
    with booted(film) as up:
        yield up


def test_a_service_installs_records_outlives_a_wedge_and_stops(machine: Machine, tmp_path: Path) -> None:
    machine.do("groupadd", "--system", "gpio")  # a Pi has it
    assert "sudo doorward setup" in machine.do("/srv/doorward/scripts/install", timeout=300)
    _only_root_and_the_doorbell_read_the_settings(machine)
    _configure(machine, port := free_port())
    link = _set_up(machine)  # returns when the doorbell has said READY=1
    assert (machine.service("ActiveState"), machine.service("UnitFileState")) == ("active", "enabled")
    _only_root_and_the_doorbell_read_the_settings(machine)
    assert machine.service("StatusText") == "Waiting", "whose the clips would be is not known yet"
    assert "Recovery code" not in machine.journal(), "a journal keeps what is said"
    _the_sandbox_holds(machine)

    identity = tmp_path / "owner.json"
    doorward_json("owner", "init", "--identity", identity, "--no-passphrase")
    doorward_json("owner", "pair", link, "--identity", identity, "--device", f"http://127.0.0.1:{port}")
    until(lambda: machine.service("StatusText"), lambda said: said == "Recording", 60)

    _the_doctor_knows(machine, settings="ok", doorbell="ok", owner="ok", permissions="ok", page="ok", disk="ok")
    first = machine.service("MainPID")
    machine.do("systemctl", "kill", "--signal=STOP", "--kill-whom=main", "doorward")  # every thread of it, as if stuck
    begun = time.monotonic()
    until(lambda: machine.service("NRestarts"), lambda times: times == "1", WEDGED_S + 20)
    assert time.monotonic() - begun > WEDGED_S / 2
    until(lambda: machine.service("ActiveState"), lambda state: state == "active")
    said = machine.journal()
    assert "Watchdog timeout" in said
    assert "Failed with result 'watchdog'" in said
    assert "Fatal Python error: Aborted" in said, "where each thread was"
    assert machine.service("MainPID") not in (first, "0")
    until(lambda: machine.service("StatusText"), lambda now: now == "Recording", 60)

    second = machine.service("MainPID")
    assert "sudo doorward setup" not in machine.do("/srv/doorward/scripts/install", timeout=300)
    assert machine.service("MainPID") not in (second, "0"), "an update starts it anew"
    until(lambda: machine.service("StatusText"), lambda now: now == "Recording", 60)

    machine.do("systemctl", "stop", "doorward")
    assert (machine.service("Result"), machine.service("ExecMainStatus")) == ("success", "0")
    (machine.root / CONFIG).chmod(0o600)
    _the_doctor_knows(machine, doorbell="bad", permissions="bad", owner="ok")
    clips = machine.doorward("clips")
    assert len(clips) == 3
    assert all(clip["state"] != "recording" for clip in clips)
    assert machine.doorward("check")["ok"] is True
    _what_root_makes_is_the_doorbells(machine)
    machine.do("/srv/doorward/scripts/install", "remove")
    assert not (machine.root / "opt/doorward").exists()
    assert machine.try_("systemctl", "cat", "doorward").returncode != 0
    assert (machine.root / CONFIG).exists()
    kept = [path for path in (machine.root / "var/lib/doorward/ring").rglob("*") if path.is_file()]
    assert len(kept) >= len(clips), "recordings stay"


def _the_doctor_knows(machine: Machine, **verdicts: str) -> None:
    done = machine.try_("doorward", "--json", "doctor")
    found = {check["check"]: check for check in json.loads(done.stdout)["checks"]}
    assert {check: found[check]["verdict"] for check in verdicts} == verdicts, found


def _only_root_and_the_doorbell_read_the_settings(machine: Machine) -> None:
    """They may hold a camera's or a broker's password. Whoever forgets sudo gets a sentence."""
    assert machine.do("stat", "--format=%U:%G %a", f"/{CONFIG}").strip() == "root:doorward 640"
    assert "Permission denied" in machine.try_(*NOBODY, "cat", f"/{CONFIG}").stderr


def _what_root_makes_is_the_doorbells(machine: Machine) -> None:
    state = machine.root / "var/lib/doorward"
    (state / "models").mkdir()
    (state / "models" / "by-root").write_text("as 'sudo doorward models fetch' does")
    machine.doorward("clips")
    owner = state.stat().st_uid
    assert owner != 0
    assert {path.lstat().st_uid for path in state.rglob("*")} == {owner}
    asked = machine.try_(*NOBODY, "doorward", "clips")
    assert (asked.returncode, asked.stderr.strip()) == (
        3, "doorward: /var/lib/doorward is not yours to read; put 'sudo' before the command"
    )  # fmt: skip


def _set_up(machine: Machine) -> str:
    """As the homeowner does it: a name, Enter to every other question; the link to pair with."""
    done = machine.try_("doorward", "--json", "setup", typed="Garden gate" + 7 * "\n")
    assert done.returncode == 0, done.stderr[-3000:] + machine.journal()[-3000:]
    said = json.loads(done.stdout)
    assert (said["file"], said["written"], said["next"]) == (f"/{CONFIG}", {"doorbell.name": "Garden gate"}, [])
    link: str = said["pairing"]["url"]
    return link


def _configure(machine: Machine, port: int) -> None:
    assert (machine.root / CONFIG).read_text() == (ROOT / "config" / "doorward.toml").read_text()
    (machine.root / CONFIG).write_text(
        f"[camera]\nreplay = {['/films/door.mp4'] * 5}\nrealtime = true\n".replace("'", '"')
        + f'[ring]\nmin_free_mb = 0\n[http]\nhost = "0.0.0.0"\nport = {port}\nhttps_port = {free_port()}\n'
    )
    (machine.root / DROPINS).mkdir()
    (machine.root / "opt/doorward/probe.py").write_text(PROBE)
    (machine.root / DROPINS / "test.conf").write_text(
        f"[Service]\nWatchdogSec={WEDGED_S}\nRestartSec=1\nExecStartPre={' '.join(PROBING)}\n"
    )
    machine.do("systemctl", "daemon-reload")


def _probed(text: str) -> Any:
    line = next(line for line in text.splitlines() if line.startswith("PROBE "))
    return json.loads(line.removeprefix("PROBE "))


def _the_sandbox_holds(machine: Machine) -> None:
    probe = _probed(machine.journal())
    unit = f"[Service]\nType=oneshot\nExecStart={' '.join(PROBING)}\n"
    (machine.root / "etc/systemd/system/bare.service").write_text(unit)
    machine.do("systemctl", "start", "bare")
    bare = _probed(machine.journal("bare"))
    able = {what for what, why in bare["refused"].items() if why is None}
    assert able == bare["refused"].keys() - {"set the clock"}, (
        "the unit forbids what would work; the container the clock"
    )
    denied, read_only = "Operation not permitted", "Read-only file system"
    assert probe["refused"] == {
        "set the clock": denied,
        "write to /etc": read_only,
        "write to /opt": read_only,
        "see /root": "Permission denied",
        "raw packets": "Address family not supported by protocol",
        "mount": denied,
        "namespace": denied,
    }
    assert probe["asks the clock"], "though it cannot be set"
    assert probe["pipe"] is None
    assert probe["state"] == 0o700
    assert probe["core"] == [0, 0] != bare["core"], "an abort leaves no memory on the disk"
    assert str(probe["uid"]) == machine.do("id", "--user", "doorward").strip() != "0"
    assert probe["groups"] == ["audio", "doorward", "gpio", "video"]
    status = (machine.root / "proc" / machine.service("MainPID") / "status").read_text()
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert set(facts["Uid"].split()) == {str(probe["uid"])}
    assert (int(facts["CapEff"], 16), int(facts["CapBnd"], 16)) == (0, 0)
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
