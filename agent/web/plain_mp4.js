/**
 * A plain MP4 made from opened records: index in front, then the same packets, bit for bit. For downloads, and for
 * browsers that cannot play fragments. Never decodes a picture.
 * Source: docs/spec/fragment.md "The plain file"; ISO 14496-12 8.6, 8.7.
 */
import { join, utf8 } from "./encoding.js";
import { Corrupt } from "./errors.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {{size: number, decode: number, duration: number, offset: number, key: boolean}} Entry times in ticks */
/** @typedef {{entries: Entry[], data: Bytes[]}} Chunk the samples of one fragment */
/** @typedef {{init: Bytes, fragments: Bytes[]}} FilmSound */
/** @typedef {{init: Bytes, rate: number, start: number, chunks: Chunk[], durations: number[]}} Heard `start`: in samples */

const KEY_FLAGS = 0x02000000;
const TRUN_AT = 68; // after moof, mfhd, traf, tfhd, tfdt as Doorward writes them
const TABLE_AT = 88;
const U32_MAX = 2 ** 32 - 1;
const SOUND_TRUN_AT = 76; // behind a tfhd with duration and flags of every sample
const SOUND_TABLE_AT = 96;
const PACKET_SAMPLES = 1024;

/**
 * The parts of the file, to be made a Blob of.
 * @param {Bytes} init
 * @param {Bytes[]} fragments the first of which begins with a key frame
 * @param {FilmSound | null} [sound]
 * @returns {Bytes[]}
 */
export function remux(init, fragments, sound = null) {
  const all = fragments.map(parseFragment);
  if (all.length === 0 || !all[0].entries[0].key) throw new Corrupt("this stretch does not begin with a whole picture");
  const zero = shownAt(all[0].entries[0]);
  const pictures = all.map((chunk) => shown(chunk, zero)).filter((chunk) => chunk.entries.length > 0);
  const timescale = timescaleOf(init);
  const heard = sound && sound.fragments.length > 0 ? readSound(sound, zero, timescale) : null;
  const ftyp = box("ftyp", utf8("isom"), u32(0x200), utf8("isomiso2avc1mp41"));
  // Stable: where both begin at once the pictures go first.
  const chunks = [
    ...pictures.map((chunk) => ({ chunk, ns: beginsNs(chunk, timescale) })),
    ...(heard?.chunks ?? []).map((chunk) => ({ chunk, ns: beginsNs(chunk, heard?.rate ?? 1) })),
  ]
    .sort((a, b) => (a.ns < b.ns ? -1 : a.ns > b.ns ? 1 : 0))
    .map(({ chunk }) => chunk);
  const sizes = chunks.map(({ entries }) => entries.reduce((sum, entry) => sum + entry.size, 0));
  const payload = sizes.reduce((sum, size) => sum + size, 0) + 8;
  let at = ftyp.length + moov(init, pictures, heard, new Map()).length + 8;
  if (at + payload > U32_MAX) throw new Corrupt("this stretch is too long for one file; choose less");
  const offsets = new Map(chunks.map((chunk, i) => [chunk, (at += sizes[i]) - sizes[i]]));
  const head = [ftyp, moov(init, pictures, heard, offsets), u32(payload), utf8("mdat")];
  return [...head, ...chunks.flatMap(({ data }) => data)];
}

/**
 * @param {Chunk} chunk
 * @param {number} timescale
 */
function beginsNs({ entries }, timescale) {
  return (BigInt(entries[0].decode) * 1_000_000_000n) / BigInt(timescale);
}

/** @param {Bytes} init */
function timescaleOf(init) {
  const mvhd = find(inside(find(init, "moov")), "mvhd");
  return new DataView(mvhd.buffer, mvhd.byteOffset).getUint32(28);
}

/**
 * @param {FilmSound} sound
 * @param {number} zero when the first picture is shown, in its ticks
 * @param {number} timescale of the pictures
 * @returns {Heard}
 */
function readSound({ init, fragments }, zero, timescale) {
  const rate = timescaleOf(init);
  const chunks = fragments.map(parseSound);
  const entries = chunks.flatMap((chunk) => chunk.entries);
  const durations = entries.map((entry, i) =>
    i + 1 < entries.length ? entries[i + 1].decode - entry.decode : entry.duration,
  );
  if (durations.some((duration) => duration <= 0 || duration > U32_MAX)) {
    throw new Corrupt("the parts of the sound are out of order");
  }
  const start = entries[0].decode - Math.floor((2 * zero * rate + timescale) / (2 * timescale));
  return { init, rate, start, chunks, durations };
}

/**
 * @param {Bytes} fragment
 * @returns {Chunk}
 */
function parseSound(fragment) {
  const view = new DataView(fragment.buffer, fragment.byteOffset, fragment.byteLength);
  const count = fragment.length > SOUND_TABLE_AT ? view.getUint32(SOUND_TRUN_AT + 12) : 0;
  const bodyAt = SOUND_TABLE_AT + 4 * count + 8;
  if (
    count === 0 ||
    bodyAt > fragment.length ||
    typeAt(fragment, SOUND_TRUN_AT + 4) !== "trun" ||
    typeAt(fragment, bodyAt - 4) !== "mdat"
  ) {
    throw new Corrupt("a part of the sound is not in the form Doorward writes");
  }
  const entries = [];
  const data = [];
  let at = bodyAt;
  let decode = Number(view.getBigUint64(SOUND_TRUN_AT - 8));
  for (let row = SOUND_TABLE_AT; row < bodyAt - 8; row += 4) {
    const size = view.getUint32(row);
    entries.push({ size, decode, duration: PACKET_SAMPLES, offset: 0, key: true });
    data.push(fragment.subarray(at, at + size));
    at += size;
    decode += PACKET_SAMPLES;
  }
  if (at !== fragment.length) throw new Corrupt("a part of the sound contradicts itself");
  return { entries, data };
}

/**
 * The codec an init segment declares, as media sources want it named (RFC 6381).
 * @param {Bytes} init
 * @returns {string}
 */
export function codecOf(init) {
  const found = find(inside(find(stblOf(init), "stsd"), 8), "avc1");
  const avcc = inside(find(inside(found, 78), "avcC"));
  return `avc1.${[...avcc.subarray(1, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** @param {Entry} entry */
const shownAt = (entry) => entry.decode + entry.offset;

/**
 * Without the pictures shown before the first key frame: they refer to pictures the film does not have.
 * @param {Chunk} chunk
 * @param {number} zero
 * @returns {Chunk}
 */
function shown({ entries, data }, zero) {
  const keep = entries.map((entry) => shownAt(entry) >= zero);
  return { entries: entries.filter((_, i) => keep[i]), data: data.filter((_, i) => keep[i]) };
}

/**
 * @param {Bytes} fragment
 * @returns {Chunk}
 */
function parseFragment(fragment) {
  const view = new DataView(fragment.buffer, fragment.byteOffset, fragment.byteLength);
  const count = fragment.length > TABLE_AT ? view.getUint32(TRUN_AT + 12) : 0;
  const bodyAt = TABLE_AT + 16 * count + 8;
  if (
    count === 0 ||
    bodyAt > fragment.length ||
    typeAt(fragment, TRUN_AT + 4) !== "trun" ||
    typeAt(fragment, bodyAt - 4) !== "mdat"
  ) {
    throw new Corrupt("a part of the video is not in the form Doorward writes");
  }
  const entries = [];
  const data = [];
  let at = bodyAt;
  let decode = Number(view.getBigUint64(TRUN_AT - 8));
  for (let row = TABLE_AT; row < bodyAt - 8; row += 16) {
    const [duration, size] = [view.getUint32(row), view.getUint32(row + 4)];
    entries.push({
      size,
      decode,
      duration,
      offset: view.getInt32(row + 12),
      key: view.getUint32(row + 8) === KEY_FLAGS,
    });
    data.push(fragment.subarray(at, at + size));
    at += size;
    decode += duration;
  }
  if (at !== fragment.length) throw new Corrupt("a part of the video contradicts itself");
  return { entries, data };
}

/**
 * @param {Bytes} init
 * @param {Chunk[]} chunks
 * @param {Heard | null} heard
 * @param {Map<Chunk, number>} offsets where each chunk lies in the file
 * @returns {Bytes}
 */
function moov(init, chunks, heard, offsets) {
  const entries = chunks.flatMap((chunk) => chunk.entries);
  const durations = entries.map((entry, i) =>
    i + 1 < entries.length ? entries[i + 1].decode - entry.decode : entry.duration,
  );
  if (durations.some((duration) => duration < 0 || duration > U32_MAX)) {
    throw new Corrupt("the parts of the video are out of order");
  }
  const end = entries.reduce((latest, entry) => Math.max(latest, shownAt(entry) + entry.duration), 0);
  // Edit lists count in the movie's ticks: with sound, those in which its beginning is exact.
  const [timescale, ticks] = [timescaleOf(init), heard?.rate ?? timescaleOf(init)];
  const length = Math.ceil(((end - shownAt(entries[0])) * ticks) / timescale);
  // Signed offsets confuse old players: they are raised to be positive, and an edit list takes it back.
  const lowest = entries.reduce((least, entry) => Math.min(least, entry.offset), Infinity);
  const raised = entries.map((entry) => entry.offset - lowest);
  const edits = raised[0] > 0 ? editList([length, raised[0]]) : new Uint8Array(0);
  const places = chunks.map((chunk) => offsets.get(chunk) ?? 0);
  const video = trak(init, "vmhd", tables(chunks, entries, durations, raised, places), edits, durations, length);
  const mvhd = withDuration(find(inside(find(init, "moov")), "mvhd"), 32, length);
  if (!heard) return box("moov", mvhd, video);
  const total = heard.durations.reduce((sum, duration) => sum + duration, 0);
  const latest = Math.max(length, heard.start + total);
  const both = withDuration(mvhd, 32, latest);
  const head = join(both.subarray(0, 28), u32(ticks), both.subarray(32, both.length - 4), u32(3));
  return box("moov", head, video, soundTrak(heard, total, offsets));
}

/**
 * @param {Heard} heard
 * @param {number} total samples
 * @param {Map<Chunk, number>} offsets
 */
function soundTrak({ init, start, chunks, durations }, total, offsets) {
  const entries = chunks.flatMap((chunk) => chunk.entries);
  if (start + total <= 0) throw new Corrupt("the sound ends before the video begins");
  const still = entries.map(() => 0);
  const places = chunks.map((chunk) => offsets.get(chunk) ?? 0);
  let edits = new Uint8Array(0);
  if (start > 0) edits = editList([start, -1], [total, 0]);
  else if (start < 0) edits = editList([total + start, -start]);
  return trak(init, "smhd", tables(chunks, entries, durations, still, places), edits, durations, start + total);
}

/**
 * @param {Bytes} init
 * @param {string} header the media header's kind
 * @param {Bytes[]} sampleTables
 * @param {Bytes} edits
 * @param {number[]} durations
 * @param {number} length what of it the movie shows, in the movie's ticks
 */
function trak(init, header, sampleTables, edits, durations, length) {
  const old = inside(find(inside(find(init, "moov")), "trak"));
  const mdia = inside(find(old, "mdia"));
  const minf = inside(find(mdia, "minf"));
  const stbl = box("stbl", find(stblOf(init), "stsd"), ...sampleTables);
  const newMinf = box("minf", find(minf, header), find(minf, "dinf"), stbl);
  const total = durations.reduce((sum, duration) => sum + duration, 0);
  const newMdia = box("mdia", withDuration(find(mdia, "mdhd"), 32, total), find(mdia, "hdlr"), newMinf);
  return box("trak", withDuration(find(old, "tkhd"), 36, length), edits, newMdia);
}

/** @param {...[number, number]} rows how long, in the movie's ticks, and from where, in the track's; -1: nothing */
function editList(...rows) {
  const table = rows.flatMap(([lasting, begin]) => [u64(lasting), i64(begin), u32(0x10000)]);
  return box("edts", fullBox("elst", 1, u32(rows.length), ...table));
}

/**
 * @param {Chunk[]} chunks
 * @param {Entry[]} entries
 * @param {number[]} durations
 * @param {number[]} raised
 * @param {number[]} offsets
 * @returns {Bytes[]}
 */
function tables(chunks, entries, durations, raised, offsets) {
  const keys = entries.flatMap((entry, i) => (entry.key ? [i + 1] : []));
  const perChunk = chunks.flatMap((chunk, i) =>
    i > 0 && chunks[i - 1].entries.length === chunk.entries.length ? [] : [[i + 1, chunk.entries.length, 1]],
  );
  return [
    fullBox("stts", 0, runs(durations)),
    ...(raised.some((offset) => offset > 0) ? [fullBox("ctts", 0, runs(raised))] : []),
    ...(keys.length < entries.length ? [fullBox("stss", 0, u32(keys.length, ...keys))] : []),
    fullBox("stsc", 0, u32(perChunk.length, ...perChunk.flat())),
    fullBox("stsz", 0, u32(0, entries.length, ...entries.map((entry) => entry.size))),
    fullBox("stco", 0, u32(offsets.length, ...offsets)),
  ];
}

/**
 * A table of (how many, value), as stts and ctts are.
 * @param {number[]} values
 * @returns {Bytes}
 */
function runs(values) {
  /** @type {[number, number][]} */
  const found = [];
  for (const value of values) {
    const last = found.at(-1);
    if (last && last[1] === value) last[0]++;
    else found.push([1, value]);
  }
  return u32(found.length, ...found.flat());
}

/**
 * @param {Bytes} data boxes one after another
 * @param {string} kind
 * @returns {Bytes} the first box of that kind, its head included
 */
function find(data, kind) {
  for (let at = 0; at + 8 <= data.length;) {
    const size = new DataView(data.buffer, data.byteOffset).getUint32(at);
    if (size < 8 || at + size > data.length) break;
    if (typeAt(data, at + 4) === kind) return data.subarray(at, at + size);
    at += size;
  }
  throw new Corrupt("the beginning of the video is not in the form Doorward writes");
}

/** @param {Bytes} init */
function stblOf(init) {
  return ["moov", "trak", "mdia", "minf", "stbl"].reduce((data, kind) => inside(find(data, kind)), init);
}

/**
 * What a box holds, after its head and `skip` bytes.
 * @param {Bytes} whole
 * @param {number} [skip]
 */
function inside(whole, skip = 0) {
  return whole.subarray(8 + skip);
}

/**
 * @param {Bytes} whole
 * @param {number} at of the 64-bit duration
 * @param {number} ticks
 */
function withDuration(whole, at, ticks) {
  return join(whole.subarray(0, at), u64(ticks), whole.subarray(at + 8));
}

/**
 * @param {Bytes} data
 * @param {number} at
 */
function typeAt(data, at) {
  return String.fromCharCode(...data.subarray(at, at + 4));
}

/**
 * @param {string} kind
 * @param {...Bytes} parts
 */
function box(kind, ...parts) {
  return join(u32(8 + parts.reduce((sum, part) => sum + part.length, 0)), utf8(kind), ...parts);
}

/**
 * @param {string} kind
 * @param {number} version
 * @param {...Bytes} parts
 */
function fullBox(kind, version, ...parts) {
  return box(kind, u32(version << 24), ...parts);
}

/** @param {...number} values */
function u32(...values) {
  const view = new DataView(new ArrayBuffer(4 * values.length));
  values.forEach((value, i) => view.setUint32(4 * i, value));
  return new Uint8Array(view.buffer);
}

/** @param {number} value */
function u64(value) {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(value));
  return new Uint8Array(view.buffer);
}

/** @param {number} value */
function i64(value) {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigInt64(0, BigInt(value));
  return new Uint8Array(view.buffer);
}
