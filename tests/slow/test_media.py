"""ffmpeg judges our films: every piece of evaluation footage, and the doorstep rendered for real."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from agent.adapters.luma import luma_plane, shrink
from agent.adapters.replay import ReplaySource
from agent.core.fmp4 import Run
from agent.core.frame import EncodedPacket, LumaFrame, VideoFormat
from agent.core.plain_mp4 import remux_plain
from agent.demo.scene import FPS, SECONDS, TRUTH, VERSION, cached_scene
from tests.films import SECOND, cut, demuxed, film_bytes
from tests.slow.conftest import needed, packet_hashes, picture_hashes

pytestmark = pytest.mark.slow

H264 = [
    "footage/car-detection.mp4",
    "footage/composite-a.mp4",
    "footage/nest-atv2.mp4",
    "footage/nest-bicycle2.mp4",
    "footage/one-by-one-person-detection.mp4",
    "footage/psu-getin.mp4",
    "footage/traffic_camera_vfr.mp4",
    "footage/wavingtrees.mp4",
    "cdnet/highway.mp4",
]


def runs_of(path: Path) -> tuple[VideoFormat, list[Run]]:
    items = [item for item in ReplaySource([path]) if not isinstance(item, LumaFrame)]  # many, and not looked at here
    formats = [item for item in items if isinstance(item, VideoFormat)]
    assert len(formats) == 1
    return formats[0], cut([item for item in items if isinstance(item, EncodedPacket)])


def times_of(path: Path) -> list[float]:
    """When each picture is shown, seconds from the first, as ffprobe has it."""
    command = [needed("ffprobe"), "-v", "error", "-select_streams", "v:0", "-show_entries", "packet=pts_time"]
    done = subprocess.run([*command, "-of", "csv=p=0", str(path)], capture_output=True, text=True, check=True)
    times = sorted(float(line.rstrip(",")) for line in done.stdout.split())
    return [time - times[0] for time in times]


@pytest.mark.parametrize("name", H264)
def test_evaluation_footage_passes_bit_for_bit(shared_dir: Path, tmp_path: Path, name: str) -> None:
    source = shared_dir / "data" / name
    init, fragments = film_bytes(*runs_of(source))
    fragmented, plain = tmp_path / "fragmented.mp4", tmp_path / "plain.mp4"
    fragmented.write_bytes(init + b"".join(fragments))
    plain.write_bytes(b"".join(remux_plain(init, fragments)))
    packets, pictures, times = packet_hashes(source), picture_hashes(source), times_of(source)
    for film in (fragmented, plain):
        assert packet_hashes(film) == packets
        assert picture_hashes(film) == pictures
        assert times_of(film) == pytest.approx(times, abs=2e-6)


@pytest.mark.parametrize("name", H264)
def test_any_run_from_a_key_fragment_plays(shared_dir: Path, tmp_path: Path, name: str) -> None:
    source = shared_dir / "data" / name
    fmt, runs = runs_of(source)
    pictures = picture_hashes(source)
    keys = [index for index, run in enumerate(runs) if run.key]
    shown = [sorted(p.pts_ns for p in run.packets) for run in runs]
    everything = sorted(time for times in shown for time in times)
    for first in {keys[0], keys[len(keys) // 2], keys[-1]}:
        for last in {first, min(first + 3, len(runs) - 1), len(runs) - 1}:
            init, fragments = film_bytes(fmt, runs[first : last + 1])
            film = tmp_path / "film.mp4"
            film.write_bytes(init + b"".join(fragments))
            begin = everything.index(runs[first].origin.pts_ns)
            count = sum(len(times) for times in shown[first : last + 1])
            # A cut in the middle of a group of pictures leaves no hole before it: what is shown is a stretch.
            assert picture_hashes(film) == pictures[begin : begin + count]


@pytest.mark.parametrize("name", H264)
def test_luma_is_what_ffmpeg_decodes(shared_dir: Path, name: str) -> None:
    """Exactly for small films; large ones are decoded without smoothing block edges, and drift a little from it."""
    source = shared_dir / "data" / name
    lumas = {item.time_ns: item.pixels for item in ReplaySource([source]) if isinstance(item, LumaFrame)}
    gaps = np.diff(sorted(lumas))
    assert gaps.min() >= 0.05 * SECOND
    seen = 0
    with av.open(str(source)) as container:
        track = container.streams.video[0]
        for frame in container.decode(track):
            expected = lumas.get(round(frame.pts * track.time_base * SECOND))
            if expected is not None:
                seen += 1
                off = np.abs(shrink(luma_plane(frame), 320).astype(np.int16) - expected)
                assert off.mean() <= (2 if track.width >= 4 * 320 else 0)
    assert seen == len(lumas)


def test_a_film_of_another_codec_is_encoded_well(shared_dir: Path, tmp_path: Path) -> None:
    source = shared_dir / "data" / "footage" / "vtest.avi"
    fmt, runs = runs_of(source)
    assert all(run.key and len(run.packets) == 10 for run in runs[:-1])
    init, fragments = film_bytes(fmt, runs)
    film = tmp_path / "film.mp4"
    film.write_bytes(b"".join(remux_plain(init, fragments)))
    assert times_of(film) == pytest.approx(times_of(source), abs=1e-6)
    command = [needed("ffmpeg"), "-v", "info", "-i", film, "-i", source, "-lavfi", "psnr", "-f", "null", "-"]
    report = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stderr
    assert float(report.rsplit("average:", 1)[1].split()[0]) > 38
    assert film.stat().st_size < 3 * source.stat().st_size


@pytest.fixture(scope="module")
def doorstep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doorstep")
    path = cached_scene(folder)
    assert [entry.name for entry in folder.iterdir()] == [f"doorstep-v{VERSION}.mp4"]
    return path


def test_the_doorstep_is_the_film_it_should_be(doorstep: Path) -> None:
    command = [needed("ffprobe"), "-v", "error", "-show_entries"]
    command += ["stream=codec_name,profile,width,height,has_b_frames,nb_frames,r_frame_rate,pix_fmt", "-of", "csv=p=0"]
    found = subprocess.run([*command, str(doorstep)], capture_output=True, text=True, check=True).stdout.strip()
    assert found == f"h264,Main,1280,720,0,yuv420p,{FPS}/1,{SECONDS * FPS}"
    packets = demuxed(doorstep)
    assert [index for index, packet in enumerate(packets) if packet.key] == list(range(0, SECONDS * FPS, FPS))
    assert doorstep.stat().st_size < 16 * 1024 * 1024
    assert cached_scene(doorstep.parent) == doorstep


def test_what_moves_on_the_doorstep_is_the_truth(doorstep: Path) -> None:
    """Beside the bush and the cloud, pictures change between visits by noise alone, and during them by more."""
    lumas = [item for item in ReplaySource([doorstep]) if isinstance(item, LumaFrame)]
    changed = []
    for before, after in zip(lumas, lumas[5:], strict=False):
        # Not the bush on the left.
        difference = np.abs(after.pixels[:, 90:].astype(int) - before.pixels[:, 90:])
        changed.append((before.time_ns / SECOND, after.time_ns / SECOND, int((difference > 12).sum())))
    for begin, end, pixels in changed:
        away = all(end < event.start_s - 0.1 or begin > event.end_s + 0.1 for event in TRUTH)
        cloud = begin < 37.5 and end > 35.5
        if away and not cloud:
            assert pixels == 0, f"something moves at {begin} s"
    for event in TRUTH:
        walking = [p for begin, end, p in changed if event.start_s + 1 < begin and end < event.start_s + 7]
        assert np.median(walking) > 60
