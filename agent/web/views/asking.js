/** Settings: who may ask, and when and what somebody may ask. Rules only ever say no. Source: docs/spec/request.md. */
import { button, facts, h, trouble } from "../dom.js";
import { seeDirectory } from "../directory.js";
import { formatTime } from "../encoding.js";
import { words } from "../errors.js";
import { settingsAnswer } from "../messages.js";
import { LACKING, count, grouped, moment } from "../words.js";
import { directoryChanged } from "./directory.js";

/** @typedef {import("../messages.js").SettingsAnswer} SettingsAnswer */
/** @typedef {(change: object) => Promise<void>} Change */

const DAY_MS = 86_400_000;
const LENGTHS = [60, 120, 240, 480];

/**
 * @param {import("../main.js").App} app
 * @returns {Promise<HTMLElement>}
 */
export async function askingSection(app) {
  const node = h("div");
  const said = h("p", { class: "hint", role: "status" });
  /** @param {SettingsAnswer} answer */
  const fill = async (answer) => {
    const seen = answer.directory ? await seeDirectory(app) : null;
    node.replaceChildren(...parts(app, answer, seen, change, failed), said);
  };
  const failed = (/** @type {unknown} */ error) => (said.textContent = words(error));
  /** @type {Change} */
  const change = async (wanted) => {
    await fill(await app.session.post("/api/settings", { change: wanted }, settingsAnswer));
    said.textContent = "Saved.";
  };
  await fill(await app.session.get("/api/settings", settingsAnswer));
  return node;
}

/**
 * @param {import("../main.js").App} app
 * @param {SettingsAnswer} answer
 * @param {import("../directory.js").SeenDirectory | null} seen
 * @param {Change} change
 * @param {(error: unknown) => void} failed
 */
function parts(app, answer, seen, change, failed) {
  const { settings, directory } = answer;
  const act = (/** @type {string} */ label, /** @type {object} */ wanted, kind = "") =>
    button({ class: kind }, label, () => change(wanted), failed);
  const later = () => formatTime(BigInt(Math.round(app.nowMs() + DAY_MS)) * 1_000_000n);
  return [
    h("h2", {}, "Requests"),
    settings.paused
      ? h(
          "p",
          { class: "note" },
          `Paused${settings.paused.until ? ` until ${moment(settings.paused.until)}` : ""}. Nobody can ask you anything, and nobody is told.`,
        )
      : h("p", { class: "quiet" }, "Whatever you set here, nobody outside can tell it from silence."),
    h(
      "p",
      { class: "buttons equal" },
      ...(settings.paused
        ? [act("Let requests in again", { do: "resume" })]
        : [
            button({}, "Pause for a day", () => change({ do: "pause", until: later() }), failed),
            act("Pause until I resume", { do: "pause", until: null }),
          ]),
    ),
    h("h3", { class: "apart" }, "Who may ask you"),
    people(answer, act),
    seen &&
      facts(
        ["Directory", `${seen.name}, version ${seen.version}, ${count(seen.requesters.length, "requester")}`],
        [directory?.expired ? "Ran out" : "Good until", moment(seen.expires)],
        ["Its key", h("span", { class: "kid" }, grouped(seen.key))],
        seen.since !== null && ["Known", `to this phone since ${moment(seen.since)}`],
      ),
    seen &&
      h("p", { class: "quiet" }, "Compare the key with the one its keeper has made known. This phone tells you if it ever changes."),
    ...directoryChanged(seen),
    directory?.expired ? trouble("The directory has run out: nobody in it can ask you until it is renewed.") : null,
    h("h3", { class: "apart" }, "Quiet hours"),
    quietForm(settings.quiet, change, failed),
    h("h3", { class: "apart" }, "Decline without asking me"),
    rulesForm(settings.decline, change, failed),
  ].filter((part) => part !== null);
}

/**
 * @param {SettingsAnswer} answer
 * @param {(label: string, wanted: object, kind?: string) => HTMLButtonElement} act
 */
function people({ settings, requesters }, act) {
  const blocked = new Set(settings.blocked.map(({ id }) => id));
  const gone = settings.blocked.filter(({ id }) => !requesters.some((known) => known.id === id));
  const rows = [...requesters, ...gone].map(({ id, agency }) =>
    h(
      "li",
      { class: "row" },
      h("strong", {}, agency),
      blocked.has(id) && h("span", { class: "chip" }, "Blocked"),
      h(
        "span",
        { class: "marks" },
        act(blocked.has(id) ? "Unblock" : "Block", { do: blocked.has(id) ? "unblock" : "block", requester: id }, "small"),
      ),
      h("span", { class: "kid" }, grouped(id)),
    ),
  );
  return rows.length > 0
    ? h("ul", { class: "rows" }, ...rows)
    : h("p", { class: "quiet" }, "Nobody: no requester is set up on the doorbell.");
}

/**
 * @param {SettingsAnswer["settings"]["quiet"]} hours
 * @param {Change} change
 * @param {(error: unknown) => void} failed
 */
function quietForm(hours, change, failed) {
  const start = h("input", { type: "time", required: true, value: hours?.start ?? "22:00" });
  const end = h("input", { type: "time", required: true, value: hours?.end ?? "07:00" });
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const set = () => change({ do: "quiet", hours: { start: start.value, end: end.value, zone: here } });
  return h(
    "div",
    {},
    h(
      "p",
      { class: "quiet" },
      hours
        ? `On (${hours.zone}). What comes in these hours waits, and you are asked when they end.`
        : "Off. What comes in quiet hours waits, and you are asked when they end.",
    ),
    h("p", { class: "times" }, h("label", {}, "From ", start), h("label", {}, "to ", end)),
    h(
      "p",
      { class: "buttons" },
      button({}, hours ? "Change" : "Turn on", set, failed),
      hours && button({}, "Turn off", () => change({ do: "quiet", hours: null }), failed),
    ),
  );
}

/**
 * @param {SettingsAnswer["settings"]["decline"]} rules
 * @param {Change} change
 * @param {(error: unknown) => void} failed
 */
function rulesForm(rules, change, failed) {
  const incidents = h("input", { value: rules.incidents.join(", "), placeholder: "noise, parking", maxlength: 2000 });
  const now = rules.longer_than_min;
  const lengths = now === null || LENGTHS.includes(now) ? LENGTHS : [...LENGTHS, now];
  const longer = h(
    "select",
    {},
    h("option", { value: "" }, "any time (up to 12 hours)"),
    ...lengths.map((minutes) =>
      h("option", { value: minutes, selected: minutes === now }, minutes % 60 ? `${minutes} minutes` : count(minutes / 60, "hour")),
    ),
  );
  const boxes = Object.entries(LACKING).map(([name, label]) => ({
    name,
    label,
    box: h("input", { type: "checkbox", checked: rules.lacking.includes(name) }),
  }));
  const save = () =>
    change({
      do: "decline",
      rules: {
        incidents: incidents.value
          .split(",")
          .map((word) => word.trim())
          .filter(Boolean),
        longer_than_min: longer.value ? Number(longer.value) : null,
        lacking: boxes.filter(({ box }) => box.checked).map(({ name }) => name),
      },
    });
  return h(
    "div",
    {},
    h("p", { class: "quiet" }, "These say no for you, and the log tells you so. Nothing ever says yes for you."),
    h("label", {}, "Kinds of incident with one of these words (a comma between them)", incidents),
    h("label", {}, "Requests about more than", longer),
    h("p", {}, "Requests that leave out"),
    ...boxes.map(({ box, label }) => h("label", { class: "include" }, box, label)),
    h("p", { class: "buttons" }, button({}, "Save these rules", save, failed)),
  );
}
