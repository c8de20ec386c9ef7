"""Sound and masks from a camera on the network: GStreamer's RTSP server with a film that flashes and beeps."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from agent.adapters.stream import StreamSource
from agent.core.fmp4_sound import render_sound, sound_init
from agent.core.frame import EncodedPacket, LumaFrame, SoundFormat, SoundPacket, SourceItem, VideoFormat
from agent.core.masks import Mask
from agent.core.plain_mp4 import FilmSound, remux_plain
from agent.core.sound import SoundShelf
from tests.clapper import apart, make_clapper
from tests.films import cut, film_bytes
from tests.slow.test_stream_real import Camera, cameras, gstreamer  # noqa: F401

pytestmark = pytest.mark.slow

# How a camera may send its sound: as the film's own AAC, or as telephones do.
PAYLOADS = {
    "aac": "rtpmp4gpay name=pay1 pt=97",
    "pcmu": "avdec_aac ! audioconvert ! audioresample ! audio/x-raw,rate=8000,channels=1 ! mulawenc "
    "! rtppcmupay name=pay1",
}
SECONDS = 12


def pipeline(film: Path, payload: str) -> str:
    return (
        f"filesrc location={film} ! qtdemux name=d d.video_0 ! queue ! h264parse ! rtph264pay name=pay0 pt=96 "
        f"config-interval=-1 d.audio_0 ! queue ! aacparse ! {payload}"
    )


def watched(camera: Camera, seconds: int, **options: object) -> list[SourceItem]:
    """What comes in so many seconds of video."""
    items: list[SourceItem] = []
    first = None
    for item in StreamSource(camera.url, lambda: False, **options):  # type: ignore[arg-type]
        items.append(item)
        if isinstance(item, EncodedPacket):
            first = item.pts_ns if first is None else first
            if item.pts_ns - first > seconds * 10**9:
                break
    return items


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_cameras_sound_stays_with_its_pictures(tmp_path: Path, cameras: list[Camera], payload: str) -> None:  # noqa: F811
    film = make_clapper(tmp_path / "clapper.mp4", 20, b_frames=0)
    camera = Camera(pipeline(film, PAYLOADS[payload]))
    cameras.append(camera)
    camera.on()
    items = watched(camera, SECONDS, sound=True)
    fmt = next(item for item in items if isinstance(item, VideoFormat))
    heard = next(item for item in items if isinstance(item, SoundFormat))
    assert heard.rate_hz == (48_000 if payload == "aac" else 8_000)
    runs = cut([item for item in items if isinstance(item, EncodedPacket)])
    zero = runs[0].origin.pts_ns
    shelf = SoundShelf(heard)
    shelf.begin(zero)
    found = [run for item in items if isinstance(item, SoundPacket) for run in shelf.push(item)]
    found += list(itertools.chain.from_iterable(shelf.cut(run.start_ns) for run in runs))
    found += shelf.end(runs[-1].start_ns + runs[-1].duration_ns)
    sound = FilmSound(sound_init(heard), [render_sound(run, heard, zero, n) for n, run in enumerate(found, 1)])
    recorded = tmp_path / "recorded.mp4"
    recorded.write_bytes(b"".join(remux_plain(*film_bytes(fmt, runs), sound)))
    late = apart(recorded)
    assert len(late) >= 3
    assert max(map(abs, late)) < 0.08, "within what nobody notices (ITU-R BT.1359: 45 ms early to 125 ms late)"


def test_a_camera_is_not_asked_for_sound_nobody_wants(tmp_path: Path, cameras: list[Camera]) -> None:  # noqa: F811
    camera = Camera(pipeline(make_clapper(tmp_path / "clapper.mp4", 20, b_frames=0), PAYLOADS["aac"]))
    cameras.append(camera)
    camera.on()
    assert not any(isinstance(item, SoundFormat | SoundPacket) for item in watched(camera, 3))


def test_masks_are_burnt_into_a_cameras_pictures(tmp_path: Path, cameras: list[Camera]) -> None:  # noqa: F811
    camera = Camera(pipeline(make_clapper(tmp_path / "clapper.mp4", 20, b_frames=0), PAYLOADS["aac"]))
    cameras.append(camera)
    camera.on()
    mask = Mask(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
    items = watched(camera, 4, masks=(mask,), sound=True)
    lumas = [item.pixels for item in items if isinstance(item, LumaFrame)]
    assert len(lumas) > 20
    assert all(pixels[:, : pixels.shape[1] // 2 - 2].max() < 24 for pixels in lumas)
    assert np.mean([pixels[:, pixels.shape[1] // 2 + 4 :].mean() for pixels in lumas]) > 40
    assert any(isinstance(item, SoundPacket) for item in items)
