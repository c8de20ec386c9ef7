"""The microphone's sound stays with the clock, and whatever keeps it from listening is said and tried again.

The peer is a program in the place of arecord, paced as a sound card paces it. The real one is in
tests/slow/test_usb_camera.py.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.adapters.microphone import RATE_HZ, Microphone, SampleClock, with_sound
from agent.adapters.patience import Surroundings
from agent.core.frame import Away, EncodedPacket, Mute, SoundFormat, SoundPacket, SourceItem

SECOND = 1_000_000_000
NO_WAIT = Surroundings(sleep=lambda _: time.sleep(0.01), chance=lambda: 0.0)
BEGIN = """
import array, math, os, sys, time
RATE = 48000
PIECE = RATE // 20
def boot_ns():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
def pieces(seconds):
    begun = boot_ns()
    for n in range(int(20 * seconds)):
        time.sleep(max(0, begun + (n + 1) * 50_000_000 - boot_ns()) / 1e9)
        yield n, begun + n * 50_000_000
def write(loud):
    os.write(1, array.array('h', [int(20000 * math.sin(0.13 * k)) if loud else 0 for k in range(PIECE)]).tobytes())
"""
BEEPS = """
for n, heard_ns in pieces(60):
    loud = n % 20 == 10
    if loud:
        with open(sys.argv[0] + '.beeps', 'a') as file:
            print(heard_ns, file=file)
    write(loud)
"""
SILENT = "time.sleep(60)"


def program(folder: Path, *scripts: str) -> str:
    """Something in the place of arecord: the first time it does the first script, and so on, then the last."""
    path = folder / "arecord"
    choices = "".join(f"if count == {n}:\n    script = {script!r}\n" for n, script in enumerate(scripts))
    path.write_text(
        f"#!{sys.executable}\n{BEGIN}\nlog = sys.argv[0] + '.starts'\n"
        "count = len(open(log).readlines()) if os.path.exists(log) else 0\n"
        "open(log, 'a').write(' '.join(sys.argv[1:]) + f' {os.getpid()}\\n')\n"
        f"count = min(count, {len(scripts) - 1})\n{choices}exec(script)\n"
    )
    path.chmod(0o755)
    return str(path)


class Listening:
    """A microphone that listens while entered, and what it hands out."""

    def __init__(self, program: str, *, silence_s: float = 5.0) -> None:
        self.program = Path(program)
        self._over = False
        self.microphone = Microphone(
            lambda: "plughw:1,0", lambda: self._over, program=program, silence_s=silence_s, surroundings=NO_WAIT
        )
        self.items: list[SoundFormat | SoundPacket | Mute] = []

    def until(self, true: Callable[[], bool], seconds: float = 15) -> None:
        """Collect items until it is so."""
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, self.items[:5]
            self.items += self.microphone.items()
            time.sleep(0.02)

    @property
    def packets(self) -> list[SoundPacket]:
        return [item for item in self.items if isinstance(item, SoundPacket)]

    @property
    def told(self) -> list[str]:
        return [item.reason for item in self.items if isinstance(item, Mute)]

    def __enter__(self) -> Listening:
        self.microphone.camera_there.set()
        self.microphone.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """No program is left when it is over."""
        self._over = True
        deadline = time.monotonic() + 10
        while self.running():
            assert time.monotonic() < deadline, "the program goes on after the end"
            time.sleep(0.05)

    def running(self) -> list[str]:
        """The programs that are still there."""
        starts = self.program.with_suffix(".starts")
        pids = [line.split()[-1] for line in starts.read_text().splitlines()] if starts.exists() else []
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def heard_beeps(fmt: SoundFormat, packets: list[SoundPacket]) -> list[int]:
    """When it begins to be loud, boot clock."""
    context = av.CodecContext.create("aac", "r")
    context.extradata = fmt.config
    found: list[int] = []
    loud_until = 0
    for packet in packets:
        for frame in context.decode(av.Packet(packet.data)):
            for at in np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.2):
                time_ns = packet.pts_ns + int(at) * SECOND // RATE_HZ
                if time_ns > loud_until:
                    found.append(time_ns)
                loud_until = time_ns + SECOND // 5
    return found


def test_a_beep_is_heard_when_it_was(tmp_path: Path) -> None:
    with Listening(program(tmp_path, BEEPS)) as listening:
        listening.until(lambda: len(listening.packets) > 200)
        fmt = listening.items[0]
        assert isinstance(fmt, SoundFormat)
        assert (fmt.rate_hz, fmt.channels) == (RATE_HZ, 1)
        heard = heard_beeps(fmt, listening.packets)
    asked = (tmp_path / "arecord.starts").read_text()
    assert "--device=plughw:1,0" in asked
    assert "--format=S16_LE --channels=1 --rate=48000" in asked
    made = [int(line) for line in (tmp_path / "arecord.beeps").read_text().split()]
    assert len(heard) >= 3
    late_ms = [(ear - mouth) / 1e6 for ear, mouth in zip(heard, made, strict=False)]
    assert max(map(abs, late_ms)) < 60, late_ms
    steps = np.diff([packet.pts_ns for packet in listening.packets]) / 1e6
    assert np.median(steps) == pytest.approx(1024 / 48, abs=0.1)


def test_a_program_that_ends_is_said_and_started_again(tmp_path: Path) -> None:
    dies = "sys.stderr.write('arecord: pcm_read:2221: read error: No such device\\n'); sys.exit(1)"
    with Listening(program(tmp_path, dies, BEEPS)) as listening:
        listening.until(lambda: len(listening.packets) > 20)
    assert listening.told[0].startswith("There is no microphone plughw:1,0; see whether its plug sits")
    assert listening.told[-1] == "", "and that it is back"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("audio open error: Device or resource busy", "The microphone plughw:1,0 is used by another program"),
        ("audio open error: Permission denied", "The microphone plughw:1,0 may not be used by this user"),
        ("audio open error: Input/output error", "The microphone plughw:1,0 fails (Input/output error)"),
        ("", "The microphone plughw:1,0 fails (it stopped without a word)"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, words: str, sentence: str) -> None:
    with Listening(
        program(tmp_path, f"sys.stderr.write('arecord: main:831: {words}'[:{99 if words else 0}])")
    ) as heard:
        heard.until(lambda: bool(heard.told))
    assert heard.told[0].startswith(sentence)


def test_one_that_falls_silent_is_ended_and_started_again(tmp_path: Path) -> None:
    with Listening(program(tmp_path, SILENT, BEEPS), silence_s=0.5) as listening:
        listening.until(lambda: len(listening.packets) > 20)
    assert "has sent nothing" in listening.told[0]
    assert len((tmp_path / "arecord.starts").read_text().splitlines()) == 2


def test_one_that_floods_is_refused(tmp_path: Path) -> None:
    with Listening(program(tmp_path, "while True: write(False)")) as listening:
        listening.until(lambda: bool(listening.told))
    assert listening.told[0].startswith("The microphone sends faster than can be heard")


def test_without_arecord_it_says_what_to_install(tmp_path: Path) -> None:
    with Listening(str(tmp_path / "none")) as listening:
        listening.until(lambda: bool(listening.told))
    assert listening.told == ["The microphone needs the program arecord; run 'sudo apt install alsa-utils'."]


PICTURE = EncodedPacket(b"", 0, 0, 0, key=True)
AWAY = Away(0, "There is no camera.")


def slowly(*items: SourceItem) -> Iterator[SourceItem]:
    """Twenty a second."""
    for item in items:
        time.sleep(0.05)
        yield item


def test_sound_comes_between_the_pictures_and_keeps_none_waiting(tmp_path: Path) -> None:
    listening = Listening(program(tmp_path, BEEPS))
    begun = time.monotonic()
    items = list(with_sound(slowly(*40 * [PICTURE]), listening.microphone))
    took_s = time.monotonic() - begun
    listening.end()
    assert took_s < 4
    assert items.count(PICTURE) == 40
    assert sum(isinstance(item, SoundPacket) for item in items) > 20


def test_which_microphone_is_asked_only_while_the_camera_is_there(tmp_path: Path) -> None:
    """One in the camera goes with it, and a camera that is away has none to choose."""
    asked: list[bool] = []
    over = False

    def choose() -> str:
        asked.append(microphone.camera_there.is_set())
        return "plughw:1,0"

    path = program(tmp_path, "[write(False) for _ in pieces(0.2)]", BEEPS)
    microphone = Microphone(choose, lambda: over, program=path, surroundings=NO_WAIT)
    items = with_sound(slowly(*20 * [AWAY], *3 * [PICTURE], *20 * [AWAY], *40 * [PICTURE]), microphone)
    at_items = [(len(asked), item) for item in items]
    over = True
    assert asked == [True, True]
    assert max(count for count, item in at_items[:20]) == 0, "the camera is not there yet"
    heard_again = at_items[[item for _, item in at_items].index(PICTURE) + 20 :]
    assert sum(isinstance(item, SoundPacket) for _, item in heard_again) > 10


@settings(max_examples=25)
@given(st.integers(-150, 150), st.integers(0, 1000))
def test_a_sound_cards_clock_is_followed(fast_ppm: int, seed: int) -> None:
    """However late the samples are read: heard within 20 ms of when they were, over minutes."""
    chance = random.Random(seed)
    samples_clock = SampleClock()
    step = RATE_HZ // 20
    for n in range(1, 3000):
        true_ns = round(n * step * SECOND / (RATE_HZ * (1 + fast_ppm / 1e6)))
        late_ns = round(chance.expovariate(1 / 4e6)) if chance.random() > 0.02 else chance.randrange(400_000_000)
        samples_clock.arrived(step, true_ns + late_ns)
        if n > 60:
            assert abs(samples_clock.heard_ns(Fraction(n * step, RATE_HZ)) - true_ns) < 20_000_000


def test_samples_that_were_lost_are_noticed() -> None:
    samples_clock = SampleClock()
    now_ns = 0
    for n in range(200):
        now_ns += SECOND // 20 + (SECOND if n == 100 else 0)  # the card's buffer ran over once
        samples_clock.arrived(RATE_HZ // 20, now_ns)
    assert samples_clock.heard_ns(Fraction(samples_clock.samples, RATE_HZ)) == now_ns
