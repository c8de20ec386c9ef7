"""A configuration error names file, line and what was meant."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import FieldInfo

from agent.config import Config, read_config
from agent.core.errors import BadInput, Unavailable

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
        (
            "\n[motion]\nsensitivity = 11\n",
            r"doorward.toml:3: motion.sensitivity has to be a whole number of at most 10",
        ),
        ("[motion]\nsensitivity = 'high'\n", r"doorward.toml:2: motion.sensitivity has to be a whole number$"),
        (
            "[camera]\nmasks = [{ corners = [[0, 0], [1, 1]] }]\n",
            r"doorward.toml:2: camera.masks: 'corners' has to be a list .* of at least 3 entries",
        ),
        (
            "[camera]\nmasks = [{ corners = [[0, 0], [1, 0], [1, 2]] }]\n",
            r"doorward.toml:2: camera.masks: an entry of 'corners' has to be a number of at most 1$",
        ),
        ("[camera]\n\n[[camera.masks]]\ncorner = []\n", r"doorward.toml:4: there is no setting 'corner'"),
        ("[broker]\nupload_kbit_s = 99\n", r"doorward.toml:2: broker.upload_kbit_s is at least 100, or 0"),
        ("[camera]\nurl = 'rtsp://a/b'\nrotate = 180\n", r"doorward.toml:3: camera.rotate is for a Pi's camera or"),
        ("[camera]\nreplay = ['a.mp4']\nrotate = 180\n", r"doorward.toml:3: .*films stay as they are"),
        ("[camera]\nrotate = 90\n", r"doorward.toml:2: camera.rotate cannot be 90; write 0 or 180$"),
        ("[camera]\nwidth = 641\n", r"doorward.toml:2: camera.width has to be a whole number divisible by 2"),
        ("[camera]\nmasks = [{}]\n", r"doorward.toml:2: camera.masks: an entry lacks 'corners'"),
        (
            "[requesters]\ndirectory_key = 'x'\n",
            r"directory_key has to be the key that 'doorward directory init' prints, 43",
        ),
        (
            "[home_assistant]\ndiscovery_prefix = 'a/#'\n",
            r"prefix has to be a text of letters, digits, - and _, with /",
        ),
        ("[notify]\non = ['persn']\n", r"notify.on: an entry cannot be 'persn'; write .*\"animal\" or \"motion\"$"),
        ("[doorbell]\nname = ''\n", r"doorbell.name has to be a text in \"quotes\" of at least 1 character$"),
        (
            "[ring]\nbudget_mb = 999_999_999_999\n",
            r"doorward.toml:2: ring.budget_mb has to be a whole number of at most",
        ),
        ("ring = 3\n", r"doorward.toml:1: ring has to be \[ring\] on a line of its own, its settings below$"),
        ("[camera]\nurl = 'usb'\nurl = 'pi'\n", r"doorward.toml:3: this stands there twice; take one of them out$"),
        ("[camera]\nfps = 9\n[camera]\n", r"doorward.toml:3: this stands there twice; take one of them out$"),
        ("[clock]\ntrusted = 'yes'\n", r"doorward.toml:2: clock.trusted has to be true or false$"),
        ("[camera]\nurl = rtsp://host\n", r"doorward.toml:2: .*lack its \"quotes\""),
        ("[http]\nport = 8443\n", r"doorward.toml:2: http.port and http.https_port are the same"),
        ("[camera]\nURL = 'pi'\n", r"doorward.toml:2: .*'URL'; did you mean 'url'\?$"),
        ("url = 'pi'\n", r"doorward.toml:1: .*'url' up here; it stands below \[camera\] or \[broker\] or \[home_"),
        ("[motion]\nzones = [{ corner = [] }]\n", r"doorward.toml:2: .*'corner'; did you mean 'corners'\?$"),
        ("[motion]\nzones = [\n { corner = [] }]\n", r"doorward.toml:3: .*'corner'; did you mean 'corners'\?$"),
        ("[motion]\nzones = [{ corners = [[0, 0]] }]\n", r"toml:2: motion.zones: 'corners' .* at least 3 entries$"),
        ("[home_assistant]\nupload_kbit_s = 500\n", r"doorward.toml:2: there is no setting 'upload_kbit_s'"),
        ("[doorbell]\nlatitude = 48,2\n", r"doorward.toml:2: a number has a point, not a comma: 48\.2$"),
        ("[ring]\ndays = 08\n", r"doorward.toml:2: a number begins with no 0$"),
        ("[audio]\nrecord = yes # please\n", r"doorward.toml:2: this is written true or false$"),
        ("[audio]\nrecord = True\n", r"doorward.toml:2: this is written true or false$"),
        ("[doorbell]\nname = “Door”\n", r"doorward.toml:2: a text stands in straight \"quotes\"$"),
        ("[camera]\nurl: 'pi'\n", r"doorward.toml:2: a name and its value have = between them$"),
        ("[camera]\nurl = 'pi' fps = 3\n", r"doorward.toml:2: each setting has a line of its own$"),
        ("[motion\n", r"doorward.toml:1: .*or a bracket its other half"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        read_config(write(tmp_path, text))


def test_a_file_of_an_editor_that_marks_utf_8_is_read(tmp_path: Path) -> None:
    (tmp_path / "doorward.toml").write_bytes(b'\xef\xbb\xbf[doorbell]\r\nname = "T\xc3\xbcr"\r\n')
    assert read_config(tmp_path / "doorward.toml").doorbell.name == "Tür"


def test_a_file_in_an_old_encoding_is_told_where(tmp_path: Path) -> None:
    (tmp_path / "doorward.toml").write_bytes(b'[doorbell]\nname = "T\xfcr"\n')
    with pytest.raises(BadInput, match=r"doorward\.toml:2: this is not text in UTF-8; save the file as UTF-8"):
        read_config(tmp_path / "doorward.toml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read: No such file or directory; check"):
        read_config(tmp_path / "none.toml")


def test_settings_of_another_user_ask_for_sudo(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    path.chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(Unavailable, match="are not yours to read; put 'sudo' before the command"):
            read_config(path)
    finally:
        os.seteuid(os.getuid())


def test_a_file_that_is_no_text_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "photo.toml").write_bytes(b"\x89PNG")
    with pytest.raises(BadInput, match=r"photo\.toml:1: this is not text"):
        read_config(tmp_path / "photo.toml")


@pytest.mark.parametrize("section", msgspec.structs.fields(Config), ids=lambda section: section.name)
def test_every_setting_with_a_wrong_value_is_named_in_plain_words(tmp_path: Path, section: FieldInfo) -> None:
    wrong = ["'x'", "-5", "1e99", "nan", "true", "[1]", "['x']", "[[]]", "{}", "[{}]", "1979-05-27"]
    for field in msgspec.structs.fields(section.type):
        told = []
        for value in wrong:
            try:
                read_config(write(tmp_path, f"[{section.name}]\n{field.encode_name} = {value}\n"))
            except BadInput as e:
                told.append(str(e))
        assert len(told) > len(wrong) / 2
        for text in told:
            assert f"doorward.toml:2: {section.name}.{field.name}" in text
            assert not re.search(r"Expected|`|\b(str|int|bool|float|array|object)\b", text), text
