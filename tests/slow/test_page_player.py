"""Playing in the page: fragments in a media source, across holes, within limits; the plain file where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from agent.adapters.replay import ReplaySource
from agent.core.fmp4 import Run
from agent.core.fmp4_sound import render_sound, sound_init
from agent.core.frame import EncodedPacket, SoundFormat, SoundPacket, SourceItem, VideoFormat
from agent.core.plain_mp4 import FilmSound, remux_plain
from agent.core.sound import SoundRun, SoundShelf
from tests.clapper import make_clapper
from tests.films import FilmKind, cut, film_bytes, make_film
from tests.page_bench import Bench
from tests.page_home import chromium

pytestmark = pytest.mark.slow

KINDS = {
    "plain": FilmKind(size=(320, 240), pictures=150),
    "b-frames": FilmKind(size=(320, 240), pictures=150, b_frames=3, options=(("b-pyramid", "normal"),)),
    "long-gop": FilmKind(size=(320, 240), pictures=150, gop=75),
}

# A clip that is open already: the player asks it for places and plaintexts and for nothing else.
FILM = """
const film = {
  track: name => it[name] ?? [],
  record: async (track, index) => raw(it[track][index].data),
  records: async function* (track, first, last) {
    for (const place of it[track].slice(first, last + 1)) yield { place, data: raw(place.data) };
  },
};
const failures = [];
document.querySelector("video")?.remove();
const video = document.body.appendChild(document.createElement("video"));
video.muted = true;
const made = (first, last) => new player.Player(video, film, first, last, error => failures.push(String(error)));
const until = async (what, act) => {
  for (let n = 0; n < 400; n++) {
    if (failures.length) throw new Error(failures.join());
    if (act()) return;
    await new Promise(resolve => setTimeout(resolve, 25));
  }
  throw new Error(`waited in vain: ${what}, at ${video.currentTime}, ${video.readyState}`);
};
const ready = () => until("a picture", () => video.readyState >= 2 && !video.seeking);
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def bench(browser: Browser) -> Iterator[Bench]:
    with Bench(browser) as made:
        yield made


def runs_of(path: Path) -> tuple[VideoFormat, list[Run]]:
    items = list(ReplaySource([path]))
    fmt = next(item for item in items if isinstance(item, VideoFormat))
    return fmt, cut([item for item in items if isinstance(item, EncodedPacket)])


def film(path: Path, kind: FilmKind, *, without: frozenset[int] = frozenset()) -> dict[str, Any]:
    """Records of a film as the page has them after opening; runs named in `without` are missing."""
    fmt, runs = runs_of(make_film(path / "source.mp4", kind))
    init, fragments = film_bytes(fmt, runs)
    places = [{"track": "video", "index": 0, "flags": 2, "start_ns": 0, "duration_ns": 0, "data": init.hex()}]
    zero = runs[0].origin.pts_ns
    for n, (run, fragment) in enumerate(zip(runs, fragments, strict=True)):
        if n not in without:
            places.append({"track": "video", "index": len(places), "flags": int(run.key), "data": fragment.hex(),
                           "start_ns": run.start_ns - zero, "duration_ns": run.duration_ns})  # fmt: skip
    return {"video": places}


def heard_with(runs: list[Run], items: list[SourceItem]) -> tuple[bytes, list[bytes], list[SoundRun]]:
    """The sound of a film whose pictures are `runs`, as a clip would have it."""
    fmt = next(item for item in items if isinstance(item, SoundFormat))
    zero = runs[0].origin.pts_ns
    shelf = SoundShelf(fmt)
    shelf.begin(zero)
    found = [run for item in items if isinstance(item, SoundPacket) for run in shelf.push(item)]
    found += [run for each in runs for run in shelf.cut(each.start_ns)]
    found += shelf.end(runs[-1].start_ns + runs[-1].duration_ns)
    return sound_init(fmt), [render_sound(run, fmt, zero, n) for n, run in enumerate(found, 1)], found


def film_with_sound(path: Path) -> tuple[bytes, list[bytes], list[Run], tuple[bytes, list[bytes], list[SoundRun]]]:
    items = list(ReplaySource([make_clapper(path / "clapper.mp4", 8)], sound=True))
    fmt = next(item for item in items if isinstance(item, VideoFormat))
    runs = cut([item for item in items if isinstance(item, EncodedPacket)])
    return *film_bytes(fmt, runs), runs, heard_with(runs, items)


def test_a_film_with_sound_plays_seeks_and_is_heard(bench: Bench, tmp_path: Path) -> None:
    init, fragments, runs, (sound, heard, found) = film_with_sound(tmp_path)
    video = [{"track": "video", "index": 0, "flags": 2, "start_ns": 0, "duration_ns": 0, "data": init.hex()}]
    audio = [{"track": "audio", "index": 0, "flags": 2, "start_ns": 0, "duration_ns": 0, "data": sound.hex()}]
    zero = runs[0].origin.pts_ns
    for run, data in zip(runs, fragments, strict=True):
        video.append({"track": "video", "index": len(video), "flags": int(run.key), "data": data.hex(),
                      "start_ns": run.start_ns - zero, "duration_ns": run.duration_ns})  # fmt: skip
    for each, data in zip(found, heard, strict=True):
        audio.append({"track": "audio", "index": len(audio), "flags": 1, "data": data.hex(),
                      "start_ns": each.start_ns - zero, "duration_ns": each.duration_ns})  # fmt: skip
    seen = bench.run(
        FILM
        + """
        const playing = made(2, it.video.length - 1);
        await ready();
        const first = video.currentTime;
        playing.seek(5.2);
        await ready();
        await playing.play();
        await until("the end", () => video.paused);
        const decoded = video.webkitAudioDecodedByteCount;
        const source = video.src.slice(0, 5);
        const ends = playing.timeS;
        playing.close();
        return { first, decoded, ends, source };
        """,
        {"video": video, "audio": audio},
    )
    assert seen["first"] == pytest.approx(1, abs=0.1)
    assert seen["ends"] == pytest.approx(8, abs=0.2)
    assert seen["decoded"] > 1000, "sound was decoded"


@pytest.mark.parametrize("first", [0, 2])
def test_the_download_with_sound_is_the_same_file_as_the_requesters(bench: Bench, tmp_path: Path, first: int) -> None:
    init, fragments, runs, (sound, heard, found) = film_with_sound(tmp_path)
    begins = runs[first].start_ns
    for rest in (heard, [data for run, data in zip(found, heard, strict=True) if run.start_ns >= begins], heard[4:]):
        made = bench.run(
            "return hex(encoding.join(...plain_mp4.remux("
            "raw(it[0]), it[1].map(raw), { init: raw(it[2]), fragments: it[3].map(raw) })));",
            [init.hex(), [data.hex() for data in fragments[first:]], sound.hex(), [data.hex() for data in rest]],
        )
        assert bytes.fromhex(made) == b"".join(remux_plain(init, fragments[first:], FilmSound(sound, rest)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_film_plays_to_its_end_and_seeks(bench: Bench, tmp_path: Path, kind: str) -> None:
    seen = bench.run(
        FILM
        + """
        const playing = made(1, it.video.length - 1);
        await ready();
        const first = video.currentTime;
        playing.seek(5.2);
        await ready();
        const later = video.currentTime;
        playing.seek(1.1);
        await ready();
        await playing.play();
        await until("to move", () => video.currentTime > 1.6);
        playing.seek(5.3);
        await until("the end", () => video.paused);
        const end = video.currentTime;
        playing.close();
        return { first, later, end, width: video.videoWidth };
        """,
        film(tmp_path, KINDS[kind]),
    )
    assert seen["first"] < 0.1
    assert seen["later"] == pytest.approx(5.2, abs=0.05)
    assert seen["end"] == pytest.approx(6.0, abs=0.1)


def test_a_hole_is_crossed(bench: Bench, tmp_path: Path) -> None:
    seen = bench.run(
        FILM
        + """
        const playing = made(1, it.video.length - 1);
        await ready();
        playing.seek(0.5);
        await playing.play();
        const times = [];
        video.addEventListener("timeupdate", () => times.push(video.currentTime));
        await until("beyond the hole", () => video.currentTime > 4.2);
        playing.close();
        return times;
        """,
        film(tmp_path, KINDS["plain"], without=frozenset({2, 3})),
    )
    assert any(1 < time < 2 for time in seen)
    assert not any(2.2 < time < 3.9 for time in seen), "there is nothing to be seen in a hole"


def test_no_more_is_shown_than_the_limits(bench: Bench, tmp_path: Path) -> None:
    seen = bench.run(
        FILM
        + """
        const playing = made(2, 5);
        playing.limit(2, 3);
        await ready();
        let most = 0;
        let least = Infinity;
        const look = () => {
          [most, least] = [Math.max(most, video.currentTime), Math.min(least, video.currentTime)];
          if (!video.paused) requestAnimationFrame(look);
        };
        await playing.play();
        await ready();
        look();
        await until("the end", () => video.paused);
        await playing.play();
        await until("the beginning again", () => video.currentTime < 2.5);
        playing.close();
        return { most, least };
        """,
        film(tmp_path, KINDS["plain"]),
    )
    assert seen["least"] == pytest.approx(2, abs=0.05)
    assert seen["most"] == pytest.approx(3, abs=0.06)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_media_source_the_plain_file_plays(browser: Browser, tmp_path: Path, kind: str) -> None:
    with Bench(browser) as bench:
        seen = bench.run(
            FILM
            + """
            globalThis.MediaSource = undefined;
            const playing = made(it.first, it.video.length - 1);
            await ready();
            const first = playing.timeS;
            playing.seek(5.2);
            await ready();
            await playing.play();
            await until("the end", () => video.paused);
            return { first, end: playing.timeS, source: video.src.slice(0, 5), length: video.duration };
            """,
            film(tmp_path, KINDS[kind]) | {"first": 4},
        )
    assert seen["source"] == "blob:"
    assert seen["first"] == pytest.approx(3, abs=0.1)
    assert seen["end"] == pytest.approx(6, abs=0.15)
    assert seen["length"] == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("kind", [*KINDS, "vfr"])
@pytest.mark.parametrize("from_key", [0, 1])
def test_the_download_is_the_same_file_as_the_requesters(
    bench: Bench, tmp_path: Path, kind: str, from_key: int
) -> None:
    vfr = FilmKind(pictures=12, times=[0, 512, 1024, 5000, 5100, 9000, 9512, 30_000, 30_512, 31_024, 50_000, 50_512],
                   b_frames=2, gop=6)  # fmt: skip
    fmt, runs = runs_of(make_film(tmp_path / "source.mp4", KINDS.get(kind, vfr)))
    init, fragments = film_bytes(fmt, runs)
    start = [n for n, run in enumerate(runs) if run.key][from_key]
    found = bench.run(
        "return hex(encoding.join(...plain_mp4.remux(raw(it[0]), it[1].map(raw))));",
        [init.hex(), [fragment.hex() for fragment in fragments[start:]]],
    )
    assert bytes.fromhex(found) == b"".join(remux_plain(init, fragments[start:]))


def test_bytes_that_are_no_film_are_refused(bench: Bench, tmp_path: Path) -> None:
    init, fragments = film_bytes(*runs_of(make_film(tmp_path / "source.mp4", FilmKind())))
    wrong: list[tuple[bytes, list[bytes]]] = [
        (init, []),
        (init, [fragments[0][:-1]]),
        (init, [fragments[0][:60]]),
        (init, [b""]),
        (init[:-9], fragments),
        (b"", fragments),
        (init, [fragments[0], fragments[2], fragments[1]]),
    ]
    for start, parts in wrong:
        refusal = bench.run(
            "return refused(() => plain_mp4.remux(raw(it[0]), it[1].map(raw)));",
            [start.hex(), [part.hex() for part in parts]],
        )
        assert refusal is not None
        assert refusal[0] == "Corrupt"
