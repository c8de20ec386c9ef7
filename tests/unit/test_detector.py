"""The runtime for real: a hand-written model, one that fails, a thread that nobody waits for, and no runtime at all."""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agent.adapters.detector import Detector, DetectorState, Model
from agent.core.detection import Layout, Look
from agent.core.errors import Corrupt
from agent.core.frame import LumaFrame, Picture
from tests.tiny_model import tiny_model

LAYOUT = Layout(64, 32, 3, {0: "person", 2: "vehicle"})


@pytest.fixture(autouse=True)
def _runtime() -> None:
    if os.environ.get("CI"):
        import onnxruntime  # noqa: F401
    else:
        pytest.importorskip("onnxruntime", reason="the detector extra is not installed")


def model_file(folder: Path, shape: tuple[int, ...] = (1, 42, 8), images: tuple[int, ...] = (1, 3, 32, 64)) -> Path:
    output = np.zeros(shape, np.float32)
    if shape == (1, 42, 8):
        output[0, 38] = (0.5, 0.25, math.log(2), 0, 1, 0.75, 0, 0)  # a person at 24, 12 to 56, 28
    path = folder / "tiny.onnx"
    path.write_bytes(tiny_model(output, images))
    return path


def look(picture: Callable[[], Picture] | None = None, n: int = 0) -> Look:
    grey = np.full((32, 64), 128, np.uint8)
    return Look(LumaFrame(n, grey, picture or (lambda: Picture(grey, grey, grey))), ((0.0, 0.0, 1.0, 1.0),), 1)


def within(seconds: float, true: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


def test_what_the_model_says_comes_back(tmp_path: Path) -> None:
    detector = Detector(model_file(tmp_path), LAYOUT, patient=True)
    for n in range(5):
        assert detector.offer(look(n=n))
    detector.settle()
    seen = detector.seen()
    assert [each.look.frame.time_ns for each in seen] == list(range(5)), "a patient detector misses nothing"
    (person,) = seen[0].sightings
    # The picture is 64 × 32 and moves all over: the square around it is 64 wide and 32 high, shown as it is.
    assert (person.label, person.confidence) == ("person", 0.75)
    assert person.area == pytest.approx((24 / 64, 12 / 32, 56 / 64, 28 / 32), abs=1e-4)
    assert detector.state is DetectorState.ON
    assert detector.seen() == []
    detector.close()


def test_under_nice_it_works_too(tmp_path: Path) -> None:
    """A plain user may not take niceness back: the thread would end, and whoever is patient would wait for ever."""
    made: list[Detector] = []

    def nice() -> None:  # a thread inherits it
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        made.append(Detector(model_file(tmp_path), LAYOUT, patient=True))

    starter = threading.Thread(target=nice)
    starter.start()
    starter.join()
    assert within(20, lambda: made[0].state is DetectorState.ON)
    (thread,) = (each for each in threading.enumerate() if each.name == "detector")
    assert os.getpriority(os.PRIO_PROCESS, thread.native_id or 0) == 10
    made[0].close()


def test_a_slow_look_is_waited_for_by_nobody(tmp_path: Path) -> None:
    detector = Detector(model_file(tmp_path), LAYOUT)
    entered, go_on = threading.Event(), threading.Event()
    grey = np.full((32, 64), 128, np.uint8)

    def slow() -> Picture:
        entered.set()
        go_on.wait(20)
        return Picture(grey, grey, grey)

    assert detector.offer(look(slow, 0))
    assert entered.wait(20)
    taken = [detector.offer(look(n=n)) for n in range(1, 100)]
    assert taken == [True] + [False] * 98, "one may wait, the rest is dropped"
    detector.settle()  # nor does the end of a clip wait
    go_on.set()
    seen: list[int] = []
    assert within(20, lambda: bool(seen.extend(s.look.frame.time_ns for s in detector.seen()) or len(seen) == 2))
    assert seen == [0, 1]
    detector.close()


@pytest.mark.parametrize("patient", [False, True])
def test_a_file_that_is_no_model_leaves_recording_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, patient: bool
) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(b"not a model")
    detector = Detector(path, LAYOUT, patient=patient)
    with caplog.at_level(logging.WARNING):
        assert within(20, lambda: detector.state is DetectorState.FAILED)
        assert within(5, lambda: bool(caplog.records)), "said by the detector's own thread, just behind"
    assert [r.message for r in caplog.records if "no labels" in r.message and "fetch it again" in r.message]
    assert not detector.offer(look())
    detector.settle()
    detector.close()


@pytest.mark.parametrize("images", [(1, 3, 64, 64), (1, 32, 64, 3), (3, 32, 64)])
def test_a_model_for_other_pictures_is_refused(tmp_path: Path, images: tuple[int, ...]) -> None:
    with pytest.raises(Corrupt, match="layout"):
        Model(model_file(tmp_path, images=images), LAYOUT)


def test_numbers_of_another_shape_end_the_detector_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    detector = Detector(model_file(tmp_path, (1, 41, 8)), LAYOUT, patient=True)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            detector.offer(look())
        detector.settle()
    assert detector.state is DetectorState.FAILED
    assert len([r for r in caplog.records if "no labels" in r.message]) == 1
    detector.close()


def test_the_thread_gives_way_to_recording(tmp_path: Path) -> None:
    detector = Detector(model_file(tmp_path), LAYOUT, patient=True)
    found: list[int] = []
    grey = np.full((32, 64), 128, np.uint8)

    def picture() -> Picture:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return Picture(grey, grey, grey)

    detector.offer(look(picture))
    detector.settle()
    detector.close()
    assert found == [os.getpriority(os.PRIO_PROCESS, 0) + 5] or found == [5]


_WITHOUT = """
import sys, time, logging
from pathlib import Path
logging.basicConfig(format="%(message)s")
sys.modules["onnxruntime"] = None
from agent.adapters.detector import Detector
from agent.core.detection import Layout
detector = Detector(Path(sys.argv[1]), Layout(64, 32, 3, {}))
detector.close()
print(detector.state.value)
"""


def test_without_the_runtime_it_says_how_to_get_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT, model_file(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "failed"
    assert "'sudo scripts/install' adds it" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_runtime_is_not_loaded_without_a_detector() -> None:
    code = "import sys, agent.daemon, agent.cli.recording; print('onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
