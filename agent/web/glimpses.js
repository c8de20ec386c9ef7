/**
 * What clips show at a glance: their labels and their poster, opened in this page with this phone's key, a few at a time
 * and once each. Kept in memory only. Source: docs/spec/sealed-clip.md "Close record", "Poster".
 */
import { openClip } from "./clip.js";
import { Corrupt, Refused, Unavailable } from "./errors.js";
import { exactly, list, oneOf, text, whole } from "./shape.js";
import { parseJson } from "./encoding.js";

/**
 * `poster` is the address of a picture in this page; null where the clip has none. `closed`: sealed to others, not to
 * this phone.
 * @typedef {{labels: string[], poster: string | null, closed: boolean}} Glimpse
 */

const AT_ONCE = 2;
const LABELS_LIMIT = 16;
const POSTER_LIMIT = 1024 * 1024;

const word = text(1, 32);
const about = exactly({
  format: oneOf("doorward.about.v1"),
  labels: list(
    (value, where) => {
      if (!/^[a-z]+$/.test(word(value, where))) throw new Corrupt(`${where} is not a label`);
      return word(value, where);
    },
    0,
    LABELS_LIMIT,
  ),
  motion: list(list(whole(-Number.MAX_SAFE_INTEGER), 2, 2), 0, 4096),
});

/**
 * What a clip's close record says it shows; nothing for a clip that was cut off.
 * @param {import("./clip.js").OpenedClip} clip
 * @returns {Promise<string[]>}
 */
export async function labelsOf(clip) {
  if (clip.track("about").length === 0) return [];
  const { labels } = about(parseJson(await clip.record("about", 0), "the close record"), "the close record");
  if (new Set(labels).size !== labels.length) throw new Corrupt("the close record says a label twice");
  return labels;
}

/**
 * @param {import("./clip.js").OpenedClip} clip
 * @returns {Promise<Blob | null>} a JPEG
 */
export async function posterOf(clip) {
  if (clip.track("picture").length === 0) return null;
  const data = await clip.record("picture", 0);
  const isJpeg = data[0] === 0xff && data[1] === 0xd8 && data[2] === 0xff;
  if (!isJpeg || data.length > POSTER_LIMIT) throw new Corrupt("the clip's poster is not a JPEG picture");
  return new Blob([data], { type: "image/jpeg" });
}

/** The glimpses of one session. */
export class Glimpses {
  #session;
  /** @type {Map<string, Promise<Glimpse | null>>} */
  #known = new Map();
  /** @type {(() => void)[]} */
  #waiting = [];
  #running = 0;

  /** @param {import("./api.js").Session} session */
  constructor(session) {
    this.#session = session;
  }

  /**
   * A clip's glimpse; null where it is not whole, or the doorbell is away. A clip asked for last is opened first:
   * it is what the screen shows now.
   * @param {string} clip id of a clip that has ended
   * @returns {Promise<Glimpse | null>}
   */
  of(clip) {
    const known = this.#known.get(clip);
    if (known) return known;
    const found = this.#turn().then(() => this.#open(clip));
    this.#known.set(clip, found);
    return found;
  }

  /** @returns {Promise<void>} */
  #turn() {
    if (this.#running < AT_ONCE) {
      this.#running++;
      return Promise.resolve();
    }
    return new Promise((go) => this.#waiting.push(go));
  }

  /**
   * @param {string} id
   * @returns {Promise<Glimpse | null>}
   */
  async #open(id) {
    try {
      const clip = await openClip(this.#session, id);
      const poster = await posterOf(clip);
      return { labels: await labelsOf(clip), poster: poster && URL.createObjectURL(poster), closed: false };
    } catch (error) {
      if (error instanceof Refused && error.reason === "not-for-you") return { labels: [], poster: null, closed: true };
      // Damaged or gone: playing it says which. A doorbell that is away is asked again.
      if (error instanceof Unavailable) this.#known.delete(id);
      else if (!(error instanceof Corrupt || error instanceof Refused)) throw error;
      return null;
    } finally {
      const next = this.#waiting.pop();
      if (next) next();
      else this.#running--;
    }
  }
}
