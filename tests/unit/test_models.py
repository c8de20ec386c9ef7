"""Models on disk: only whole and right ones, from the network or a file, and clear words where that fails."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.adapters.download import download
from agent.cli import models as models_command
from agent.cli.commands import doorward
from agent.config import Config
from agent.config import Detector as DetectorConfig
from agent.core.errors import BadInput, Corrupt, Unavailable
from agent.core.models import ModelEntry, read_manifest
from agent.detecting import detecting, known_models, named_model
from agent.store.models import ModelStore, identify

FILE = os.urandom(200_000)
ROOT = Path(__file__).parents[2]


def entry(url: str = "https://example.org/x", data: bytes = FILE) -> ModelEntry:
    made = known_models()[0]
    return replace(made, url=url, bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), file="x.onnx")


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    """A web server on this machine that answers every GET so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_address[1]}/model.onnx"
        made.shutdown()
        thread.join()


def sends(data: bytes, length: int | None = None) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(data) if length is None else length))
        request.end_headers()
        request.wfile.write(data)

    return answer


def left(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "models").iterdir())


def test_what_is_downloaded_is_kept_if_it_is_right(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    with server(sends(FILE)) as url:
        path = store.install(entry(url), download(url), url)
    assert path.read_bytes() == FILE
    assert store.checked(entry()) == path
    assert left(tmp_path) == ["x.onnx"]


@pytest.mark.parametrize(
    ("data", "length", "error", "says"),
    [
        (FILE[:-1] + bytes([FILE[-1] ^ 1]), None, Corrupt, "SHA-256"),
        (FILE + b"x", None, Corrupt, "more than"),
        (FILE[:1000], None, Corrupt, "ended after 1000 of"),
        (FILE[:1000], len(FILE), Corrupt, "ended after 1000 of"),
        (b"", None, Corrupt, "ended after 0 of"),
    ],
)
def test_what_is_wrong_is_not_kept_and_nothing_is_lost(
    tmp_path: Path, data: bytes, length: int | None, error: type[Exception], says: str
) -> None:
    store = ModelStore(tmp_path)
    store.install(entry(), [FILE], "before")
    with server(sends(data, length)) as url, pytest.raises(error, match=says):
        store.install(entry(url), download(url), url)
    assert store.checked(entry()).read_bytes() == FILE, "the one that was there before"
    assert left(tmp_path) == ["x.onnx"], "nothing half done beside it"


def test_endless_bytes_are_cut_off(tmp_path: Path) -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while True:
                request.wfile.write(bytes(65536))
        except OSError:
            pass  # the other side has had enough, as it should

    with server(endless) as url, pytest.raises(Corrupt, match="more than"):
        ModelStore(tmp_path).install(entry(url), download(url), url)
    assert left(tmp_path) == []


def test_a_server_that_refuses_and_none_at_all(tmp_path: Path) -> None:
    with server(lambda request: request.send_error(404, "Not Found")) as url:
        with pytest.raises(Unavailable, match=r"404 .*--from FILE"):
            list(download(url))
    with pytest.raises(Unavailable, match=r"cannot be reached .*--from FILE"):
        list(download(url))
    with pytest.raises(BadInput):
        list(download("file:///etc/passwd"))


def test_redirects_are_followed_as_releases_need(tmp_path: Path) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/model.onnx":
            request.send_response(302)
            request.send_header("Location", "/elsewhere")
            request.end_headers()
        else:
            sends(FILE)(request)

    with server(answer) as url:
        assert b"".join(download(url)) == FILE


def test_a_file_damaged_later_is_not_used(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    path = store.install(entry(), [FILE], "here")
    path.write_bytes(FILE[:100] + b"?" + FILE[101:])
    with pytest.raises(Corrupt, match="SHA-256"):
        store.checked(entry())


def test_every_listed_model_is_complete() -> None:
    for model in known_models():
        assert model.url.startswith("https://")
        assert model.layout.cells == 3549
        assert set(model.layout.labels.values()) == {"person", "vehicle", "animal"}
    assert named_model(Config().detector.model) in known_models()
    with pytest.raises(BadInput, match="yolox-nano"):
        named_model("yolo9000")


@pytest.mark.parametrize("change", ["yolox", "[416, 416]", "yolox_nano.onnx", "c789161e", "person = [0]"])
def test_an_incomplete_manifest_is_refused(change: str) -> None:
    text = (ROOT / "models" / "manifest.toml").read_text()
    broken = {
        "yolox": text.replace('layout = "yolox"', 'layout = "ssd"'),
        "[416, 416]": text.replace("[416, 416]", "[416, 400]"),
        "yolox_nano.onnx": text.replace('file = "yolox_nano.onnx"', 'file = "../yolox.onnx"'),
        "c789161e": text.replace("c789161e", ""),
        "person = [0]": text.replace("person = [0]", "person = [80]"),
    }[change]
    with pytest.raises(Corrupt):
        read_manifest(broken)


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and what was printed, as from a shell."""
    result = CliRunner().invoke(doorward, list(arguments), standalone_mode=True)
    return result.exit_code, result.output


def test_fetching_by_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_command, "known_models", lambda: [entry()])
    source = tmp_path / "stick.onnx"
    source.write_bytes(FILE)
    state = tmp_path / "state"
    code, out = run("--state", str(state), "--json", "models", "fetch", "--from", str(source))
    assert (code, json.loads(out[out.index("{") :])["used"]) == (0, True)
    assert (state / "models" / "x.onnx").read_bytes() == FILE
    code, out = run("--state", str(state), "--json", "models", "list")
    assert [row["here"] for row in json.loads(out)] == [True]
    source.write_bytes(b"something else")
    with pytest.raises(BadInput, match="none of the models"):
        identify([entry()], source)


def test_a_recorder_without_a_model_says_what_to_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"), detecting(Config(), tmp_path, patient=True) as found:
        assert found.state == "missing"
        assert found.sight is None
    assert "'doorward models fetch'" in caplog.text
    with detecting(Config(detector=DetectorConfig(model="")), tmp_path, patient=True) as found:
        assert found.state == "off"
