/**
 * The last look before an answer: exact seconds, sound, whose key. Every record is fetched, checked and opened once more,
 * so that what is signed is what this phone has seen. Only the button here answers.
 */
import { button, facts, h, trouble } from "../dom.js";
import { words } from "../errors.js";
import { decide } from "../decision.js";
import { requestRow } from "../messages.js";
import { clockExact, count, day, duration, grouped } from "../words.js";

/** @typedef {import("../main.js").App} App */
/** @typedef {import("../messages.js").RequestDetail} RequestDetail */
/** @typedef {import("../request.js").CheckedRequest} CheckedRequest */

/**
 * @param {App} app
 * @param {RequestDetail} detail
 * @param {CheckedRequest} checked
 * @param {import("./offer.js").Offer[]} offers each with a choice
 */
export function confirmShare(app, detail, checked, offers) {
  const choices = offers.flatMap((offer) => offer.choice ?? []);
  const problems = h("div");
  const progress = h("progress", { max: 1, value: 0, "aria-label": "Checking the video" });
  const checking = h("div", {}, h("p", { class: "quiet" }, "Checking every second of it on this phone…"), progress);
  const yes = button(
    { class: "primary", "aria-disabled": "true" },
    "Share",
    async () => {
      await answer(app, detail, checked, choices);
      dialog.close();
    },
    (error) => problems.replaceChildren(trouble(words(error))),
  );
  const total = offers.reduce((sum, offer) => sum + lengthS(offer), 0);
  const unwatched = offers.filter((offer) => !offer.watched).length;
  const stop = new AbortController();
  const dialog = open(
    h("h2", {}, `Share ${count(choices.length, "clip")}, ${duration(total)} in all?`),
    h("ul", { class: "plain" }, ...offers.map(exactSeconds)),
    facts(
      ["To", checked.said.requester.agency],
      ["Locked to key", h("span", { class: "kid" }, grouped(checked.keyId))],
      ["Sound", soundWords(choices)],
      ["They may fetch it", "for 7 days"],
      ["You can take it back", `for ${duration(app.status.undo_s)} after this, and stop what is left after that`],
    ),
    unwatched > 0 &&
      h(
        "p",
        { class: "note" },
        unwatched === 1
          ? "You have not played one of these clips yet."
          : `You have not played ${unwatched} of these clips yet.`,
      ),
    checking,
    problems,
    h(
      "div",
      { class: "buttons equal" },
      h("button", { type: "button", onclick: () => dialog.close() }, "Go back"),
      yes,
    ),
  );
  dialog.addEventListener("close", () => stop.abort());
  checkAll(choices, progress, stop.signal)
    .then(() => {
      checking.replaceChildren(h("p", { class: "good" }, "✓ Every second was opened and checked on this phone."));
      yes.setAttribute("aria-disabled", "false");
    })
    .catch((error) => {
      if (!stop.signal.aborted) checking.replaceChildren(trouble(words(error)));
    });
}

/**
 * @param {App} app
 * @param {RequestDetail} detail
 * @param {CheckedRequest} checked
 */
export function confirmDecline(app, detail, checked) {
  const problems = h("div");
  const dialog = open(
    h("h2", {}, "Share nothing?"),
    h(
      "p",
      {},
      "This answers the request for good. They are not told: to them it looks as if there were no video, or nobody home.",
    ),
    problems,
    h(
      "div",
      { class: "buttons equal" },
      h("button", { type: "button", onclick: () => dialog.close() }, "Go back"),
      button(
        { class: "primary" },
        "Share nothing",
        async () => {
          await answer(app, detail, checked, []);
          dialog.close();
        },
        (error) => problems.replaceChildren(trouble(words(error))),
      ),
    ),
  );
}

/**
 * Ask before a clip goes for good.
 * @param {boolean} held somebody asked for it
 * @param {() => Promise<void>} act
 */
export function confirmDelete(held, act) {
  const problems = h("div");
  const dialog = open(
    h("h2", {}, "Delete this clip?"),
    h(
      "p",
      {},
      held
        ? "Somebody asked for this clip and waits for your answer. Once it is deleted, you cannot share it any more. They are not told."
        : "It goes for good. Nobody can bring it back, not even with the recovery code.",
    ),
    problems,
    h(
      "p",
      { class: "buttons" },
      h("button", { type: "button", onclick: () => dialog.close() }, "Keep it"),
      button(
        { class: "primary" },
        "Delete",
        async () => {
          await act();
          dialog.close();
        },
        (error) => problems.replaceChildren(trouble(words(error))),
      ),
    ),
  );
}

/**
 * @param {...import("../dom.js").Child} children
 * @returns {HTMLDialogElement}
 */
function open(...children) {
  const dialog = h("dialog", {}, ...children);
  const heading = dialog.querySelector("h2");
  heading?.setAttribute("id", "dialog-title");
  heading?.setAttribute("tabindex", "-1");
  heading?.setAttribute("autofocus", "");
  dialog.setAttribute("aria-labelledby", "dialog-title");
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** @param {import("../decision.js").Choice[]} choices */
function soundWords(choices) {
  const heard = choices.filter(({ sound }) => sound).length;
  if (heard === 0) return "left out";
  return heard === choices.length ? "put in" : `put in for ${heard} of ${choices.length} clips`;
}

/** @param {import("./offer.js").Offer} offer */
function lengthS(offer) {
  const [from, to] = offer.spanNs;
  return Number(to - from) / 1e9;
}

/** @param {import("./offer.js").Offer} offer */
function exactSeconds(offer) {
  const [from, to] = offer.spanNs;
  return h(
    "li",
    {},
    h("strong", {}, `${clockExact(from)} – ${clockExact(to)}`),
    ` (${duration(lengthS(offer))}), ${day(from)}`,
  );
}

/**
 * @param {import("../decision.js").Choice[]} choices
 * @param {HTMLProgressElement} progress
 * @param {AbortSignal} signal
 */
async function checkAll(choices, progress, signal) {
  const tracks = choices.flatMap(({ clip, first, last, sound }) => [
    { clip, track: /** @type {const} */ ("video"), first, last },
    ...(sound ? [{ clip, track: /** @type {const} */ ("audio"), ...sound }] : []),
  ]);
  const total = tracks.reduce((sum, { first, last }) => sum + last - first + 2, 0);
  let done = 0;
  for (const { clip, track, first, last } of tracks) {
    await clip.record(track, 0, signal);
    progress.value = ++done / total;
    for await (const { place } of clip.records(track, first, last, signal)) {
      if (place.index <= last) progress.value = ++done / total;
    }
  }
}

/**
 * Sign and send.
 * @param {App} app
 * @param {RequestDetail} detail
 * @param {CheckedRequest} checked
 * @param {import("../decision.js").Choice[]} choices
 */
async function answer(app, detail, checked, choices) {
  const made = await decide(checked, app.session.doorbell, choices, app.status.undo_s);
  await app.session.post(`/api/requests/${detail.row.id}/decision`, made, requestRow);
  await app.reload();
}
