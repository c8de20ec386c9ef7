"""A configuration error names file, line and what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import Config, read_config
from agent.core.errors import BadInput

ROOT = Path(__file__).parents[2]


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "doorward.toml"
    path.write_text(text)
    return path


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert read_config(write(tmp_path, "")) == Config()


def test_the_example_holds_the_defaults_and_every_key() -> None:
    example = read_config(ROOT / "config" / "doorward.toml")
    assert example == Config()


def test_relative_paths_are_the_files(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, '[requesters]\npinned = ["police.jws"]\n'))
    assert config.requesters.pinned == [str(tmp_path / "police.jws")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[ring]\nbudget_mb = 100\nbudgt_mb = 5\n", r"doorward.toml:3: .*'budgt_mb'; did you mean 'budget_mb'"),
        ("[rnig]\nbudget_mb = 100\n", r"doorward.toml:1: .*'rnig'; did you mean 'ring'"),
        ("\n[motion]\nsensitivity = 11\n", r"doorward.toml:3: motion.sensitivity: .*<= 10"),
        ("[motion]\nsensitivity = 'high'\n", r"doorward.toml:2: motion.sensitivity: Expected `int`"),
        ("[camera]\nmasks = [{ corners = [[0, 0], [1, 1]] }]\n", r"doorward.toml:2: camera.masks: .*length >= 3"),
        ("[camera]\nmasks = [{ corners = [[0, 0], [1, 0], [1, 2]] }]\n", r"doorward.toml:2: camera.masks: .*<= 1"),
        ("[camera]\n\n[[camera.masks]]\ncorner = []\n", r"doorward.toml:4: there is no setting 'corner'"),
        ("[broker]\nupload_kbit_s = 99\n", r"doorward.toml:2: broker.upload_kbit_s is at least 100, or 0"),
        ("[camera]\nurl = 'rtsp://a/b'\nrotate = 180\n", r"doorward.toml:3: camera.rotate is for a Pi's camera or"),
        ("[camera]\nreplay = ['a.mp4']\nrotate = 180\n", r"doorward.toml:3: .*films stay as they are"),
        ("[camera]\nrotate = 90\n", r"doorward.toml:2: camera.rotate: Invalid enum value 90"),
        ("[motion\n", r"doorward.toml: .*line 1"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        read_config(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_config(tmp_path / "none.toml")
