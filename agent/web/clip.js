/**
 * A sealed clip opened in the page: header and manifest checked, the clip key unwrapped with this phone's key, records
 * fetched, checked and decrypted as they are wanted. The clip key itself is wiped at once; what opens records lives here and ends with
 * the object.
 * A record's commitment is compared before it is decrypted. Source: docs/spec/sealed-clip.md.
 */
import {
  b64u,
  expand,
  fromB64u,
  hmac,
  join,
  keyId,
  parseJson,
  parseTime,
  sameBytes,
  sha256,
  utf8,
} from "./encoding.js";
import { Corrupt, Refused } from "./errors.js";
import * as hpke from "./hpke.js";
import { rawPublic } from "./identity.js";
import { clipDetail } from "./messages.js";
import { anyText, exactly, hash, id, list, oneOf, readSigned, table, time, whole } from "./shape.js";
import * as statements from "./statements.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {import("./messages.js").RecordPlace} RecordPlace */
/** @typedef {import("./messages.js").TrackName} Track */

const RECORD_HEADER = 68;
const COMMIT = 32;
const WRAP = 32 + hpke.OVERHEAD_BYTES;
const RECORDS_LIMIT = 4096;
const FLAG_KEY = 1;
const FLAG_INIT = 2;
const TRACK_NUMBER = { about: 0, video: 1, audio: 2, picture: 3 };
const FETCH_BYTES = 1 << 20; // neighbouring records are fetched together up to about this much

const header = exactly({
  format: oneOf("doorward.clip.v1"),
  suite: oneOf("X25519-HKDF-SHA256-AES-256-GCM"),
  clip: id,
  device: id,
  sequence: whole(1),
  previous: anyText,
  start: time,
  trust: oneOf("synchronised", "provisional", "replayed"),
  boot: id,
  boot_us: whole(),
  owners: hash,
  recipients: list(id, 1, 16),
});

/** @type {import("./shape.js").Reader<[number, number]>} */
const stretch = (value, where) => {
  const [start, end] = list(whole(-Number.MAX_SAFE_INTEGER), 2, 2)(value, where);
  return [start, end];
};

/** @type {import("./shape.js").Reader<[number, number, string]>} */
const gap = (value, where) => {
  if (!Array.isArray(value) || value.length !== 3) throw new Corrupt(`${where} is not a gap`);
  return [...stretch(value.slice(0, 2), where), anyText(value[2], where)];
};

const manifest = exactly({
  clip: id,
  header: hash,
  ended: oneOf("closed", "cut"),
  records: table(list(hash, 0, RECORDS_LIMIT), 4),
  duration_ns: whole(),
  motion: list(stretch, 0, RECORDS_LIMIT),
  gaps: list(gap, 0, RECORDS_LIMIT),
  clock: exactly({ start: time, trust: anyText }),
});

/** A clip whose key this phone has opened. */
export class OpenedClip {
  #prk;
  #session;

  /**
   * @param {import("./api.js").Session} session
   * @param {{clip: string, hh: Bytes, prk: Bytes, startNs: bigint, said: ReturnType<typeof manifest>,
   *          places: RecordPlace[], held: boolean,
   *          earliestNs: bigint, latestNs: bigint, trust: string, told: import("./messages.js").ClipSummary}} facts
   */
  constructor(session, { clip, hh, prk, startNs, earliestNs, latestNs, trust, told, said, places, held }) {
    this.#session = session;
    this.#prk = prk;
    this.id = clip;
    this.hh = hh;
    /** UTC of the clip's time zero, as best known; and between which moments it lies */
    this.startNs = startNs;
    this.earliestNs = earliestNs;
    this.latestNs = latestNs;
    this.trust = trust;
    /** what the doorbell says of it */
    this.told = told;
    this.manifest = said;
    this.places = places;
    /** whether an open request waits for it */
    this.held = held;
  }

  /**
   * The records of a track, by index.
   * @param {Track} track
   * @returns {RecordPlace[]}
   */
  track(track) {
    return this.places.filter((place) => place.track === track);
  }

  /**
   * The unit of release: the secret that opens one record and no other.
   * @param {Track} track
   * @param {number} index
   * @returns {Promise<Bytes>}
   */
  recordSecret(track, index) {
    const number = new Uint8Array(9);
    number[0] = TRACK_NUMBER[track];
    new DataView(number.buffer).setBigUint64(1, BigInt(index));
    return expand(this.#prk, join(utf8("doorward record v1"), number), 32);
  }

  /**
   * What a decision signs for one track: SHA-256 over the hashes of record 0 and records `first` to `last`.
   * @param {Track} track
   * @param {number} first
   * @param {number} last
   * @returns {Promise<Bytes>}
   */
  spanDigest(track, first, last) {
    const hashes = this.manifest.records[track];
    return sha256(join(...[0, ...range(first, last)].map((index) => fromB64u(hashes[index], 32))));
  }

  /**
   * The records `first` to `last` opened, in order. Nothing of them is kept here: a film may be larger than a phone's
   * memory.
   * @param {Track} track
   * @param {number} first
   * @param {number} last
   * @param {AbortSignal} [signal]
   * @returns {AsyncGenerator<{place: RecordPlace, data: Bytes}>}
   */
  async *records(track, first, last, signal) {
    const places = this.track(track).slice(first, last + 1);
    for (let at = 0; at < places.length;) {
      let end = at + 1;
      while (end < places.length && endOf(places[end]) - places[at].offset <= FETCH_BYTES) end++;
      const from = places[at].offset;
      const fetched = await this.#session.stretch(
        `/api/clips/${this.id}/sealed`,
        from,
        endOf(places[end - 1]) - from,
        signal,
      );
      for (; at < end; at++) {
        const start = places[at].offset - from;
        yield {
          place: places[at],
          data: await this.#open(places[at], fetched.slice(start, start + places[at].length)),
        };
      }
    }
  }

  /**
   * One record opened.
   * @param {Track} track
   * @param {number} index
   * @param {AbortSignal} [signal]
   * @returns {Promise<Bytes>}
   */
  async record(track, index, signal) {
    for await (const { data } of this.records(track, index, index, signal)) return data;
    throw new Corrupt("the video has no such part");
  }

  /**
   * @param {RecordPlace} place
   * @param {Bytes} record
   * @returns {Promise<Bytes>}
   */
  async #open(place, record) {
    checkRecordHeader(record, place, this.hh);
    const expected = fromB64u(this.manifest.records[place.track][place.index], 32);
    if (!sameBytes(await sha256(record), expected)) {
      throw new Corrupt("a part of the video is not the one the doorbell signed when it was recorded");
    }
    const secret = await this.recordSecret(/** @type {Track} */ (place.track), place.index);
    return openRecord(secret, record);
  }
}

/**
 * The plaintext of a whole record under its secret; Corrupt if the key is not its key or a bit is off.
 * @param {Bytes} secret 32 bytes
 * @param {Bytes} record
 * @returns {Promise<Bytes>}
 */
export async function openRecord(secret, record) {
  const both = await expand(secret, utf8("doorward seal v1"), 64);
  if (!sameBytes(both.slice(32), record.subarray(RECORD_HEADER, RECORD_HEADER + COMMIT))) {
    throw new Corrupt("this key does not open this part of the video");
  }
  const key = await crypto.subtle.importKey("raw", both.slice(0, 32), "AES-GCM", false, ["decrypt"]);
  const how = { name: "AES-GCM", iv: new Uint8Array(12), additionalData: record.slice(0, RECORD_HEADER) };
  try {
    return new Uint8Array(await crypto.subtle.decrypt(how, key, record.subarray(RECORD_HEADER + COMMIT)));
  } catch (error) {
    if (error instanceof DOMException) throw new Corrupt("a part of the video was altered");
    throw error;
  }
}

/**
 * The readable part of a record must be what the list of records says, or another could be shown in its place.
 * @param {Bytes} record
 * @param {RecordPlace} place
 * @param {Bytes} hh
 */
export function checkRecordHeader(record, place, hh) {
  if (record.length < RECORD_HEADER + COMMIT + 16) throw new Corrupt("a record of the video is cut off");
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  const fits =
    view.getUint32(0) === 0x44575243 && // DWRC
    sameBytes(record.subarray(4, 36), hh) &&
    record[36] === TRACK_NUMBER[place.track] &&
    record[37] === place.flags &&
    view.getUint16(38) === 0 &&
    view.getBigUint64(40) === BigInt(place.index) &&
    view.getBigInt64(48) === BigInt(place.start_ns) &&
    view.getBigUint64(56) === BigInt(place.duration_ns) &&
    view.getUint32(64) === record.length - RECORD_HEADER - COMMIT;
  if (!fits) throw new Corrupt("the doorbell sent another part of the video than was asked for");
}

/**
 * Fetch a clip's facts, check them, and open its key. Refused("unfinished") while it is being recorded.
 * @param {import("./api.js").Session} session
 * @param {string} clip id
 * @returns {Promise<OpenedClip>}
 */
export async function openClip(session, clip) {
  const { doorbell } = session;
  const detail = await session.get(`/api/clips/${encodeURIComponent(clip)}`, clipDetail);
  const bytes = fromB64u(detail.header);
  const head = header(parseJson(bytes, "the clip's header"), "the clip's header");
  if (head.clip !== clip || head.device !== doorbell.id) throw new Corrupt("the doorbell sent another clip");
  if (detail.manifest === null) {
    throw new Refused("unfinished", "this clip is still being recorded; look at it when it has ended");
  }
  const signed = await statements.verify("manifest", detail.manifest, [fromB64u(doorbell.key, 32)]);
  const said = readSigned(manifest, signed, "the clip's manifest");
  const hh = await sha256(bytes);
  if (said.clip !== clip || said.header !== b64u(hh)) throw new Corrupt("the manifest belongs to another clip");
  checkPlaces(detail.records, said.records);
  const clipKey = await unwrap(head.recipients, hh, fromB64u(detail.wraps), doorbell);
  const prk = await hmac(hh, clipKey);
  clipKey.fill(0);
  const { records: places, summary } = detail;
  return new OpenedClip(session, { clip, hh, prk, ...began(head, summary), said, places, held: summary.held });
}

/** What is known worse is looked for only where its best time is, ns. */
const MAY_LIE_WITHIN_NS = 12n * 3600n * 1_000_000_000n;

/**
 * When the clip began: as its signed header says, unless the clock was not set yet then. Between `earliestNs` and
 * `latestNs` it may be looked for.
 * @param {{start: string, trust: string}} head
 * @param {import("./messages.js").ClipSummary} summary
 */
function began(head, summary) {
  const uncertain = head.trust === "provisional";
  const startNs = parseTime(uncertain ? summary.start : head.start);
  const trust = uncertain ? summary.time_trust : head.trust;
  const at = { startNs, earliestNs: startNs, latestNs: startNs, trust, told: summary };
  if (trust !== "provisional" || summary.earliest === null || summary.latest === null) return at;
  const [earliestNs, latestNs] = [parseTime(summary.earliest), parseTime(summary.latest)];
  return earliestNs <= latestNs && latestNs - earliestNs <= MAY_LIE_WITHIN_NS ? { ...at, earliestNs, latestNs } : at;
}

/**
 * @param {string[]} recipients kids
 * @param {Bytes} hh
 * @param {Bytes} wraps
 * @param {import("./keystore.js").Doorbell} doorbell whose keys to try
 * @returns {Promise<Bytes>} the clip key
 */
async function unwrap(recipients, hh, wraps, doorbell) {
  let key = doorbell.keys.opens;
  let publicKey = await rawPublic(key);
  if (doorbell.older && !recipients.includes(await keyId(publicKey))) {
    key = doorbell.older.opens;
    publicKey = await rawPublic(key);
  }
  const kid = await keyId(publicKey);
  const at = recipients.indexOf(kid);
  if (at < 0)
    throw new Refused("not-for-you", "this clip was recorded before this phone was paired; an older phone or the recovery code opens it");
  if (wraps.length !== WRAP * recipients.length) throw new Corrupt("the clip's keys do not match its recipients");
  const info = join(utf8("doorward clip key v1"), hh, fromB64u(kid, 16));
  const clipKey = await hpke.open(wraps.slice(at * WRAP, (at + 1) * WRAP), key.privateKey, publicKey, info);
  if (clipKey.length !== 32) throw new Corrupt("a clip key has 32 bytes");
  return clipKey;
}

/**
 * @param {RecordPlace[]} places
 * @param {Record<string, string[]>} hashes by track
 */
function checkPlaces(places, hashes) {
  for (const track of /** @type {const} */ (["video", "audio", "picture", "about"])) {
    const found = places.filter((place) => place.track === track);
    const isMedia = track === "video" || track === "audio";
    const inOrder = found.every(
      (place, i) => place.index === i && (isMedia ? (place.flags === FLAG_INIT) === (i === 0) : place.flags === 0),
    );
    if (!inOrder || found.length !== (hashes[track] ?? []).length) {
      throw new Corrupt("the doorbell's list of records is not the one it signed");
    }
  }
}

/** @param {RecordPlace} place */
export function isKey(place) {
  return (place.flags & FLAG_KEY) !== 0;
}

/**
 * @param {number} first
 * @param {number} last
 * @returns {number[]}
 */
export function range(first, last) {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
}

/** @param {RecordPlace} place */
function endOf(place) {
  return place.offset + place.length;
}
