/**
 * Review: who asks, what, where and when; their words; what is verified and what is only claimed; the clips; what
 * sharing means. Two buttons of equal weight, nothing chosen beforehand, and no clock running against the owner.
 */
import { areaMap, contains } from "../area_map.js";
import { seeDirectory } from "../directory.js";
import { formatTime, now, parseTime } from "../encoding.js";
import { back, button, facts, h, quoted, trouble } from "../dom.js";
import { Refused, words } from "../errors.js";
import { remember } from "../keystore.js";
import { acquaintance } from "../request.js";
import { count, duration, grouped, moment, span, zone } from "../words.js";
import { Offer } from "./offer.js";
import { confirmDecline, confirmShare } from "./confirm.js";
import { directoryChanged } from "./directory.js";

const CANNOT_OPEN = "This phone can open none of these clips, so it cannot share them.";

/**
 * @param {import("../main.js").App} app
 * @param {import("../messages.js").RequestDetail} detail
 * @param {import("../request.js").CheckedRequest} checked
 */
export async function reviewView(app, detail, checked) {
  const { said, requester } = checked;
  const { doorbell } = app.session;
  const known = acquaintance(doorbell, checked);
  if (known.since === null) {
    doorbell.askers[requester.id] = { agency: requester.agency, since: formatTime(now()) };
    await remember(doorbell);
  }
  const listing = detail.trusted === "directory" ? await listed(app, detail) : null;
  const unsure = listing !== null && (listing.otherKey || listing.older);
  const share = h("button", { type: "button", "aria-disabled": String(unsure) });
  const hint = h("p", { class: "hint", role: "status" });
  const inOrder = detail.clips.toSorted((a, b) => (a.start < b.start ? -1 : 1));
  const offers = inOrder.map((clip) => new Offer(app, clip, checked, () => relabel()));
  const relabel = () => {
    const chosen = offers.filter((offer) => offer.choice);
    share.textContent = chosen.length > 0 ? `Share ${count(chosen.length, "clip")}…` : "Share clips…";
    if (chosen.length > 0) hint.textContent = ""; // clips that open meanwhile say nothing about it
    else if (hint.textContent && offers.every((offer) => offer.refused)) hint.textContent = CANNOT_OPEN;
  };
  relabel();
  share.addEventListener("click", () => {
    if (unsure) {
      hint.textContent = "Not before the directory is the one you know; see “Checked by this phone”.";
      return undefined;
    }
    const chosen = offers.filter((offer) => offer.choice);
    if (chosen.length > 0) return confirmShare(app, detail, checked, chosen);
    if (offers.every((offer) => offer.refused)) {
      hint.textContent = CANNOT_OPEN;
      return undefined;
    }
    hint.textContent = "Choose a clip first: tick “Include this clip” on those you want to share.";
    offers[0]?.node.scrollIntoView({ block: "center" }); // they are opened when they come into sight
    offers.find((offer) => offer.usable)?.focus();
    return undefined;
  });
  const failed = (/** @type {unknown} */ error) => (hint.textContent = words(error));
  const decline = button({}, "Share nothing", () => confirmDecline(app, detail, checked), failed);
  const node = h(
    "article",
    { class: "review" },
    back("#/requests", "Requests"),
    h("h1", {}, `${said.requester.agency} asks for video`),
    h(
      "p",
      { class: "note" },
      "This is a question, not an order. You may say no, and you need not give a reason. They are not told whether you have video. Doing nothing is a complete answer, too.",
    ),
    detail.row.replaces &&
      h(
        "p",
        { class: "note" },
        "They asked before and ask again in other words. ",
        h("a", { href: `#/requests/${detail.row.replaces}` }, "The earlier request"),
        " has ended; whatever you answered to it does not count here.",
      ),
    asked(detail, checked),
    h("h2", {}, "In their words"),
    quoted(said.message),
    h("div", { class: "trust" }, verified(detail, checked, known, listing), claimed(checked)),
    h("h2", {}, `Your ${offers.length === 1 ? "clip" : "clips"} from that time`),
    h(
      "p",
      { class: "quiet" },
      "Only you see these. They are opened on this phone. Nothing is chosen until you choose it.",
    ),
    ...offers.map((offer) => offer.node),
    meaning(checked),
    h("div", { class: "bar", role: "group", "aria-label": "Your answer" }, hint, decline, share),
  );
  const close = () => offers.forEach((offer) => offer.close());
  return { node, title: said.requester.agency, close, refresh: undefined };
}

/**
 * The directory they stand in, checked here. Refused where they do not stand in it, or it has run out.
 * @param {import("../main.js").App} app
 * @param {import("../messages.js").RequestDetail} detail
 */
async function listed(app, detail) {
  const seen = await seeDirectory(app);
  if (!seen.requesters.includes(detail.requester) || Number(parseTime(seen.expires) / 1_000_000n) <= app.nowMs()) {
    throw new Refused("not-trusted", "who asks does not stand in the directory your doorbell goes by, or it has run out");
  }
  return seen;
}

/**
 * @param {import("../messages.js").RequestDetail} detail
 * @param {import("../request.js").CheckedRequest} checked
 */
function asked(detail, { said, fromNs, toNs }) {
  return h(
    "div",
    { class: "asked" },
    facts(
      ["What", said.incident_type],
      ["Case", said.case_number],
      [
        "When",
        h(
          "span",
          {},
          span(said.from, said.to),
          h("span", { class: "quiet" }, ` (${duration(Number((toNs - fromNs) / 1_000_000_000n))}, ${zone(said.from, said.to)})`),
        ),
      ],
      ["Answer", `whenever you like until ${moment(said.expires)}`],
    ),
    areaMap(said.area, detail.home),
  );
}

/**
 * @param {import("../messages.js").RequestDetail} detail
 * @param {import("../request.js").CheckedRequest} checked
 * @param {ReturnType<typeof acquaintance>} known
 * @param {import("../directory.js").SeenDirectory | null} listing
 */
function verified(detail, { said, requester }, { since, otherKey }, listing) {
  return h(
    "section",
    { class: "verified" },
    h("h2", {}, "Checked by this phone"),
    h(
      "ul",
      {},
      h(
        "li",
        {},
        listing ? `Signed with the key that ${listing.name} lists as ` : "Signed with the key you trust as ",
        h("strong", {}, requester.agency),
        h("span", { class: "kid" }, grouped(requester.id)),
      ),
      since !== null && h("li", {}, `This phone has known that key since ${moment(since)}`),
      listing?.since && h("li", {}, `This phone has known that directory’s key since ${moment(listing.since)}`),
      h("li", {}, "Not changed since it was signed"),
      contains(said.area, detail.home) && h("li", {}, "Your home lies in the area asked about"),
      h("li", {}, "The video would be locked to their key; nobody on the way can open it"),
    ),
    since === null &&
      h(
        "p",
        { class: "quiet" },
        "This is the first request this phone sees with that key. To be sure, compare the key id with the agency’s own.",
      ),
    detail.trusted === null &&
      trouble("They are no longer among those you trust. Nothing can be shared with them; you may still say no."),
    ...directoryChanged(listing),
    otherKey &&
      trouble("An agency of the same name has asked with another key before. Ask them why before you share anything."),
  );
}

/** @param {import("../request.js").CheckedRequest} checked */
function claimed({ said }) {
  const { officer, contact } = said.requester;
  return h(
    "section",
    { class: "claimed" },
    h("h2", {}, "Only claimed by them"),
    facts(
      officer !== "" && ["Person", `“${officer}”`],
      contact !== "" && ["Contact", `“${contact}”`],
      ["Case", `“${said.case_number}”, “${said.incident_type}”`],
      said.purpose !== "" && ["Use", `“${said.purpose}”`],
      said.retention !== "" && ["Kept for", `“${said.retention}”`],
    ),
    h("p", { class: "quiet" }, "Nobody has checked these. To be sure, call the agency on a number you found yourself."),
  );
}

/** @param {import("../request.js").CheckedRequest} checked */
function meaning({ said }) {
  return h(
    "section",
    {},
    h("h2", {}, "What sharing means"),
    h(
      "ul",
      { class: "plain" },
      h(
        "li",
        {},
        `${said.requester.agency} gets a copy of exactly what you choose, second for second, without sound unless you put it in. The rest stays locked.`,
      ),
      h(
        "li",
        {},
        "With it goes your doorbell’s signed note on each of these clips: when the whole clip began and ended and when something moved, also where you trim. It shows no picture of that.",
      ),
      h("li", {}, "After your yes you have a while to take it back; nothing leaves your home until then."),
      h(
        "li",
        {},
        "Once it has left, it cannot be fetched back. You can ask them to delete it; neither you nor we can make them.",
      ),
      h("li", {}, "The people in the video were not asked. You decide to show it, not they."),
    ),
  );
}
