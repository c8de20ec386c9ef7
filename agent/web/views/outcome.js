/**
 * What became of a request: the time to take a yes back, sending, the receipt; or a plain sentence where nothing was
 * shared. Says “nothing has left your home” exactly as long as it is true.
 */
import { parseTime } from "../encoding.js";
import { readDecision } from "../decision.js";
import { back, button, facts, h, quoted, trouble } from "../dom.js";
import { Corrupt, Refused, words } from "../errors.js";
import { clipDetail, requestRow } from "../messages.js";
import { checkReceipt } from "../request.js";
import { bytes, clockExact, day, duration, grouped, moment, rule, span } from "../words.js";

/** @typedef {import("../main.js").App} App */
/** @typedef {import("../messages.js").RequestDetail} RequestDetail */
/** @typedef {import("../request.js").CheckedRequest} CheckedRequest */

/**
 * @param {App} app
 * @param {RequestDetail} detail
 * @param {CheckedRequest} checked
 */
export async function outcomeView(app, detail, checked) {
  const stop = new AbortController();
  const problems = h("div");
  const step = (/** @type {string} */ name) => async () => {
    await app.session.post(`/api/requests/${detail.row.id}/${name}`, {}, requestRow);
    await app.reload();
  };
  const act = (/** @type {string} */ name, /** @type {string} */ label, kind = "") =>
    button({ class: kind }, label, step(name), (error) => problems.replaceChildren(trouble(words(error))));
  const stage = await STAGES[detail.row.state]({ app, detail, checked, act, signal: stop.signal });
  const shared = detail.decision === null ? null : await whatWasShared(app, detail, checked, detail.decision);
  const node = h(
    "article",
    { class: "outcome" },
    back("#/requests", "Requests"),
    ...stage.nodes,
    problems,
    shared,
    h("h2", {}, "The request"),
    facts(
      ["From", checked.said.requester.agency],
      ["What", checked.said.incident_type],
      ["Case", checked.said.case_number],
      ["Time", span(checked.said.from, checked.said.to)],
      ["Signed with", h("span", { class: "kid" }, grouped(checked.requester.id))],
    ),
    quoted(checked.said.message),
  );
  const refresh = async (/** @type {RequestDetail} */ fresh) => stage.refresh?.(fresh);
  return { node, title: checked.said.requester.agency, close: () => stop.abort(), refresh };
}

/**
 * @typedef {{app: App, detail: RequestDetail, checked: CheckedRequest, signal: AbortSignal,
 *            act: (name: string, label: string, kind?: string) => HTMLButtonElement}} Scene
 */
/** @typedef {{nodes: HTMLElement[], refresh?: (detail: RequestDetail) => void}} Stage */

/** @type {Record<import("../messages.js").RequestRow["state"], (scene: Scene) => Stage | Promise<Stage>>} */
const STAGES = {
  asked: () => ({ nodes: [h("h1", {}, "Waiting for your answer")] }),
  agreed,
  held: ({ act, checked }) => ({
    nodes: [
      h("h1", {}, "On hold"),
      h("p", { class: "good" }, "Nothing has left your home."),
      h("p", {}, `Take your time. ${checked.said.requester.agency} knows nothing of your yes yet.`),
      h("p", { class: "buttons equal" }, act("undo", "Take it back"), act("resume", "Let it go on")),
    ],
  }),
  sending,
  delivered,
  declined: ({ detail }) =>
    plain(
      "You shared nothing",
      `${detail.row.declined_by ? rule(detail.row.declined_by) + " " : ""}Nothing was sent, and they were not told. To them it looks as if there had been no video.`,
    ),
  expired: () =>
    plain("This request has run out", "You did not answer, and nothing was sent. They were not told anything."),
  stopped: ({ detail }) =>
    plain(
      "You stopped it",
      detail.row.sent_bytes > 0
        ? `${bytes(detail.row.sent_bytes)} had been sent before you stopped. What had not been sent stays here.`
        : "No video had been sent. They may have learnt that you had said yes.",
    ),
  withdrawn: ({ detail }) =>
    plain(
      "They took this request back",
      detail.row.sent_bytes > 0
        ? `${bytes(detail.row.sent_bytes)} had been sent before. What had not been sent stays here.`
        : "There is nothing to answer any more. No video was sent, whatever you had said.",
    ),
  lapsed: ({ detail }) =>
    plain(
      "They did not fetch it in time",
      detail.row.sent_bytes > 0
        ? `${bytes(detail.row.sent_bytes)} had been sent; the rest stays here.`
        : "No video was sent. They may have learnt that you had said yes.",
    ),
};

/**
 * @param {string} title
 * @param {string} text
 * @returns {Stage}
 */
function plain(title, text) {
  return { nodes: [h("h1", {}, title), h("p", {}, text)] };
}

/** @param {Scene} scene */
function agreed({ app, detail, act, signal, checked }) {
  const until = Number(parseTime(detail.row.undo_until ?? detail.row.received) / 1_000_000n);
  const whole = Math.max((until - app.nowMs()) / 1000, app.status.undo_s, 1);
  const seconds = h("strong", { class: "seconds" });
  const ring = h("progress", { class: "countdown", max: whole, "aria-hidden": "true" });
  const text = h("p", { role: "timer" }, `Sending to ${checked.said.requester.agency} begins in `, seconds, ".");
  const safe = h("p", { class: "good" }, "Nothing has left your home yet.");
  let spoken = Infinity;
  const tick = () => {
    const left = Math.max(0, (until - app.nowMs()) / 1000);
    if (left === 0) {
      // From here on only the doorbell knows; it says so at once, unless it cannot be heard.
      safe.hidden = true;
      text.replaceChildren("The time to take it back is over. Asking the doorbell how far it is…");
      clearInterval(timer);
      const again = setTimeout(() => app.reload(), 2000);
      signal.addEventListener("abort", () => clearTimeout(again));
    }
    seconds.textContent = duration(Math.ceil(left));
    ring.value = left;
    for (const mark of [20, 10, 5]) {
      if (left <= mark && spoken > mark) {
        if (spoken !== Infinity) app.announce(`Sending begins in ${mark} seconds`);
        spoken = mark;
      }
    }
    if (spoken === Infinity) spoken = left;
  };
  const timer = setInterval(tick, 250);
  tick();
  signal.addEventListener("abort", () => clearInterval(timer));
  return {
    nodes: [
      h("h1", {}, "You said yes"),
      safe,
      text,
      ring,
      h("p", { class: "buttons equal" }, act("undo", "Take it back"), act("hold", "Hold")),
    ],
  };
}

/** @param {Scene} scene */
function sending({ detail, act, checked }) {
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Sent so far" });
  const text = h("p", {});
  const refresh = (/** @type {RequestDetail} */ { row }) => {
    bar.value = row.total_bytes > 0 ? row.sent_bytes / row.total_bytes : 0;
    text.textContent =
      row.sent_bytes === 0
        ? `Offered to ${checked.said.requester.agency}. It goes out when they fetch it.`
        : `${bytes(row.sent_bytes)} of ${bytes(row.total_bytes)} sent.`;
  };
  refresh(detail);
  return {
    nodes: [h("h1", {}, "Being sent"), text, bar, h("p", { class: "buttons" }, act("stop", "Stop what is left"))],
    refresh,
  };
}

/** @param {Scene} scene */
async function delivered({ detail, checked }) {
  const { agency, contact } = checked.said.requester;
  const copied = h("span", { role: "status", class: "quiet" });
  const message = `Case ${checked.said.case_number}: please delete the doorbell video I shared with you, and confirm that you have.`;
  const ask = h("button", { type: "button" }, "Copy a message asking them to delete it");
  ask.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(message);
      copied.textContent = " Copied.";
    } catch {
      copied.textContent = ` Copying is not allowed here. The message: ${message}`;
    }
  });
  return {
    nodes: [
      h("h1", {}, "Delivered"),
      await proof(detail, checked),
      h("p", {}, `${agency} has a copy now. You can ask them to delete it; we cannot make them.`),
      contact
        ? h("p", { class: "quiet" }, "They gave this contact, which nobody has checked: ", contact)
        : h("p", { class: "quiet" }, "They gave no contact."),
      h("p", {}, ask, copied),
    ],
  };
}

/**
 * The receipt, verified here.
 * @param {RequestDetail} detail
 * @param {CheckedRequest} checked
 */
async function proof(detail, checked) {
  try {
    if (detail.receipt === null || detail.decision === null)
      throw new Corrupt("the doorbell keeps no receipt for this");
    const said = await checkReceipt(detail.receipt, checked, detail.decision);
    return h(
      "p",
      { class: "good" },
      `✓ Receipt: they signed that everything arrived, ${moment(said.received)}, ${bytes(said.bytes)}.`,
    );
  } catch (error) {
    if (!(error instanceof Corrupt || error instanceof Refused)) throw error;
    return trouble(`The receipt does not check out: ${error.message}`);
  }
}

/**
 * @param {App} app
 * @param {RequestDetail} detail
 * @param {CheckedRequest} checked
 * @param {string} statement
 */
async function whatWasShared(app, detail, checked, statement) {
  let decision;
  try {
    decision = await readDecision(statement, app.session.doorbell, checked.hash);
  } catch (error) {
    if (!(error instanceof Corrupt || error instanceof Refused)) throw error;
    return trouble(`The decision kept by the doorbell does not check out: ${error.message}`);
  }
  if (decision.answer === "decline") return null;
  const heard = decision.clips.filter(({ tracks }) => tracks.length > 1).length;
  const items = await Promise.all(decision.clips.map((clip) => sharedSeconds(app, detail, clip, heard > 0)));
  return h(
    "div",
    {},
    h("h2", {}, detail.row.state === "delivered" ? "What you shared" : "What you agreed to share"),
    h("ul", { class: "plain" }, ...items),
    facts(
      ["Decided", moment(decision.issued)],
      ["Sound", heard === 0 ? "left out" : heard === decision.clips.length ? "included" : "included where it says so above"],
      ["Locked to key", h("span", { class: "kid" }, grouped(decision.key))],
    ),
  );
}

/**
 * The exact seconds of one shared clip, as long as the doorbell still has it.
 * @param {App} app
 * @param {RequestDetail} detail
 * @param {import("../decision.js").Decision["clips"][number]} shared
 * @param {boolean} sound whether to say if its sound is in it
 */
async function sharedSeconds(app, detail, shared, sound) {
  const video = shared.tracks.find(({ track }) => track === "video");
  const summary = detail.clips.find(({ id }) => id === shared.clip);
  if (!summary || !video) return h("li", {}, "A clip that has since been deleted here");
  const places = (await app.session.get(`/api/clips/${shared.clip}`, clipDetail)).records.filter(
    ({ track }) => track === "video",
  );
  const zero = parseTime(summary.start);
  const [first, last] = [places[video.first], places[video.last]];
  const [from, to] = [zero + BigInt(first.start_ns), zero + BigInt(last.start_ns + last.duration_ns)];
  return h(
    "li",
    {},
    h("strong", {}, `${clockExact(from)} – ${clockExact(to)}`),
    ` (${duration(Number(to - from) / 1e9)}), ${day(from)}`,
    sound && (shared.tracks.length > 1 ? ", with its sound" : ", without sound"),
  );
}
