"""Where a file goes: whole or not at all, and a device or pipe of that name stays one."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from agent.core.errors import Unavailable
from agent.store.durable import write_file


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    """Like /dev/stdout, which root could otherwise put a file in the place of."""
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_file(pipe, b"film")
    reader.join(10)
    assert got == [b"film"]
    assert pipe.is_fifo()


def test_a_device_that_takes_nothing_is_named_and_stays_a_device(tmp_path: Path) -> None:
    link = tmp_path / "full"
    link.symlink_to("/dev/full")
    with pytest.raises(Unavailable, match="full could not be written: No space left on device; check the disk's space"):
        write_file(link, b"film")
    assert link.is_symlink()
    assert Path("/dev/full").is_char_device()


def test_a_folder_that_is_missing_is_what_to_make(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"x\.mp4 could not be written: No such file or directory; make its folder"):
        write_file(tmp_path / "none" / "x.mp4", b"film")
    write_file(tmp_path / "x.mp4", b"film")
    assert [place.name for place in tmp_path.iterdir()] == ["x.mp4"]
