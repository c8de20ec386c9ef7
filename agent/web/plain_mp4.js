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

const KEY_FLAGS = 0x02000000;
const TRUN_AT = 68; // after moof, mfhd, traf, tfhd, tfdt as Doorward writes them
const TABLE_AT = 88;
const U32_MAX = 2 ** 32 - 1;

/**
 * The parts of the file, to be made a Blob of.
 * @param {Bytes} init
 * @param {Bytes[]} fragments the first of which begins with a key frame
 * @returns {Bytes[]}
 */
export function remux(init, fragments) {
  const all = fragments.map(parseFragment);
  if (all.length === 0 || !all[0].entries[0].key) throw new Corrupt("this stretch does not begin with a whole picture");
  const zero = shownAt(all[0].entries[0]);
  const chunks = all.map((chunk) => shown(chunk, zero)).filter((chunk) => chunk.entries.length > 0);
  const ftyp = box("ftyp", utf8("isom"), u32(0x200), utf8("isomiso2avc1mp41"));
  const sizes = chunks.map(({ entries }) => entries.reduce((sum, entry) => sum + entry.size, 0));
  const payload = sizes.reduce((sum, size) => sum + size, 0) + 8;
  let at = ftyp.length + moov(init, chunks, sizes).length + 8;
  if (at + payload > U32_MAX) throw new Corrupt("this stretch is too long for one file; choose less");
  const offsets = sizes.map((size) => (at += size) - size);
  return [ftyp, moov(init, chunks, offsets), u32(payload), utf8("mdat"), ...chunks.flatMap(({ data }) => data)];
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
 * @param {number[]} offsets where each chunk lies in the file
 * @returns {Bytes}
 */
function moov(init, chunks, offsets) {
  const entries = chunks.flatMap((chunk) => chunk.entries);
  const durations = entries.map((entry, i) =>
    i + 1 < entries.length ? entries[i + 1].decode - entry.decode : entry.duration,
  );
  if (durations.some((duration) => duration < 0 || duration > U32_MAX)) {
    throw new Corrupt("the parts of the video are out of order");
  }
  const total = durations.reduce((sum, duration) => sum + duration, 0);
  const end = entries.reduce((latest, entry) => Math.max(latest, shownAt(entry) + entry.duration), 0);
  const length = end - shownAt(entries[0]);
  // Signed offsets confuse old players: they are raised to be positive, and an edit list takes it back.
  const lowest = entries.reduce((least, entry) => Math.min(least, entry.offset), Infinity);
  const raised = entries.map((entry) => entry.offset - lowest);
  const old = inside(find(init, "moov"));
  const trak = inside(find(old, "trak"));
  const mdia = inside(find(trak, "mdia"));
  const minf = inside(find(mdia, "minf"));
  const edits =
    raised[0] > 0
      ? box("edts", fullBox("elst", 1, u32(1), u64(length), u64(raised[0]), u32(0x10000)))
      : new Uint8Array(0);
  const stbl = box("stbl", find(stblOf(init), "stsd"), ...tables(chunks, entries, durations, raised, offsets));
  const newMinf = box("minf", find(minf, "vmhd"), find(minf, "dinf"), stbl);
  const newMdia = box("mdia", withDuration(find(mdia, "mdhd"), 32, total), find(mdia, "hdlr"), newMinf);
  const newTrak = box("trak", withDuration(find(trak, "tkhd"), 36, length), edits, newMdia);
  return box("moov", withDuration(find(old, "mvhd"), 32, length), newTrak);
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
