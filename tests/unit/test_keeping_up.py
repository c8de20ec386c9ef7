"""Measuring what recording costs: each kind of camera's own stages, by the real parts, and nothing left behind."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from agent.adapters.camera_device import encodes_in_hardware
from agent.adapters.sample_film import Planes, draw_film, sized, take_sample
from agent.adapters.stopwatch import Patience, Stopwatch
from agent.config import Config, parse_config
from agent.core.errors import BadInput, Unavailable
from agent.core.load import Camera, Lane, Step
from agent.keeping_up import Measured, measure
from agent.setup import open_state
from agent.store.state import StateDirectory, WriterLock

QUICK = Patience(0.02, 2.0)
SMALL = "width = 320\nheight = 240\nfps = 15\nbitrate_kbps = 500\n"
MASK = "masks = [{ corners = [[0.0, 0.0], [0.5, 0.0], [0.5, 0.5]] }]\n"
NO_MODEL = '[detector]\nmodel = ""\n'


def square(number: int) -> Planes:
    """Something bright crosses a noisy picture of 320×240."""
    picture = np.full((360, 320), 128, np.uint8)
    picture[:240] = np.random.default_rng(number).integers(60, 70, (240, 320), np.uint8)
    picture[100:160, 4 * number : 4 * number + 50] = 220
    return picture


def settings(camera: str, rest: str = NO_MODEL) -> Config:
    return parse_config(Path("/doorward.toml"), f"[camera]\n{SMALL}{camera}\n{rest}")


def measured(config: Config, state: Path) -> Measured:
    return measure(config, state, lambda: square, lambda what, share: None, QUICK)


def steps(found: Measured) -> list[Step]:
    return [stage.step for stage in found.stages]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writing more fails, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def somebody_else() -> Iterator[None]:
    """A user to whom no doorbell belongs."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_a_network_camera_is_read_and_recorded(tmp_path: Path) -> None:
    found = measured(settings('url = "rtsp://camera/1"'), tmp_path)
    assert steps(found) == [Step.READING, Step.MOTION, Step.CUTTING, Step.WRITING]
    assert [stage.lane for stage in found.stages] == [Lane.CAMERA, *[Lane.RECORDER] * 3]
    assert all(0 < stage.core < 5 and 0 < stage.time < 5 for stage in found.stages)
    assert found.stages[-1].longest_s == max(found.writes.seconds)
    assert found.video.camera is Camera.NETWORK
    assert found.writes.folder == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_masks_make_a_network_cameras_video_dear(tmp_path: Path) -> None:
    plain, masked = (measured(settings('url = "rtsp://camera/1"' + more), tmp_path) for more in ("", "\n" + MASK))
    assert steps(masked)[0] is Step.ENCODING
    assert masked.stages[0].core > 2 * plain.stages[0].core


@pytest.mark.parametrize("masks", ["", MASK])
def test_a_usb_cameras_pictures_are_encoded(tmp_path: Path, masks: str) -> None:
    found = measured(settings(f'url = "usb"\n{masks}'), tmp_path)
    assert steps(found) == [Step.ENCODING, Step.MOTION, Step.CUTTING, Step.WRITING]
    assert any("JPEG" in note for note in found.notes)


def test_the_pis_own_camera_needs_no_decoding(tmp_path: Path) -> None:
    found = measured(settings(f'url = "pi"\n{MASK}'), tmp_path)
    encoded = [] if encodes_in_hardware() else [Step.ENCODING]
    assert steps(found) == [Step.MASKING, *encoded, Step.MOTION, Step.CUTTING, Step.WRITING]
    assert any("hardware" in note for note in found.notes) == encodes_in_hardware()


def test_a_machine_never_set_up_is_measured_and_stays_so(tmp_path: Path) -> None:
    found = measured(Config(), tmp_path / "never" / "made")
    assert found.video.camera is Camera.PI
    assert any("name no camera" in note for note in found.notes)
    assert any("'doorward models fetch'" in note for note in found.notes)
    assert (found.video.width, found.video.height, found.video.fps) == (1920, 1080, 15)
    assert list(tmp_path.iterdir()) == []


def test_a_film_is_measured_as_it_is_and_read_by_the_recorder(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(draw_film(square, 640, 480, 10, 800, lambda share: None))
    config = parse_config(tmp_path / "doorward.toml", f'[camera]\nreplay = ["film.mp4"]\n{NO_MODEL}')
    found = measure(config, tmp_path / "state", pytest.fail, lambda what, share: None, QUICK)
    assert (found.video.camera, found.video.width, found.video.height, found.video.fps) == (Camera.FILES, 640, 480, 10)
    assert 100 < found.video.kbps < 2000
    assert {stage.lane for stage in found.stages} == {Lane.RECORDER}


def test_a_detector_is_measured_where_its_model_is(tmp_path: Path, shared_dir: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "yolox_nano_sample.onnx").symlink_to(shared_dir / "data" / "models" / "yolox_nano.onnx")
    found = measured(settings('url = "rtsp://camera/1"', '[detector]\nmodel = "yolox-nano-sample"\n'), tmp_path)
    look = found.stages[-1]
    assert (look.step, look.lane) == (Step.LOOKING, Lane.DETECTOR)
    assert look.core > 0


def test_beside_a_doorbell_its_work_is_named(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state", create=True)
    open_state(state, 0, os.urandom, make_recovery=True).db.close()
    config = settings('url = "rtsp://camera/1"')
    before = sorted(path for path in state.root.rglob("*"))
    assert not any("meanwhile" in note for note in measured(config, state.root).notes)
    with WriterLock(state, "run"):
        found = measured(config, state.root)
    assert any(f"doorward run (process {os.getpid()}) works meanwhile" in note for note in found.notes)
    assert found.writes.folder == state.ring
    assert sorted(path for path in state.root.rglob("*") if path.name != "lock") == before


def test_a_doorbells_folder_that_is_not_mine_is_left_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    with somebody_else():
        found = measured(settings('url = "pi"', ""), state)
    assert found.writes.folder == Path("/var/tmp")
    assert any(f"{state} is not yours to write" in note for note in found.notes)
    assert any("the model is not yours to read" in note for note in found.notes)


def test_without_room_nothing_is_tried(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"MB are free on the disk of .*make room"):
        measured(settings("", f"{NO_MODEL}[ring]\nmin_free_mb = 1000000000\n"), tmp_path)


def test_a_disk_that_takes_nothing_is_said(tmp_path: Path) -> None:
    with files_of_at_most(20_000), pytest.raises(Unavailable, match=f"nothing can be written in {tmp_path}: "):
        measured(settings('url = "rtsp://camera/1"'), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["http://camera", "pi:x", "rtsp://"])
def test_an_address_that_is_none_is_said(tmp_path: Path, url: str) -> None:
    with pytest.raises(BadInput):
        measured(settings(f'url = "{url}"'), tmp_path)


def test_a_film_that_is_none_or_too_short_is_said(tmp_path: Path) -> None:
    def config(name: str) -> Config:
        return parse_config(tmp_path / "doorward.toml", f'[camera]\nreplay = ["{name}"]\n{NO_MODEL}')

    (tmp_path / "text.mp4").write_text("no film")
    for name, said in (("away.mp4", "There is no file"), ("text.mp4", "is not a film")):
        with pytest.raises(BadInput, match=said):
            measured(config(name), tmp_path / "state")


def test_telling_is_not_in_the_figures() -> None:
    def told(share: float) -> None:
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass

    begun = time.process_time()
    watch = Stopwatch(told, Patience(0.3, 1.0))
    with watch:
        while not watch.enough(1, 1):
            sum(range(1000))
    assert watch.wall_s >= 0.3
    assert time.process_time() - begun - watch.cpu_s >= 0.19


def test_a_stopwatch_ends_late_work_and_waits_for_whole_work() -> None:
    watch = Stopwatch(lambda share: None, Patience(0.0, 0.05))
    assert not watch.enough(0, 2)
    assert not watch.enough(1, 2)
    assert watch.enough(2, 2)
    with watch:
        time.sleep(0.06)
    assert watch.enough(1, 2)
    assert not watch.enough(0, 2), "nothing can be said of nothing"


@pytest.mark.parametrize("size", [(320, 240), (640, 480), (1920, 1080), (322, 246), (480, 640)])
def test_pictures_keep_brightness_and_colour_in_any_size(size: tuple[int, int]) -> None:
    picture = np.concatenate([np.full((240, 320), 50), np.full((60, 320), 90), np.full((60, 320), 170)]).astype(
        np.uint8
    )
    width, height = size
    found = sized(picture, width, height)
    assert found.shape == (height * 3 // 2, width)
    blue, red = found[height:].reshape(2, -1)
    assert (set(found[:height].ravel()), set(blue), set(red)) == ({50}, {90}, {170})


def test_the_film_has_the_bit_rate_that_was_asked_for() -> None:
    sample = take_sample(draw_film(square, 320, 240, 15, 500, lambda share: None))
    assert 350 < sample.kbps < 700
    assert sample.seconds == pytest.approx(4.0)
    assert [packet.key for packet in sample.packets].count(True) == 4
    assert sample.luma_period_s == pytest.approx(0.1, rel=0.1)
