"""The directory of requesters: its vectors, what it makes of a doorbell, and the tool of who keeps one."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.directory_source import fetch_directory
from agent.cli.directory import directory as command
from agent.cli.output import Options
from agent.core import statements
from agent.core.directory import Directory, accept_directory, read_directory, sign_directory
from agent.core.encoding import from_b64u
from agent.core.errors import BadInput, DoorwardError, Refused, Unavailable
from agent.core.statements import Kind, raw_public
from agent.disclosure.trusted import Trusted
from tests.household import NOW, SECOND, Household

VECTORS = Path(__file__).parents[1] / "vectors"
FILES = sorted((VECTORS / "directory").glob("*.json"))
DAY = 86_400 * SECOND


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_each_vector_has_the_outcome_it_names(file: Path) -> None:
    vector = json.loads(file.read_text())
    token, key = vector["statement"].encode(), from_b64u(vector["key"], 32)
    current = vector["current"].encode() if vector["current"] else None
    if vector["outcome"] == "accepted":
        listing = accept_directory(current, token, key)
        assert len(listing.requesters) == len(listing.said.requesters)
        return
    with pytest.raises(Refused) as refused:
        accept_directory(current, token, key)
    assert refused.value.reason == vector["outcome"], str(refused.value)


def test_the_vectors_cover_the_page() -> None:
    page = (VECTORS.parents[1] / "docs" / "spec" / "identity.md").read_text().split("## Directory")[1]
    rows = re.findall(r"^\| (`[^|]*) \|", page.split("| refusal |")[1], re.M)
    named = {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)}
    # What is over half a megabyte is not kept as a file: the next test makes it.
    assert named - {"too-large"} == {json.loads(f.read_text())["outcome"] for f in FILES} - {"accepted"}


def test_a_directory_over_its_limit_is_refused_before_anything_else() -> None:
    with pytest.raises(Refused) as refused:
        read_directory(b"x" * (Kind.DIRECTORY.limit + 1), bytes(range(32)))
    assert refused.value.reason == "too-large"


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        read_directory(data, bytes(range(32)))


class Register:
    """A directory's keeper, and a household that pinned it."""

    def __init__(self, root: Path) -> None:
        self.home = Household.at(root)
        self.key = Ed25519PrivateKey.generate()
        self.now = NOW

    def version(self, number: int, *, empty: bool = False, life_ns: int = 30 * DAY) -> bytes:
        listed = [] if empty else [self.home.requester_statement]
        return sign_directory("County", number, listed, self.key, now_ns=self.now, life_ns=life_ns)

    def trusted(self, *pinned: bytes) -> Trusted:
        """As after a start of the doorbell."""
        return Trusted(self.home.ledger, pinned, raw_public(self.key), lambda: self.now)


@pytest.fixture
def register(tmp_path: Path) -> Register:
    return Register(tmp_path)


def test_who_is_listed_may_ask_until_the_directory_expires(register: Register) -> None:
    trusted, kid = register.trusted(), register.home.requester.kid
    assert trusted.where(kid) is None
    assert trusted.offer(register.version(1))
    assert trusted.where(kid) == "directory"
    register.now += 30 * DAY
    assert trusted.where(kid) is None
    info = trusted.info()
    assert info is not None
    assert info.expired
    pinned = register.trusted(register.home.requester_statement)
    assert pinned.where(kid) == "pinned"


def test_an_old_directory_cannot_be_put_back_not_even_after_a_restart(register: Register) -> None:
    old = register.version(1)
    assert register.trusted().offer(old)
    assert register.trusted().offer(register.version(2, empty=True))
    again = register.trusted()
    assert again.where(register.home.requester.kid) is None
    with pytest.raises(Refused, match="version 2 has been seen") as refused:
        again.offer(old)
    assert refused.value.reason == "stale-directory"
    notes = [e.details for e in register.home.ledger.entries() if e.what == "directory-changed"]
    assert len(notes) == 2


@pytest.mark.parametrize("number", [2**53, 2**63, 2**64 - 1])
def test_a_version_no_phone_and_no_database_can_hold_is_refused(register: Register, number: int) -> None:
    token = register.version(1)
    said = msgspec.structs.replace(statements.unverified(Kind.DIRECTORY, token, Directory), version=number)
    with pytest.raises(Refused):
        register.trusted().offer(statements.sign(Kind.DIRECTORY, said, register.key))
    assert register.trusted().offer(register.version(2**53 - 1))


def test_another_key_pinned_is_another_directory(register: Register) -> None:
    register.trusted().offer(register.version(5))
    register.key = Ed25519PrivateKey.generate()
    fresh = register.trusted()
    assert fresh.info() is None
    assert fresh.offer(register.version(1))


async def test_a_bad_directory_changes_nothing_and_a_newer_one_is_taken_up(register: Register) -> None:
    trusted = register.trusted()
    coming: list[bytes | Unavailable] = [Unavailable("away"), b"junk", register.version(1)]
    changes: list[int] = []

    async def fetch() -> bytes:
        found = coming.pop(0)
        if isinstance(found, Unavailable):
            raise found
        return found

    for left in (2, 1, 0):
        task = asyncio.create_task(trusted.keep_up(fetch, lambda: changes.append(1)))
        await asyncio.sleep(0.05)
        task.cancel()
        assert len(coming) == left
        assert (trusted.info() is not None) == (left == 0)
    assert changes == [1]


async def test_it_is_fetched_from_a_file_or_an_address(tmp_path: Path, register: Register) -> None:
    token = register.version(1)
    file = tmp_path / "directory"
    file.write_bytes(token + b"\n")
    assert await fetch_directory(str(file)) == token

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * (Kind.DIRECTORY.limit * 2) if request.path == "/big" else token)

    app = web.Application()
    app.router.add_get("/{name:good|big}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        assert await fetch_directory(f"{base}/good") == token
        assert Kind.DIRECTORY.limit < len(await fetch_directory(f"{base}/big")) < Kind.DIRECTORY.limit + 200_000
        for missing in (f"{base}/none", "http://127.0.0.1:1/x", str(tmp_path / "none")):
            with pytest.raises(Unavailable):
                await fetch_directory(missing)
    finally:
        await runner.cleanup()


def run(*args: object) -> dict[str, object]:
    options = Options(None, Path("/nonexistent"), json=True)
    done = CliRunner().invoke(command, [str(a) for a in args], obj=options, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert isinstance(found, dict)
    return found


def test_the_keepers_commands_make_what_a_doorbell_takes(tmp_path: Path) -> None:
    home = Household.at(tmp_path / "home")
    statement, file, out = tmp_path / "police.statement", tmp_path / "county.key", tmp_path / "county.directory"
    statement.write_bytes(home.requester_statement)
    key = str(run("init", "--name", "County", "--identity", file)["key"])
    assert file.stat().st_mode & 0o077 == 0
    trusted = Trusted(home.ledger, [], from_b64u(key, 32), lambda: NOW)
    for version in (1, 2):
        said = run("sign", "--identity", file, "-o", out, statement)
        assert said["version"] == version
        assert trusted.offer(out.read_bytes())
    assert run("show", out, "--key", key)["name"] == "County"
    assert trusted.where(home.requester.kid) == "directory"


def test_the_keepers_mistakes_are_named(tmp_path: Path) -> None:
    file, out = tmp_path / "county.key", tmp_path / "county.directory"
    run("init", "--name", "County", "--identity", file)
    bad = tmp_path / "bad.statement"
    bad.write_text("not a statement")
    for args in (
        ["init", "--name", "Again", "--identity", file],
        ["sign", "--identity", file, "-o", out, bad],
        ["sign", "--identity", file, "-o", out, tmp_path / "missing"],
        ["sign", "--identity", bad, "-o", out],
        ["show", out, "--key", "short"],
    ):
        with pytest.raises(DoorwardError) as error:
            run(*args)
        assert isinstance(error.value, BadInput)
        assert "\n" not in str(error.value)
    assert not out.exists()
