/**
 * Plays a stretch of an opened clip in a <video>: records go into a media source as they are opened, from wherever the
 * viewer is. Where the browser has no media source, or its media source cannot play this film, a plain MP4 is made in
 * memory instead. Times are seconds of the clip. Source: W3C Media Source Extensions; docs/spec/fragment.md.
 */
import { Corrupt, Unavailable } from "./errors.js";
import { isKey } from "./clip.js";
import { codecOf, remux } from "./plain_mp4.js";
import { openSound, SOUND_TYPE, SoundFeed, soundWithin } from "./player_sound.js";

/** @typedef {import("./clip.js").OpenedClip} OpenedClip */
/** @typedef {import("./messages.js").RecordPlace} RecordPlace */

const AHEAD_S = 20;
const BEHIND_S = 10;
const INSIDE_S = 0.002; // a film's ticks are rounded: this far behind a boundary one is surely past it
const HOLE_S = 0.1;

/** @param {RecordPlace} place */
export const startS = (place) => place.start_ns / 1e9;
/** @param {RecordPlace} place */
export const endS = (place) => (place.start_ns + place.duration_ns) / 1e9;

/** @returns {typeof MediaSource | undefined} Safari on phones has the managed kind only */
function mediaSourceKind() {
  const scope = /** @type {any} */ (globalThis);
  return scope.ManagedMediaSource ?? scope.MediaSource;
}

/** One film in one <video>. Call `close` when it leaves the screen. */
export class Player {
  #stop = new AbortController();
  /** @type {MediaSource | null} */
  #source = null;
  /** @type {SourceBuffer | null} */
  #buffer = null;
  /** @type {SoundFeed | null} */
  #sound = null;
  #places;
  #next; // the record to append next
  #previous = 0; // the one appended last: others than its successor must begin with a key frame
  #zeroS = 0; // clip time of the <video>'s zero
  #wake = () => {};
  #url = "";
  /** @type {[number, number]} */
  #window;

  /**
   * @param {HTMLVideoElement} video
   * @param {OpenedClip} clip
   * @param {number} first a key record
   * @param {number} last
   * @param {(error: unknown) => void} onError
   */
  constructor(video, clip, first, last, onError) {
    this.video = video;
    this.clip = clip;
    this.first = first;
    this.last = last;
    this.#places = clip.track("video");
    this.#next = first;
    this.#window = [startS(this.#places[first]), endS(this.#places[last])];
    const [startNs, endNs] = this.#stretchNs();
    if (soundWithin(clip, startNs, endNs).length > 0) this.#sound = new SoundFeed(clip);
    this.#watch();
    this.#open().catch((error) => {
      if (!this.#stop.signal.aborted) onError(error);
    });
  }

  /** Where the viewer is. */
  get timeS() {
    return this.video.currentTime + this.#zeroS;
  }

  /** @param {number} timeS */
  seek(timeS) {
    this.video.currentTime = Math.max(0, timeS - this.#zeroS) + INSIDE_S;
  }

  /**
   * Play no more than this: playing begins at its beginning and stops at its end.
   * @param {number} fromS
   * @param {number} toS
   */
  limit(fromS, toS) {
    this.#window = [fromS, toS];
  }

  /** @returns {Promise<void>} */
  async play() {
    const [fromS, toS] = this.#window;
    if (this.timeS < fromS || this.timeS > toS - 0.15) this.seek(fromS);
    try {
      await this.video.play();
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "AbortError")) throw error; // paused again at once
    }
  }

  #stretchNs() {
    const last = this.#places[this.last];
    return [this.#places[this.first].start_ns, last.start_ns + last.duration_ns];
  }

  close() {
    this.#stop.abort();
    this.#wake();
    this.video.removeAttribute("src");
    this.video.load();
    URL.revokeObjectURL(this.#url);
  }

  #watch() {
    const { signal } = this.#stop;
    const on = (/** @type {string} */ name, /** @type {() => void} */ act) =>
      this.video.addEventListener(name, act, { signal });
    on("seeking", () => this.#follow());
    on("timeupdate", () => this.#wake());
    on("waiting", () => this.#crossHole());
    const stopAtEnd = () => {
      if (this.timeS >= this.#window[1] - INSIDE_S) this.video.pause();
      if (!this.video.paused && !signal.aborted) requestAnimationFrame(stopAtEnd);
    };
    on("play", () => requestAnimationFrame(stopAtEnd));
  }

  async #open() {
    const { signal } = this.#stop;
    const init = await this.clip.record("video", 0, signal);
    const Kind = mediaSourceKind();
    const type = `video/mp4; codecs="${codecOf(init)}"`;
    const [startNs, endNs] = this.#stretchNs();
    const heard = !this.#sound || (Kind?.isTypeSupported(SOUND_TYPE) && this.#sound.covers(startNs, endNs));
    if (!Kind?.isTypeSupported(type) || !heard) return this.#openWhole(init);
    try {
      await this.#attach(new Kind(), type);
      await this.#append(init);
      await this.#sound?.begin(signal);
      await this.#feed();
    } catch (error) {
      if (signal.aborted || this.video.error === null) throw error;
      await this.#openWhole(init); // WebKit's media source does not start films with B-frames; its file player does
    }
    return undefined;
  }

  /**
   * @param {MediaSource} source
   * @param {string} type
   */
  async #attach(source, type) {
    this.#source = source;
    this.video.disableRemotePlayback = true; // a managed media source opens only then
    this.#url = URL.createObjectURL(source);
    this.video.src = this.#url;
    await once(source, "sourceopen");
    this.#buffer = source.addSourceBuffer(type);
    this.#sound?.attach(source);
    source.duration = endS(this.#places[this.last]);
  }

  /** Append records from where the viewer is until the player is closed. */
  async #feed() {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      if (this.#next > this.last || this.#aheadS() > AHEAD_S) {
        if (this.#next > this.last && this.#source?.readyState === "open") this.#source.endOfStream();
        await new Promise((resolve) => (this.#wake = () => resolve(undefined)));
        continue;
      }
      if (this.#next !== this.#previous + 1) this.#next = this.#keyBefore(this.#next);
      const from = this.#next;
      for await (const { place, data } of this.clip.records("video", from, this.last, signal)) {
        if (this.#next !== place.index) break; // the viewer went elsewhere
        await this.#append(data);
        await this.#sound?.follow(place, signal);
        // A stretch need not begin at 0. WebKit cannot be sent to its beginning before something is there.
        if (place.index === this.first && this.video.currentTime < startS(place)) this.seek(startS(place));
        this.#previous = place.index;
        if (this.#next === place.index) this.#next++;
        this.#crossHole();
        if (this.#aheadS() > AHEAD_S) break;
      }
    }
  }

  /** @param {import("./encoding.js").Bytes} data */
  async #append(data) {
    const buffer = this.#buffer;
    if (!buffer) return;
    const old = this.video.currentTime - BEHIND_S;
    if (buffer.buffered.length && buffer.buffered.start(0) < old - BEHIND_S) await this.#forget(old);
    try {
      buffer.appendBuffer(data);
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "QuotaExceededError") || old <= 0) throw error;
      await this.#forget(old);
      buffer.appendBuffer(data);
    }
    await this.#settled();
  }

  /** @param {number} untilS */
  async #forget(untilS) {
    this.#buffer?.remove(0, untilS);
    await this.#settled();
    await this.#sound?.forget(untilS);
  }

  async #settled() {
    if (this.#buffer?.updating) await once(this.#buffer, "updateend");
    if (this.video.error) throw new Corrupt(`this browser cannot play the video: ${this.video.error.message}`);
  }

  /** The viewer has jumped: go on from there, unless it is there already. */
  #follow() {
    if (!this.#buffer) return;
    const [timeS, ahead] = [this.video.currentTime, this.#aheadS()];
    if (ahead > 0) {
      const after = this.#places.find(
        (place) => place.index >= this.first && startS(place) >= timeS + ahead - HOLE_S / 2,
      );
      this.#next = after ? Math.min(after.index, this.last + 1) : this.last + 1;
    } else {
      this.#next = this.#keyBefore(this.#at(timeS));
      this.#previous = 0;
    }
    this.#wake();
  }

  /** A media source waits for ever where the recording has a hole: go across. */
  #crossHole() {
    const timeS = this.video.currentTime;
    const i = this.#places.findLastIndex((place) => place.index > 0 && startS(place) <= timeS + HOLE_S);
    const [before, after] = [this.#places[i - 1], this.#places[i]];
    if (i > this.first && startS(after) > timeS + INSIDE_S && startS(after) - endS(before) > HOLE_S)
      this.seek(startS(after));
    const next = this.#places[i + 1];
    if (
      i >= this.first &&
      next &&
      i < this.last &&
      startS(next) - endS(after) > HOLE_S &&
      timeS > endS(after) - HOLE_S
    ) {
      this.seek(startS(next));
    }
  }

  /** How much is there without a hole from where the viewer is. */
  #aheadS() {
    const ranges = this.#buffer?.buffered;
    const timeS = this.video.currentTime;
    for (let i = 0; ranges && i < ranges.length; i++) {
      if (ranges.start(i) <= timeS + INSIDE_S && timeS < ranges.end(i)) return ranges.end(i) - timeS;
    }
    return 0;
  }

  /** @param {number} timeS */
  #at(timeS) {
    const found = this.#places.findLast((place) => place.index >= this.first && startS(place) <= timeS + INSIDE_S);
    return Math.min(found?.index ?? this.first, this.last);
  }

  /** @param {number} index */
  #keyBefore(index) {
    const found = this.#places.slice(this.first, index + 1).findLast(isKey);
    return found?.index ?? this.first;
  }

  /**
   * Without a media source: the whole stretch as one file in memory.
   * @param {import("./encoding.js").Bytes} init
   */
  async #openWhole(init) {
    const fragments = [];
    for await (const { data } of this.clip.records("video", this.first, this.last, this.#stop.signal))
      fragments.push(data);
    const [startNs, endNs] = this.#stretchNs();
    const sound = await openSound(this.clip, startNs, endNs, this.#stop.signal);
    this.#buffer = null;
    URL.revokeObjectURL(this.#url);
    this.#zeroS = startS(this.#places[this.first]);
    this.#url = URL.createObjectURL(new Blob(remux(init, fragments, sound), { type: "video/mp4" }));
    this.video.src = this.#url;
    await new Promise((resolve, reject) => {
      this.video.onloadeddata = resolve;
      this.video.onerror = () =>
        reject(new Unavailable("this browser cannot play this kind of video; download it instead"));
    });
    this.seek(this.#window[0]);
  }
}

/**
 * @param {EventTarget} target
 * @param {string} name
 * @returns {Promise<void>}
 */
function once(target, name) {
  return new Promise((resolve) => target.addEventListener(name, () => resolve(), { once: true }));
}
