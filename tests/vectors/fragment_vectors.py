"""The fragment vectors: one input, one outcome, one named reason.

The bytes are put together here by the letter of docs/spec/fragment.md, not by the product's code.
"""

from __future__ import annotations

from typing import Any

AVCC = "0164001fffe1000467640a1b01000268ee"
FORMAT = {"width": 640, "height": 360, "timescale": 1000, "parameter_sets": AVCC}


def u(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big", signed=value < 0)


def box(kind: str, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return u(8 + len(body), 4) + kind.encode() + body


MATRIX = b"".join(u(v, 4) for v in (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000))


def init(track: int = 1, brand: bytes = b"iso6", width: int = 640, avcc: bytes = bytes.fromhex(AVCC)) -> bytes:
    mvhd = box("mvhd", u(1 << 24, 4), bytes(16), u(1000, 4), bytes(8), u(0x10000, 4), u(0x100, 2), bytes(10), MATRIX)
    mvhd = box("mvhd", mvhd[8:], bytes(24), u(2, 4))
    tkhd = box("tkhd", u(1 << 24 | 3, 4), bytes(16), u(track, 4), bytes(4), bytes(8), bytes(16), MATRIX)
    tkhd = box("tkhd", tkhd[8:], u(width << 16, 4), u(360 << 16, 4))
    mdhd = box("mdhd", u(1 << 24, 4), bytes(16), u(1000, 4), bytes(8), u(0x55C4, 2), bytes(2))
    hdlr = box("hdlr", bytes(8), b"vide", bytes(12), b"video\0")
    sizes = u(width, 2) + u(360, 2) + u(0x480000, 4) * 2
    entry = box(
        "avc1", bytes(6), u(1, 2), bytes(16), sizes, bytes(4), u(1, 2), bytes(32), u(24, 2), u(-1, 2), box("avcC", avcc)
    )
    tables = [box("stsd", bytes(4), u(1, 4), entry), box("stts", bytes(8)), box("stsc", bytes(8))]
    tables += [box("stsz", bytes(12)), box("stco", bytes(8))]
    dinf = box("dinf", box("dref", bytes(4), u(1, 4), box("url ", u(1, 4))))
    minf = box("minf", box("vmhd", u(1, 4), bytes(8)), dinf, box("stbl", *tables))
    mvex = box("mvex", box("trex", bytes(4), u(1, 4), u(1, 4), bytes(12)))
    moov = box("moov", mvhd, box("trak", tkhd, box("mdia", mdhd, hdlr, minf)), mvex)
    return box("ftyp", brand, bytes(4), b"iso6", b"mp41") + moov


# AAC-LC (2), 16 kHz (index 8), one channel: 00010 1000 0001 000, then zeros.
ASC = "1408"
SOUND_FORMAT = {"rate_hz": 16000, "channels": 1, "config": ASC}


def sound_init(track: int = 2, asc: bytes = bytes.fromhex(ASC), channels: int = 1, rate: int = 16000) -> bytes:
    mvhd = box("mvhd", u(1 << 24, 4), bytes(16), u(rate, 4), bytes(8), u(0x10000, 4), u(0x100, 2), bytes(10), MATRIX)
    mvhd = box("mvhd", mvhd[8:], bytes(24), u(3, 4))
    tkhd = box("tkhd", u(1 << 24 | 3, 4), bytes(16), u(track, 4), bytes(4), bytes(8), bytes(12), u(0x100, 2), bytes(2))
    tkhd = box("tkhd", tkhd[8:], MATRIX, bytes(8))
    mdhd = box("mdhd", u(1 << 24, 4), bytes(16), u(rate, 4), bytes(8), u(0x55C4, 2), bytes(2))
    hdlr = box("hdlr", bytes(8), b"soun", bytes(12), b"sound\0")
    decoder = b"\x40\x15" + bytes(3) + bytes(8) + b"\x05" + u(len(asc), 1) + asc
    stream = u(track, 2) + b"\0" + b"\x04" + u(len(decoder), 1) + decoder + b"\x06\x01\x02"
    esds = box("esds", bytes(4), b"\x03" + u(len(stream), 1) + stream)
    entry = box("mp4a", bytes(6), u(1, 2), bytes(8), u(channels, 2), u(16, 2), bytes(4), u(rate << 16, 4), esds)
    tables = [box("stsd", bytes(4), u(1, 4), entry), box("stts", bytes(8)), box("stsc", bytes(8))]
    tables += [box("stsz", bytes(12)), box("stco", bytes(8))]
    dinf = box("dinf", box("dref", bytes(4), u(1, 4), box("url ", u(1, 4))))
    minf = box("minf", box("smhd", bytes(8)), dinf, box("stbl", *tables))
    mvex = box("mvex", box("trex", bytes(4), u(track, 4), u(1, 4), bytes(12)))
    moov = box("moov", mvhd, box("trak", tkhd, box("mdia", mdhd, hdlr, minf)), mvex)
    return box("ftyp", b"iso6", bytes(4), b"iso6", b"mp41") + moov


def sound(
    packets: list[bytes],
    base: int = 0,
    sequence: int = 1,
    shift: int = 0,
    track: int = 2,
    size: int = 0,
    last: int = 1024,
) -> bytes:
    def moof(offset: int) -> bytes:
        sizes = b"".join(u(len(data) + size, 4) for data in packets)
        trun = box("trun", u(0x201, 4), u(len(packets), 4), u(offset, 4), sizes)
        tfdt = box("tfdt", u(1 << 24, 4), u(base, 8))
        tfhd = box("tfhd", u(0x020028, 4), u(track, 4), u(last, 4), u(0x02000000, 4))
        return box("moof", box("mfhd", bytes(4), u(sequence, 4)), box("traf", tfhd, tfdt, trun))

    return moof(len(moof(0)) + 8 + shift) + box("mdat", *packets)


Row = tuple[int, bytes, bool, int]


def fragment(
    rows: list[Row], base: int = 0, sequence: int = 1, shift: int = 0, track: int = 1, size: int = 0, flags: int = 0xF01
) -> bytes:
    def moof(offset: int) -> bytes:
        table = b"".join(
            u(duration, 4) + u(len(data) + size, 4) + u(0x02000000 if key else 0x01010000, 4) + u(late, 4)
            for duration, data, key, late in rows
        )
        trun = box("trun", u(1 << 24 | flags, 4), u(len(rows), 4), u(offset, 4), table)
        tfdt = box("tfdt", u(1 << 24, 4), u(base, 8))
        traf = box("traf", box("tfhd", u(0x020000, 4), u(track, 4)), tfdt, trun)
        return box("moof", box("mfhd", bytes(4), u(sequence, 4)), traf)

    return moof(len(moof(0)) + 8 + shift) + box("mdat", *(row[1] for row in rows))


def packet(data: bytes, pts_ms: int, dts_ms: int, duration_ms: int, key: bool) -> dict[str, Any]:
    return {
        "data": data.hex(),
        "pts_ns": pts_ms * 1_000_000,
        "dts_ns": dts_ms * 1_000_000,
        "duration_ns": duration_ms * 1_000_000,
        "key": key,
    }


KEY, PRE, BI = b"\0\0\0\2\x65\x01", b"\0\0\0\2\x41\x02", b"\0\0\0\3\x01\x03\x04"


def good(
    name: str, data: bytes, packets: list[dict[str, Any]], origin: tuple[int, int], sequence: int, after: int | None
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "fragment",
        "outcome": "good",
        "format": FORMAT,
        "packets": packets,
        "next_dts_ns": None if after is None else after * 1_000_000,
        "origin": {"pts_ns": origin[0] * 1_000_000, "dts_ns": origin[1] * 1_000_000},
        "sequence": sequence,
        "bytes": data.hex(),
    }


def vectors() -> list[tuple[str, dict[str, Any]]]:
    plain = [packet(KEY, 5000, 5000, 40, True), packet(PRE, 5040, 5040, 40, False)]
    # Decoded I P B, shown I B P: the decoder is one picture behind.
    late = [packet(KEY, 5040, 5000, 40, True), packet(PRE, 5120, 5040, 40, False), packet(BI, 5080, 5080, 40, False)]
    opened = [late[0], packet(BI, 5000, 5040, 40, False), packet(PRE, 5080, 5080, 40, False)]
    rows: list[Row] = [(40, KEY, True, 0), (40, PRE, False, 0)]
    found = [
        {"name": "init", "kind": "init", "outcome": "good", "format": FORMAT, "bytes": init().hex()},
        good("first", fragment(rows), plain, (5000, 5000), 1, None),
        good("lasts-until-the-next", fragment([rows[0], (960, PRE, False, 0)]), plain, (5000, 5000), 1, 6000),
        good("later", fragment(rows, base=1500, sequence=3), plain, (3500, 3500), 3, None),
        good("not-a-key", fragment([(40, PRE, False, 0)], base=40, sequence=2), plain[1:], (5000, 5000), 2, None),
        good(
            "b-frames",
            fragment([(40, KEY, True, 0), (40, PRE, False, 40), (40, BI, False, -40)]),
            late,
            (5040, 5000),
            1,
            None,
        ),
        good("open-gop", fragment([(80, KEY, True, 0), (40, PRE, False, -40)]), opened, (5040, 5000), 1, None),
    ]
    half = fragment(rows)
    bad = {
        "empty": b"",
        "cut-short": half[:-1],
        "one-byte-more": half + b"\0",
        "no-samples": fragment([]),
        "empty-sample": fragment([(40, KEY, True, 0), (40, b"", False, 0)]),
        "sizes-too-large": fragment(rows, size=1),
        "data-offset-wrong": fragment(rows, shift=1),
        "second-track": fragment(rows, track=2),
        "sequence-0": fragment(rows, sequence=0),
        "other-flags": fragment(rows, flags=0xB01),
        "shown-before-0": fragment([(40, KEY, True, -1)]),
        "base-beyond-63-bits": fragment(rows, base=2**63),
        "init-segment": init(),
    }
    found += [
        {"name": name, "kind": "fragment", "outcome": "corrupt", "bytes": data.hex()} for name, data in bad.items()
    ]
    bad = {
        "init-empty": b"",
        "init-cut-short": init()[:-1],
        "init-one-byte-more": init() + b"\0",
        "init-of-track-2": init(track=2),
        "init-of-other-brand": init(brand=b"isom"),
        "init-without-width": init(width=0),
        "init-without-parameter-sets": init(avcc=b""),
    }
    found += [{"name": name, "kind": "init", "outcome": "corrupt", "bytes": data.hex()} for name, data in bad.items()]
    return [(str(vector["name"]), vector) for vector in found + sound_vectors()]


def sound_vectors() -> list[dict[str, Any]]:
    packets = [b"\x01\x40\x20", b"\x01\x41"]

    def good_sound(name: str, data: bytes, start_ns: int, zero_ns: int, sequence: int) -> dict[str, Any]:
        return {
            "name": name,
            "kind": "sound",
            "outcome": "good",
            "format": SOUND_FORMAT,
            "packets": [packet.hex() for packet in packets],
            "start_ns": start_ns,
            "zero_ns": zero_ns,
            "sequence": sequence,
            "bytes": data.hex(),
        }

    half = sound(packets)
    found: list[dict[str, Any]] = [
        {
            "name": "sound-init",
            "kind": "sound-init",
            "outcome": "good",
            "format": SOUND_FORMAT,
            "bytes": sound_init().hex(),
        },
        good_sound("sound-first", half, 5_000_000_000, 5_000_000_000, 1),
        # 16 000 samples a second, and half of one more: the nearest whole one.
        good_sound("sound-later", sound(packets, base=16_001, sequence=3), 6_000_031_250, 5_000_000_000, 3),
    ]
    bad = {
        "sound-empty": b"",
        "sound-cut-short": half[:-1],
        "sound-one-byte-more": half + b"\0",
        "sound-no-packets": sound([]),
        "sound-empty-packet": sound([b"\x01", b""]),
        "sound-packet-too-large": sound([bytes(1537)]),
        "sound-sizes-too-large": sound(packets, size=1),
        "sound-data-offset-wrong": sound(packets, shift=1),
        "sound-first-track": sound(packets, track=1),
        "sound-sequence-0": sound(packets, sequence=0),
        "sound-other-duration": sound(packets, last=960),
        "sound-base-beyond-63-bits": sound(packets, base=2**63),
        "sound-is-video": fragment([(40, KEY, True, 0)]),
    }
    found += [{"name": name, "kind": "sound", "outcome": "corrupt", "bytes": data.hex()} for name, data in bad.items()]
    bad = {
        "sound-init-empty": b"",
        "sound-init-cut-short": sound_init()[:-1],
        "sound-init-one-byte-more": sound_init() + b"\0",
        "sound-init-of-track-1": sound_init(track=1),
        "sound-init-other-rate": sound_init(rate=8000),
        "sound-init-other-channels": sound_init(channels=2),
        "sound-init-without-config": sound_init(asc=b""),
        "sound-init-six-channels": sound_init(asc=bytes.fromhex("1430"), channels=6),
        "sound-init-high-efficiency": sound_init(asc=bytes.fromhex("2c0a08"), channels=1),
        "sound-init-short-frames": sound_init(asc=bytes.fromhex("140c")),
    }
    return found + [
        {"name": name, "kind": "sound-init", "outcome": "corrupt", "bytes": data.hex()} for name, data in bad.items()
    ]
