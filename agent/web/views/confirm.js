/**
 * The last look before an answer: exact seconds, sound, whose key. Every record is fetched, checked and opened once more,
 * so that what is signed is what this phone has seen. Only the button here answers.
 */
import { button, facts, h, trouble } from "../dom.js";
import { Unavailable, words } from "../errors.js";
import { decide } from "../decision.js";
import { requestRow } from "../messages.js";
import { clockExact, count, day, duration, grouped } from "../words.js";

const DOUBLE_TAP_MS = 600;

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
  const progress = h("progress", { max: 1, value: 0, "aria-label": "Checking the video" });
  const checking = h("div", {}, h("p", { class: "quiet" }, "Checking every second of it on this phone…"), progress);
  const total = offers.reduce((sum, offer) => sum + lengthS(offer), 0);
  const unwatched = offers.filter((offer) => !offer.watched).length;
  const heard = choices.filter(({ sound }) => sound).length;
  const stop = new AbortController();
  const send = () => answer(app, detail, checked, choices);
  const { dialog, allow } = ask("Share", "Go back", send, [
    h("h2", {}, `Share ${count(choices.length, "clip")}, ${duration(total)} in all?`),
    h("ul", { class: "plain" }, ...offers.map((offer) => exactSeconds(offer, heard > 0))),
    facts(
      ["To", checked.said.requester.agency],
      ["Locked to key", h("span", { class: "kid" }, grouped(checked.keyId))],
      ["Sound", heard === 0 ? "left out" : heard === choices.length ? "put in" : "put in where it says so above"],
      ["They may fetch it", "for 7 days"],
      ["You can take it back", `for ${duration(app.status.undo_s)} after this, and stop what is left after that`],
    ),
    unwatched > 0 &&
      h(
        "p",
        { class: "note" },
        choices.length === 1
          ? "You have not played this clip yet."
          : `You have not played ${unwatched === 1 ? "one" : unwatched} of these clips yet.`,
      ),
    checking,
  ]);
  dialog.addEventListener("close", () => stop.abort());
  checkAll(choices, progress, stop.signal)
    .then(() => {
      checking.replaceChildren(h("p", { class: "good" }, "✓ Every second was opened and checked on this phone."));
      allow();
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
  ask("Share nothing", "Go back", () => answer(app, detail, checked, []), [
    h("h2", {}, "Share nothing?"),
    h(
      "p",
      {},
      "This answers the request for good. They are not told: to them it looks as if there were no video, or nobody home.",
    ),
  ]).allow();
}

/**
 * Ask before a clip goes for good.
 * @param {boolean} held somebody asked for it
 * @param {() => Promise<void>} act
 */
export function confirmDelete(held, act) {
  ask("Delete", "Keep it", act, [
    h("h2", {}, "Delete this clip?"),
    h(
      "p",
      {},
      held
        ? "Somebody asked for this clip and waits for your answer. Once it is deleted, you cannot share it any more. They are not told."
        : "It goes for good. Nobody can bring it back, not even with the recovery code.",
    ),
  ]).allow();
}

/**
 * A question with two ways out. Once the act is on its way there is no going back: that would look like taking it back.
 * The second tap of a double tap, meant for what opened this, does not act.
 * @param {string} go
 * @param {string} stay
 * @param {() => Promise<void>} act
 * @param {import("../dom.js").Child[]} content its heading first
 * @returns {{dialog: HTMLDialogElement, allow: () => void}} nothing can be done before `allow`
 */
function ask(go, stay, act, content) {
  const said = h("div", { role: "status" });
  const leave = h("button", { type: "button", onclick: () => dialog.close() }, stay);
  const yes = button(
    { class: "primary", "aria-disabled": "true" },
    go,
    async () => {
      leave.disabled = true;
      said.replaceChildren(h("p", { class: "quiet" }, "Telling the doorbell…"));
      try {
        await act();
        dialog.close();
      } finally {
        leave.disabled = false;
      }
    },
    (error) => {
      const lost = error instanceof Unavailable ? " It may have heard you all the same: this page shows it once it answers." : "";
      said.replaceChildren(trouble(words(error) + lost));
    },
  );
  const dialog = h("dialog", { "aria-labelledby": "asks" }, ...content, said, h("div", { class: "buttons equal" }, leave, yes));
  const heading = dialog.querySelector("h2");
  for (const [name, value] of [["id", "asks"], ["tabindex", "-1"], ["autofocus", ""]]) heading?.setAttribute(name, value);
  dialog.addEventListener("cancel", (event) => leave.disabled && event.preventDefault());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  const soonest = performance.now() + DOUBLE_TAP_MS;
  const allow = () => void setTimeout(() => yes.setAttribute("aria-disabled", "false"), soonest - performance.now());
  return { dialog, allow };
}

/** @param {import("./offer.js").Offer} offer */
function lengthS(offer) {
  const [from, to] = offer.spanNs;
  return Number(to - from) / 1e9;
}

/**
 * @param {import("./offer.js").Offer} offer
 * @param {boolean} sound whether to say if its sound is put in
 */
function exactSeconds(offer, sound) {
  const [from, to] = offer.spanNs;
  return h(
    "li",
    {},
    h("strong", {}, `${clockExact(from)} – ${clockExact(to)}`),
    ` (${duration(lengthS(offer))}), ${day(from)}`,
    sound && (offer.choice?.sound ? ", with its sound" : ", without sound"),
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
  const made = await decide(checked, app.session.doorbell, choices, app.status.undo_s, app.nowMs());
  await app.session.post(`/api/requests/${detail.row.id}/decision`, made, requestRow);
  await app.reload();
}
