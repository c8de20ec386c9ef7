/**
 * The sound beside a player's pictures: its records go into a buffer of their own, as those of the pictures are reached.
 * Source: W3C Media Source Extensions; docs/spec/fragment.md "Sound".
 */
import { range } from "./clip.js";

/** @typedef {import("./clip.js").OpenedClip} OpenedClip */
/** @typedef {import("./messages.js").RecordPlace} RecordPlace */

const HOLE_NS = 150_000_000; // a packet is at most 140 ms long
export const SOUND_TYPE = 'audio/mp4; codecs="mp4a.40.2"';

/**
 * The records of sound heard in a stretch of the clip; none if it has no sound there.
 * @param {OpenedClip} clip
 * @param {number} startNs
 * @param {number} endNs
 * @returns {RecordPlace[]}
 */
export function soundWithin(clip, startNs, endNs) {
  return clip
    .track("audio")
    .slice(1)
    .filter((place) => place.start_ns < endNs && place.start_ns + place.duration_ns > startNs);
}

/**
 * Init segment and fragments of the sound of a stretch, opened; null if there is none.
 * @param {OpenedClip} clip
 * @param {number} startNs
 * @param {number} endNs
 * @param {AbortSignal} [signal]
 */
export async function openSound(clip, startNs, endNs, signal) {
  const places = soundWithin(clip, startNs, endNs);
  if (places.length === 0) return null;
  const init = await clip.record("audio", 0, signal);
  const fragments = [];
  for await (const { data } of clip.records("audio", places[0].index, places[places.length - 1].index, signal)) {
    fragments.push(data);
  }
  return { init, fragments };
}

export class SoundFeed {
  #clip;
  /** @type {SourceBuffer | null} */
  #buffer = null;
  #last = 0; // the record appended last

  /** @param {OpenedClip} clip */
  constructor(clip) {
    this.#clip = clip;
  }

  /**
   * Whether there is sound all through a stretch: a media source waits for ever where one of two tracks has a hole.
   * @param {number} startNs
   * @param {number} endNs
   */
  covers(startNs, endNs) {
    let reached = startNs;
    for (const place of soundWithin(this.#clip, startNs, endNs)) {
      if (place.start_ns - reached > HOLE_NS) return false;
      reached = place.start_ns + place.duration_ns;
    }
    return reached > startNs; // at the end of a stream less sound than pictures holds nothing up
  }

  /** @param {MediaSource} source */
  attach(source) {
    this.#buffer = source.addSourceBuffer(SOUND_TYPE);
  }

  /** @param {AbortSignal} signal */
  async begin(signal) {
    await this.#append(await this.#clip.record("audio", 0, signal));
  }

  /**
   * Pictures were appended: now what is heard with them.
   * @param {RecordPlace} place
   * @param {AbortSignal} signal
   */
  async follow(place, signal) {
    const heard = soundWithin(this.#clip, place.start_ns, place.start_ns + place.duration_ns);
    if (heard.length === 0) return;
    for (const index of range(heard[0].index, heard[heard.length - 1].index)) {
      if (index === this.#last) continue;
      await this.#append(await this.#clip.record("audio", index, signal));
      this.#last = index;
    }
  }

  /** @param {number} untilS */
  async forget(untilS) {
    if (!this.#buffer) return;
    this.#buffer.remove(0, untilS);
    await this.#settled();
  }

  /** @param {import("./encoding.js").Bytes} data */
  async #append(data) {
    this.#buffer?.appendBuffer(data);
    await this.#settled();
  }

  async #settled() {
    const buffer = this.#buffer;
    if (buffer?.updating) await new Promise((resolve) => buffer.addEventListener("updateend", resolve, { once: true }));
  }
}
