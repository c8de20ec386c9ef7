/** All clips, newest first, day by day; each day with a strip that shows when something happened. */
import { parseTime } from "../encoding.js";
import { h } from "../dom.js";
import { clipList } from "../messages.js";
import { clock, day, duration, fullHour } from "../words.js";

/** @typedef {import("../messages.js").ClipSummary} ClipSummary */

const PAGE = 200;

/**
 * @param {import("../main.js").App} app
 * @returns {Promise<import("../main.js").View>}
 */
export async function clipsView(app) {
  const list = h("div");
  const fill = async () => {
    const { clips } = await app.session.get(`/api/clips?limit=${PAGE}`, clipList);
    list.replaceChildren(
      ...(clips.length === 0
        ? [
            h(
              "p",
              { class: "empty" },
              "No clips yet. When something moves at your door, it is recorded, locked with your key, and listed here.",
            ),
          ]
        : []),
      ...[...byDay(clips)].map(([name, found]) => daySection(name, found)),
      ...(clips.length === PAGE ? [h("p", { class: "quiet" }, `The newest ${PAGE} clips are shown.`)] : []),
    );
  };
  await fill();
  const update = async (/** @type {string} */ what) =>
    void ((what === "clips" || what === "everything") && (await fill()));
  return { node: h("section", {}, h("h1", {}, "Clips"), list), title: "Clips", update };
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
 */
function daySection(name, clips) {
  return h(
    "section",
    { class: "day" },
    h("h2", {}, name),
    h("div", { class: "hours", "aria-hidden": "true" }, ...clips.map(hourMark), ...[6, 12, 18].map(hourLabel)),
    h("ul", { class: "rows" }, ...clips.map(row)),
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

/** @param {ClipSummary} clip */
function row(clip) {
  const marks = [
    clip.state === "recording" && "recording now",
    clip.state === "cut" && "cut off: power or disk failed",
    clip.held && "kept for a request",
    clip.time_trust === "provisional" && "time uncertain",
    ...(clip.labels ?? []),
  ];
  return h(
    "li",
    {},
    h(
      "a",
      { class: "row", href: `#/clips/${clip.id}` },
      h("strong", {}, clock(clip.start)),
      h("span", { class: "quiet" }, duration(lengthS(clip))),
      h("span", { class: "marks" }, ...marks.flatMap((text) => (text ? [h("span", { class: "chip" }, text)] : []))),
    ),
  );
}
