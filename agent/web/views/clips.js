/**
 * All clips, newest first, day by day; each day with a strip that shows when something happened. What a clip shows is
 * sealed in it: this page opens it for the clips that are looked at, and for all where a filter needs it.
 */
import { formatTime, parseTime } from "../encoding.js";
import { button, h, renew, trouble } from "../dom.js";
import { words } from "../errors.js";
import { clipList } from "../messages.js";
import { clock, count, day, duration, fullHour, labelled, uncertainty } from "../words.js";

/** @typedef {import("../messages.js").ClipSummary} ClipSummary */

const PAGE = 200;

const FILTERS = ["person", "vehicle", "animal", "ring"];

/**
 * @param {import("../main.js").App} app
 * @returns {Promise<import("../main.js").View>}
 */
export async function clipsView(app) {
  const list = h("div");
  const said = h("p", { class: "quiet", role: "status" });
  const hint = h(
    "p",
    { class: "quiet", hidden: true },
    "This phone cannot open clips from before it was let in. A phone that was there then, or the recovery code, opens them.",
  );
  /** @type {Map<string, Row>} */
  const rows = new Map();
  const watch = new IntersectionObserver(
    (entries) =>
      entries.forEach(({ target, isIntersecting }) => {
        if (isIntersecting)
          rows.get(target.id)?.show(app.glimpses).then((glimpse) => {
            if (glimpse?.closed) hint.hidden = false;
          });
      }),
    { rootMargin: "200px" },
  );
  let wanted = "";
  const sift = async () => {
    const label = wanted;
    let found = 0;
    said.textContent = label ? "Looking through your clips…" : "";
    for (const row of rows.values()) {
      row.node.hidden = label !== "" && !(await row.show(app.glimpses))?.labels.includes(label);
      if (label !== wanted) return;
      found += Number(!row.node.hidden);
    }
    for (const section of list.querySelectorAll("section")) {
      section.hidden = label !== "" && section.querySelector("li:not([hidden])") === null;
    }
    if (label) said.textContent = found === 0 ? `No clip shows this.` : `${count(found, "clip")} shown.`;
  };
  const choose = (/** @type {string} */ label) =>
    h(
      "button",
      {
        type: "button",
        class: "small",
        "aria-pressed": String(label === wanted),
        onclick: (/** @type {Event} */ event) => {
          wanted = label;
          for (const each of filters.children) each.setAttribute("aria-pressed", String(each === event.currentTarget));
          sift();
        },
      },
      label ? labelled(label) : "All",
    );
  const filters = h(
    "div",
    { class: "filters", role: "group", "aria-label": "Show clips with" },
    ...["", ...FILTERS].map(choose),
  );
  /** @type {ClipSummary[]} those before the newest, as far as they were asked for */
  let older = [];
  let listed = "";
  const read = async (/** @type {ClipSummary} */ before) => {
    // A moment later than the one it began: of two that began together neither is left out.
    const to = formatTime(parseTime(before.start) + 1n);
    return (await app.session.get(`/api/clips?to=${to}&limit=${PAGE}`, clipList)).clips;
  };
  const earlier = button(
    {},
    "Earlier clips",
    async () => {
      const last = older.at(-1) ?? newest.at(-1);
      if (!last) return;
      const found = await read(last);
      older.push(...found.filter(({ id }) => !rows.has(id)));
      ended = found.length < PAGE;
      show();
      if (wanted) await sift();
    },
    (error) => said.replaceChildren(trouble(words(error))),
  );
  /** @type {ClipSummary[]} */
  let newest = [];
  let ended = false;
  const fill = async () => {
    const { clips } = await app.session.get(`/api/clips?limit=${PAGE}`, clipList);
    const ids = new Set(clips.map(({ id }) => id));
    const last = clips.at(-1);
    if (clips.length < PAGE) [older, ended] = [[], true];
    else if (!newest.some(({ id }) => ids.has(id))) [older, ended] = [[], false]; // what came between is not known
    else if (last) {
      const gone = newest.filter(({ id, start }) => !ids.has(id) && parseTime(start) <= parseTime(last.start));
      older = [...gone, ...older];
    }
    newest = clips;
    if (JSON.stringify(newest) === listed) return;
    listed = JSON.stringify(newest);
    show();
    if (wanted) await sift();
  };
  const show = () => {
    const clips = [...new Map([...newest, ...older].map((clip) => [clip.id, clip])).values()];
    watch.disconnect();
    const before = new Map(rows);
    rows.clear();
    for (const clip of clips) {
      const known = before.get(clip.id);
      rows.set(clip.id, known?.is(clip) ? known : new Row(clip));
    }
    filters.hidden = clips.length === 0;
    earlier.hidden = ended;
    renew(list, () => [
      ...(clips.length === 0
        ? [
            h(
              "p",
              { class: "empty" },
              "No clips yet. When something moves at your door, it is recorded, locked with your key, and listed here.",
            ),
          ]
        : []),
      ...[...byDay(clips)].map(([name, found]) => daySection(name, found, rows)),
    ]);
    for (const row of rows.values()) watch.observe(row.node);
  };
  await fill();
  const update = async (/** @type {string} */ what) =>
    void ((what === "clips" || what === "everything") && (await fill()));
  return {
    node: h("section", {}, h("h1", {}, "Clips"), filters, said, hint, list, h("p", { class: "buttons" }, earlier)),
    title: "Clips",
    update,
    close: () => watch.disconnect(),
  };
}

/** @param {ClipSummary[]} clips */
function byDay(clips) {
  /** @type {Map<string, ClipSummary[]>} */
  const days = new Map();
  for (const clip of clips) days.set(day(clip.start), [...(days.get(day(clip.start)) ?? []), clip]);
  return days;
}

/**
 * @param {string} name
 * @param {ClipSummary[]} clips
 * @param {Map<string, Row>} rows
 */
function daySection(name, clips, rows) {
  return h(
    "section",
    { class: "day" },
    h("h2", {}, name),
    h("div", { class: "hours", "aria-hidden": "true" }, ...clips.map(hourMark), ...[6, 12, 18].map(hourLabel)),
    h("ul", { class: "rows" }, ...clips.map((clip) => rows.get(clip.id)?.node)),
  );
}

/** @param {number} hour */
function hourLabel(hour) {
  const label = h("span", { class: "hour" }, fullHour(hour));
  label.style.left = `${(100 * hour) / 24}%`;
  return label;
}

/** @param {ClipSummary} clip */
function hourMark(clip) {
  const date = new Date(Number(parseTime(clip.start) / 1_000_000n));
  const mark = h("span", { class: "mark" });
  mark.style.left = `${(100 * (date.getHours() * 60 + date.getMinutes())) / 1440}%`;
  mark.style.width = `${Math.max(0.4, (100 * lengthS(clip)) / 86400)}%`;
  return mark;
}

/** @param {ClipSummary} clip */
function lengthS(clip) {
  return Number(parseTime(clip.end) - parseTime(clip.start)) / 1e9;
}

/** A clip in the list; its picture and labels come when it is looked at. */
class Row {
  #clip;
  #picture = h("span", { class: "thumb" });
  #labels = h("span", { class: "marks" });
  #shown = false;

  /** @param {ClipSummary} clip */
  constructor(clip) {
    this.#clip = clip;
    const marks = [
      clip.state === "recording" && "recording now",
      clip.state === "cut" && "cut off: power or disk failed",
      clip.held && "kept for a request",
      uncertainty(clip),
    ];
    this.node = h(
      "li",
      { id: clip.id },
      h(
        "a",
        { class: "row clip-row", href: `#/clips/${clip.id}` },
        this.#picture,
        h(
          "span",
          { class: "said" },
          h("strong", {}, clock(clip.start)),
          h("span", { class: "quiet" }, duration(lengthS(clip))),
          h("span", { class: "marks" }, ...marks.flatMap((text) => (text ? [h("span", { class: "chip" }, text)] : []))),
          this.#labels,
        ),
      ),
    );
  }

  /**
   * Whether nothing of the clip has changed since.
   * @param {ClipSummary} clip
   */
  is(clip) {
    return JSON.stringify(clip) === JSON.stringify(this.#clip);
  }

  /**
   * @param {import("../glimpses.js").Glimpses} glimpses
   * @returns {Promise<import("../glimpses.js").Glimpse | null>} null for a clip that has none yet
   */
  async show(glimpses) {
    if (this.#clip.state === "recording") return null;
    const glimpse = await glimpses.of(this.#clip.id);
    if (!this.#shown && glimpse !== null) {
      this.#shown = true;
      this.#picture.replaceChildren(
        glimpse.poster ? h("img", { src: glimpse.poster, alt: "" }) : glimpse.closed ? "Not for this phone" : "No picture",
      );
      this.#labels.replaceChildren(...glimpse.labels.map((label) => h("span", { class: "chip" }, labelled(label))));
    }
    return glimpse;
  }
}
