/**
 * One clip offered for sharing: a preview of exactly what would be shared, trimmed to whole records, and a box to tick.
 */
import { openClip, isKey } from "../clip.js";
import { recordsFor, soundOf } from "../decision.js";
import { button, h, trouble } from "../dom.js";
import { Unavailable, words } from "../errors.js";
import { endS, Player, startS } from "../player.js";
import { clock, clockExact, day, duration, uncertainty } from "../words.js";

/** @typedef {import("../messages.js").RecordPlace} RecordPlace */

export class Offer {
  /** @type {import("../clip.js").OpenedClip | null} */
  #clip = null;
  /** @type {Player | null} */
  #player = null;
  /** @type {RecordPlace[]} */
  #places = [];
  #allowed = { first: 0, last: 0 };
  #first = 0;
  #last = 0;
  #closed = false;
  #app;
  #checked;
  #onChange;
  #seen;
  #include = h("input", { type: "checkbox" });
  #sound = h("input", { type: "checkbox" });
  #video = h("video", { playsinline: true, preload: "auto", tabindex: "-1" });
  #body = h("div", {}, h("p", { class: "quiet" }, "Opening…"));
  #words = h("p", { class: "cut", "aria-live": "polite" });
  #strip = h("div", { class: "strip", "aria-hidden": "true" });
  #mark = h("span", { class: "mark" });
  #playhead = h("span", { class: "playhead" });
  /** Whether this phone cannot open it, now or later. */
  refused = false;
  /** Whether the owner has played it. */
  watched = false;

  /**
   * @param {import("../main.js").App} app
   * @param {import("../messages.js").ClipSummary} summary
   * @param {import("../request.js").CheckedRequest} checked
   * @param {() => void} onChange
   */
  constructor(app, summary, checked, onChange) {
    this.#app = app;
    this.#checked = checked;
    this.#onChange = onChange;
    this.summary = summary;
    const heading = h("h3", { id: `clip-${summary.id}` }, `${day(summary.start)}, ${clock(summary.start)}`);
    this.node = h("section", { class: "offer", "aria-labelledby": heading.id }, heading, this.#body);
    const doubt = uncertainty(summary);
    if (doubt) heading.after(h("p", { class: "chip" }, `The ${doubt}.`));
    this.#include.setAttribute("aria-describedby", heading.id);
    this.#seen = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this.#begin(), {
      rootMargin: "400px",
    });
    this.#seen.observe(this.node);
  }

  /** Whether anything of it can be shared. */
  get usable() {
    return this.#clip !== null && this.#last > 0;
  }

  /** What would be shared of it, if it is included. */
  get choice() {
    return this.#clip && this.#last > 0 && this.#include.checked
      ? { clip: this.#clip, first: this.#first, last: this.#last, sound: this.#sound.checked ? this.#heard : null }
      : null;
  }

  /** The sound that belongs to what is chosen, whether it is put in or not. */
  get #heard() {
    return this.#clip && soundOf(this.#clip, this.#first, this.#last, this.#checked);
  }

  /** UTC of the first and the last moment shared, ns. */
  get spanNs() {
    const zero = this.#clip?.startNs ?? 0n;
    const last = this.#places[this.#last];
    return [zero + BigInt(this.#places[this.#first].start_ns), zero + BigInt(last.start_ns + last.duration_ns)];
  }

  focus() {
    this.#include.focus();
  }

  close() {
    this.#closed = true;
    this.#seen.disconnect();
    this.#player?.close();
  }

  async #begin() {
    this.#seen.disconnect();
    try {
      const clip = await openClip(this.#app.session, this.summary.id);
      if (this.#closed) return;
      this.#places = clip.track("video");
      const { fromNs, toNs } = this.#checked;
      const allowed = recordsFor(this.#places, fromNs - clip.latestNs, toNs - clip.earliestNs);
      if (!allowed) {
        this.#body.replaceChildren(h("p", { class: "quiet" }, "No video of this clip lies in the time asked about."));
        return;
      }
      this.#clip = clip;
      this.#allowed = allowed;
      [this.#first, this.#last] = [allowed.first, allowed.last];
      this.#show();
      this.#player = new Player(this.#video, clip, allowed.first, allowed.last, (error) => this.#fail(error));
      this.#retell();
    } catch (error) {
      const again = button({ class: "small" }, "Try again", () => this.#begin(), (e) => this.#fail(e));
      if (this.#clip) this.#fail(error);
      else this.#body.replaceChildren(trouble(words(error)), ...(error instanceof Unavailable ? [again] : []));
      this.refused = !(error instanceof Unavailable);
    }
    this.#onChange();
  }

  /** @param {unknown} error */
  #fail(error) {
    this.#body.append(trouble(words(error)));
  }

  #show() {
    const play = h("button", { type: "button", class: "play" }, "Play");
    const at = h("span", { class: "at" }, clock(this.spanNs[0]));
    play.addEventListener("click", () => {
      if (this.#video.paused) this.#player?.play().catch((error) => this.#fail(error));
      else this.#video.pause();
    });
    const relabel = () => (play.textContent = this.#video.paused ? "Play" : "Pause");
    for (const name of ["play", "pause", "ended"]) this.#video.addEventListener(name, relabel);
    this.#video.addEventListener("playing", () => (this.watched = true));
    this.#video.addEventListener("click", () => play.click());
    this.#video.addEventListener("timeupdate", () => {
      const timeS = this.#player?.timeS ?? 0;
      at.textContent = clock((this.#clip?.startNs ?? 0n) + BigInt(Math.round(timeS * 1e9)));
      this.#playhead.style.left = `${100 * this.#share(timeS)}%`;
    });
    this.#include.addEventListener("change", this.#onChange);
    this.#sound.addEventListener("change", () => this.#retell());
    this.#strip.append(this.#mark, ...this.#motionMarks(), this.#playhead);
    this.#body.replaceChildren(
      h("div", { class: "screen" }, this.#video),
      h("div", { class: "controls" }, play, at),
      this.#strip,
      h(
        "fieldset",
        { class: "trim" },
        h("legend", {}, "Trim"),
        this.#fromSlider(),
        this.#toSlider(),
        button(
          { class: "small" },
          "All that was asked for",
          () => this.#setAll(),
          (error) => this.#fail(error),
        ),
      ),
      this.#words,
      ...((this.#clip?.track("audio").length ?? 0) > 1
        ? [h("label", { class: "include" }, this.#sound, h("span", {}, "Put its sound in, too (you hear it then)"))]
        : []),
      h("label", { class: "include" }, this.#include, h("span", {}, "Include this clip")),
    );
  }

  #from = h("input", { type: "range", min: 0, step: 1, "aria-label": "Begin" });
  #to = h("input", { type: "range", min: 0, step: 1, "aria-label": "End" });
  #fromText = h("output");
  #toText = h("output");

  /** Playing can begin only at a whole picture: the slider steps over those. */
  #fromSlider() {
    const keys = this.#places.slice(this.#allowed.first, this.#allowed.last + 1).filter(isKey);
    this.#from.max = String(keys.length - 1);
    this.#from.value = "0";
    this.#from.disabled = keys.length < 2;
    this.#from.addEventListener("input", () => {
      this.#first = keys[Number(this.#from.value)].index;
      if (this.#last < this.#first) this.#last = this.#first;
      this.#retell();
      this.#player?.seek(startS(this.#places[this.#first]));
    });
    return h("label", {}, h("span", {}, "Begin"), this.#from, this.#fromText);
  }

  #toSlider() {
    const { first, last } = this.#allowed;
    this.#to.max = String(last - first);
    this.#to.value = String(last - first);
    this.#to.disabled = last === first;
    this.#to.addEventListener("input", () => {
      this.#last = Math.max(this.#first, first + Number(this.#to.value));
      this.#retell();
      this.#player?.seek(Math.max(startS(this.#places[this.#last]), endS(this.#places[this.#last]) - 0.1));
    });
    return h("label", {}, h("span", {}, "End"), this.#to, this.#toText);
  }

  #setAll() {
    [this.#first, this.#last] = [this.#allowed.first, this.#allowed.last];
    this.#from.value = "0";
    this.#to.value = this.#to.max;
    this.#retell();
    this.#player?.seek(startS(this.#places[this.#first]));
  }

  /** Everything that says what is chosen, after it changed. */
  #retell() {
    const [fromNs, toNs] = this.spanNs;
    const [fromS, toS] = [startS(this.#places[this.#first]), endS(this.#places[this.#last])];
    this.#to.value = String(this.#last - this.#allowed.first);
    this.#player?.limit(fromS, toS);
    this.#fromText.textContent = clock(fromNs);
    this.#toText.textContent = clock(toNs);
    this.#from.setAttribute("aria-valuetext", clock(fromNs));
    this.#to.setAttribute("aria-valuetext", clock(toNs));
    this.#mark.style.left = `${100 * this.#share(fromS)}%`;
    this.#mark.style.width = `${100 * (this.#share(toS) - this.#share(fromS))}%`;
    const sound = this.#sound.checked && this.#heard !== null;
    this.#video.muted = !sound; // what is heard here is what would be shared
    const early = Number(this.#checked.fromNs - fromNs) / 1e9;
    this.#words.replaceChildren(
      h("strong", {}, `${clockExact(fromNs)} – ${clockExact(toNs)}`),
      `, ${duration(toS - fromS)}, ${sound ? "with its sound" : "without sound"}.`,
      ...(early > 0.05
        ? [
            h(
              "span",
              { class: "quiet" },
              ` Begins ${duration(early)} before the time asked about, because video can begin only at a whole picture.`,
            ),
          ]
        : []),
    );
    this.#onChange();
  }

  /** Where a moment lies on the strip, 0 to 1. @param {number} timeS */
  #share(timeS) {
    const [from, to] = [startS(this.#places[this.#allowed.first]), endS(this.#places[this.#allowed.last])];
    return Math.min(1, Math.max(0, (timeS - from) / (to - from)));
  }

  #motionMarks() {
    return (this.#clip?.manifest.motion ?? []).map(([start, end]) => {
      const mark = h("span", { class: "motion" });
      mark.style.left = `${100 * this.#share(start / 1e9)}%`;
      mark.style.width = `${100 * (this.#share(end / 1e9) - this.#share(start / 1e9))}%`;
      return mark;
    });
  }
}
