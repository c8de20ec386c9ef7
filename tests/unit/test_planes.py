"""The planes of a picture are where FFmpeg puts them, whatever the stride, and are the memory itself."""

from __future__ import annotations

import av
import numpy as np
import pytest

from agent.core.errors import BadInput
from agent.core.planes import Layout


def memory_of(frame: av.VideoFrame) -> tuple[np.ndarray, int]:
    """One buffer with the planes one behind the other, as a camera gives them, and the stride."""
    stride = frame.planes[0].line_size
    parts = []
    for number, plane in enumerate(frame.planes):
        rows = frame.height // 2 if number else frame.height
        wanted = stride // 2 if number and len(frame.planes) == 3 else stride
        lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:rows]
        parts.append(np.pad(lines, ((0, 0), (0, max(0, wanted - plane.line_size))))[:, :wanted].ravel())
    return np.concatenate(parts), stride


@pytest.mark.parametrize(("layout", "pixels"), [("YUV420", "yuv420p"), ("NV12", "nv12")])
@pytest.mark.parametrize("width", [320, 162])
def test_planes_are_where_the_colours_are(layout: str, pixels: str, width: int) -> None:
    picture = np.zeros((90, width, 3), np.uint8)
    picture[:, : width // 2] = (255, 0, 0)
    picture[:, width // 2 :] = (0, 0, 255)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)
    memory, stride = memory_of(frame)
    brightness, *colour = Layout(layout, width, 90, stride).planes(memory)
    red, blue = colour if layout == "YUV420" else (colour[0][:, ::2], colour[0][:, 1::2])
    # The first plane of colour is how blue, the second how red it is: little, then much; much, then little.
    assert brightness.shape == (90, width)
    assert red.shape == blue.shape == (45, width // 2)
    assert red[:, 2].max() < 110
    assert red[:, -3].min() > 200
    assert blue[:, 2].min() > 200
    assert blue[:, -3].max() < 130
    brightness[3, 5] = 1
    assert memory[3 * stride + 5] == 1


@pytest.mark.parametrize("size", [0, 20 * 10 * 3 // 2 - 1])
def test_too_little_memory_is_refused(size: int) -> None:
    for layout in ("YUV420", "NV12"):
        with pytest.raises(BadInput, match="too short"):
            Layout(layout, 20, 10, 20).planes(np.zeros(size, np.uint8))


@pytest.mark.parametrize(
    ("layout", "width", "height", "stride"),
    [("RGB888", 20, 10, 60), ("NV12", 21, 10, 32), ("NV12", 20, 11, 20), ("NV12", 20, 10, 18), ("NV12", 0, 10, 18)],
)
def test_what_cannot_be_is_refused(layout: str, width: int, height: int, stride: int) -> None:
    with pytest.raises(BadInput):
        Layout(layout, width, height, stride)
