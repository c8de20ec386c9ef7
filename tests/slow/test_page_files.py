"""What the page is made of: small, its types checked, nobody else's code, and no way to turn a text into code."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.adapters.page import COMMENTS, Page
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

WEB = ROOT / "agent" / "web"
FILES = sorted(path for path in WEB.rglob("*") if path.is_file())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
LIMIT_BYTES = 60_000


def _code(path: Path) -> str:
    """A script without its comments."""
    return re.sub(r"/\*.*?\*/|\s//[^\n]*", "", path.read_text(), flags=re.DOTALL)


def test_the_whole_page_is_small() -> None:
    page = Page(WEB)
    packed = gzip.compress(b"".join(page.asset(str(path.relative_to(WEB))).plain for path in FILES), 9)
    assert len(packed) <= LIMIT_BYTES, f"the page has {len(packed)} bytes, packed together"


def test_what_is_left_out_in_serving_is_comment_and_never_part_of_a_text() -> None:
    for path in FILES:
        if path.suffix not in (".js", ".css"):
            continue
        text = path.read_text()
        for found in COMMENTS.finditer(text):
            before = re.sub(r"\\\\.|//[^\n]*|/\*.*?\*/", "", text[: found.start()], flags=re.DOTALL)
            assert before.count("`") % 2 == 0, f"{path.name}: {found[0][:60]}"


def test_every_import_is_a_file_of_ours() -> None:
    for path in SCRIPTS:
        for name in re.findall(r'(?:\bfrom |\bimport[ (])"([^"\n]+)"', path.read_text()):
            assert name.startswith("."), f"{path.name} imports {name}"
            assert (path.parent / name).is_file(), f"{path.name} imports {name}, which is not there"


def test_nothing_is_fetched_from_elsewhere() -> None:
    for path in FILES:
        addresses = re.findall(r"https?://[^\s\"')]+", path.read_text())
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}, f"{path.name} names {addresses}"


def test_text_cannot_become_code() -> None:
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc|DOMParser|\.cookie\b"
    for path in SCRIPTS:
        assert re.search(sinks, _code(path)) is None, f"{path.name} uses a sink"
    html = (WEB / "index.html").read_text()
    assert re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", html) is None, "inline code or style"


def test_keys_stay_in_memory_or_in_handles() -> None:
    for path in SCRIPTS:
        text = path.read_text()
        assert re.search(r"localStorage|sessionStorage", text) is None, f"{path.name} stores text"
        assert "indexedDB" not in text or path.name == "keystore.js"


def test_the_types_hold() -> None:
    compiler = ROOT / "node_modules" / ".bin" / "tsc"
    if not compiler.exists() or shutil.which("node") is None:
        if os.environ.get("CI"):
            pytest.fail("the type checker is not installed (npm ci), but CI must have it")
        pytest.skip("the type checker is not installed: npm ci")
    done = subprocess.run([str(compiler), "--project", str(ROOT / "tsconfig.json")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_lock_names_no_download_address() -> None:
    assert "://" not in (ROOT / "package-lock.json").read_text()
