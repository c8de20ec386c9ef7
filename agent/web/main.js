/**
 * Starts the page: finds out which doorbell this is and whether this browser has its key, then shows one view at a time.
 * Owns the shell (name, status line, navigation, notices) and the routes; each view owns its screen.
 */
import { callOpen, Session } from "./api.js";
import { seeDirectory } from "./directory.js";
import { parseTime } from "./encoding.js";
import { Refused, Unavailable, words } from "./errors.js";
import { Glimpses } from "./glimpses.js";
import { followsOwnerSet } from "./identity.js";
import { recall, remember } from "./keystore.js";
import { device, requestList, settingsAnswer, status } from "./messages.js";
import { h, s, trouble } from "./dom.js";
import { count, moment, RECORDING, TROUBLE, visited } from "./words.js";
import { clipView } from "./views/clip.js";
import { clipsView } from "./views/clips.js";
import { inviteView } from "./views/invite.js";
import { logView } from "./views/log.js";
import { pairView } from "./views/pair.js";
import { requestView } from "./views/request.js";
import { requestsView } from "./views/requests.js";
import { settingsView } from "./views/settings.js";

/**
 * A screen. `update` hears what has changed (requests, clips, status, everything).
 * @typedef {{node: HTMLElement, title: string, update?: (what: string) => Promise<void>, close?: () => void}} View
 */

/**
 * @typedef {object} App what views may use
 * @property {Session} session
 * @property {import("./messages.js").Status} status as last heard
 * @property {Glimpses} glimpses what clips show, as far as it was opened
 * @property {() => number} nowMs the doorbell's clock
 * @property {boolean} ownersFollow whether the owner set is one this phone can account for
 * @property {(text: string) => void} announce says it to screen readers
 * @property {() => Promise<void>} reload shows the present view anew
 */

/** @type {Record<string, (app: App, id: string) => Promise<View>>} */
const VIEWS = {
  clips: (app, id) => (id ? clipView(app, id) : clipsView(app)),
  requests: (app, id) => (id ? requestView(app, id) : requestsView(app)),
  log: logView,
  settings: (app, id) => (id === "invite" ? inviteView(app) : settingsView(app)),
};

const ICONS = {
  clips: "M4 6h16v12H4zM10 9.5v5l4.5-2.5z",
  requests: "M4 5h16v11H9l-5 4zM8 9h8M8 12h5",
  log: "M6 3h12v18H6zM9 8h6M9 12h6M9 16h4",
  settings: "M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4",
};

const main = h("main", { tabindex: "-1", "aria-busy": "true" });
const live = h("p", { class: "unseen", "aria-live": "polite" });
const notices = h("div", { class: "notices", "aria-live": "polite" });
const line = h("p", { class: "status" });
const troubles = h("div", { class: "troubles", "aria-live": "assertive" });
const name = h("strong", {}, "Doorward");
const badge = h("span", { class: "badge", hidden: true });
/** @type {View | null} */
let shown = null;
let routing = 0;

/** @param {App} app */
function showShell(app) {
  const item = (/** @type {keyof typeof ICONS} */ view, /** @type {string} */ label) =>
    h(
      "a",
      { href: `#/${view}`, "data-view": view },
      s("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: ICONS[view] })),
      h("span", {}, label),
      view === "requests" && badge,
    );
  const icon = h("img", { src: "/app/icon.svg", alt: "", width: 36, height: 36 });
  const nav = h(
    "nav",
    { "aria-label": "Main" },
    item("clips", "Clips"),
    item("requests", "Requests"),
    item("log", "Log"),
    item("settings", "Settings"),
  );
  document.body.replaceChildren(
    h("header", { class: "top" }, icon, h("div", {}, name, line)),
    nav,
    troubles,
    notices,
    main,
    live,
  );
  window.addEventListener("hashchange", () => route(app));
}

/** @param {App} app */
async function route(app) {
  const turn = ++routing;
  seeRequests();
  document.querySelector("dialog")?.close(); // what it asks belongs to the screen that is being left
  const [, view = "", id = ""] = location.hash.split("/");
  const make = VIEWS[view] ?? VIEWS.clips;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("data-view") === (VIEWS[view] ? view : "clips")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  main.setAttribute("aria-busy", "true");
  let next;
  try {
    next = await make(app, decodeURIComponent(id));
  } catch (error) {
    next = notShown(app, error, id !== "" && VIEWS[view] ? view : "");
  }
  if (turn !== routing) return next.close?.();
  main.removeAttribute("aria-busy");
  shown?.close?.();
  shown = next;
  document.title = `${next.title} · ${app.status.name}`;
  main.replaceChildren(next.node);
  window.scrollTo(0, 0);
  const heading = next.node.querySelector("h1");
  heading?.setAttribute("tabindex", "-1");
  heading?.focus({ preventScroll: true });
  return undefined;
}

/**
 * A screen that could not be made; one that only lacked the doorbell's answer is made anew when it answers again.
 * @param {App} app
 * @param {unknown} error
 * @param {string} list that it stands in
 * @returns {View}
 */
function notShown(app, error, list) {
  const node = h(
    "section",
    {},
    h("h1", {}, "This cannot be shown"),
    trouble(words(error)),
    h(
      "p",
      { class: "buttons" },
      list && h("a", { class: "button", href: `#/${list}` }, "Back to the list"),
      h("button", { type: "button", onclick: () => app.reload() }, "Try again"),
    ),
  );
  const update = async (/** @type {string} */ what) =>
    error instanceof Unavailable && what === "everything" ? app.reload() : undefined;
  return { node, title: "Trouble", update };
}

/** @param {App} app */
async function readStatus(app) {
  const asked = Date.now();
  app.status = await app.session.get("/api/status", status);
  const ahead = Number(parseTime(app.status.now) / 1_000_000n) - (asked + Date.now()) / 2;
  app.nowMs = () => Date.now() + ahead;
  const { doorbell } = app.session;
  app.ownersFollow = await followsOwnerSet(doorbell.owners, app.status.owners, doorbell.id);
  if (app.ownersFollow && doorbell.owners !== app.status.owners) {
    doorbell.owners = app.status.owners;
    await remember(doorbell);
  }
  name.textContent = app.status.name;
  const { recording, clips, requests_waiting: waiting, broker, clock_set: clockSet } = app.status;
  const parts = [RECORDING[recording], count(clips, "clip"), waiting > 0 && `${count(waiting, "request")} waiting`];
  const text =
    [...parts, app.status.paused && "requests are paused", app.status.directory_expired && "directory has run out",
      !clockSet && "does not know the time yet, requests wait"]
      .filter(Boolean)
      .join(" · ") + (broker === "connecting" ? " · cannot reach the request service" : "");
  line.textContent = text.charAt(0).toUpperCase() + text.slice(1);
  line.classList.toggle("bad", ["stopped", "blind", "paused"].includes(recording));
  showTroubles(app);
  badge.textContent = String(waiting);
  badge.hidden = waiting === 0;
  badge.setAttribute("aria-label", `${waiting} waiting`);
}

/** What keeps the doorbell from recording stays in sight, on every screen, until it is over. @param {App} app */
function showTroubles(app) {
  const told = app.status.troubles.map(({ part, text, since }) => {
    const what = TROUBLE[part] ?? "Something is wrong";
    const after = part === "disk" ? " What was recorded before is safe. Recording goes on by itself." : "";
    return [`${what} since ${moment(since)}.`, ` ${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.$/, "")}.${after}`];
  });
  // Said once to a screen reader, not at every look.
  if (JSON.stringify(told) === troubles.dataset.told) return;
  troubles.dataset.told = JSON.stringify(told);
  troubles.replaceChildren(
    ...told.map(([first = "", rest = ""]) => h("p", { class: "trouble" }, h("strong", {}, first), rest)),
  );
}

/** @type {Set<string> | null} requests that waited at the last look; null before the first */
let known = null;
/** @type {Map<string, import("./messages.js").RequestRow>} those that came since, and nobody has looked at */
const unseen = new Map();
/** @type {HTMLElement | null} */
let notice = null;

/** @param {App} app */
async function tellOfRequests(app) {
  const { requests } = await app.session.get("/api/requests", requestList);
  const asked = requests.filter((row) => row.state === "asked" && row.prompted);
  const before = known;
  known = new Set(asked.map((row) => row.id));
  for (const id of unseen.keys()) if (!known.has(id)) unseen.delete(id); // answered, or over
  for (const row of asked) if (before?.has(row.id) === false) unseen.set(row.id, row);
  if (unseen.size > 0 && location.hash === "#/requests") app.announce("Another request is in the list.");
  seeRequests();
}

/** What the screen shows has been seen, and needs no notice. Of the others one notice tells, however many there are. */
function seeRequests() {
  const [, view, id] = location.hash.split("/");
  if (view === "requests" && id) unseen.delete(decodeURIComponent(id));
  else if (view === "requests") unseen.clear();
  const ids = [...unseen.keys()].join(" ");
  if (ids === (notice?.dataset.ids ?? "")) return; // a screen reader says it once
  notice?.remove();
  notice = null;
  const [row] = unseen.values();
  if (!row) return;
  const one = unseen.size === 1;
  const notNow = () => {
    unseen.clear();
    seeRequests();
  };
  notice = h(
    "aside",
    { class: "notice", "data-ids": ids },
    h(
      "p",
      {},
      h("strong", {}, one ? "Somebody asks for video. " : `${unseen.size} requests for video have come. `),
      one ? `${row.agency}, about: ${row.incident_type}. ` : "",
      `There is no hurry; ignoring ${one ? "it" : "them"} is a complete answer.`,
    ),
    h(
      "p",
      { class: "buttons" },
      h("a", { class: "button", href: one ? `#/requests/${row.id}` : "#/requests" }, `Look at ${one ? "it" : "them"}`),
      h("button", { type: "button", onclick: notNow }, "Not now"),
    ),
  );
  notices.append(notice);
}

/** For how long somebody is said to be at the door. */
const VISIT_MS = 60_000;
/** @type {HTMLElement | null} */
let visit = null;

/** One notice at a time: who is at the door now matters, who was there stands in the list. @param {string} label */
function tellOfVisit(label) {
  visit?.remove();
  const notice = h(
    "aside",
    { class: "notice visit" },
    h("p", {}, h("strong", {}, visited(label)), " The clip is in the list when it has ended."),
    h(
      "p",
      { class: "buttons" },
      h("a", { class: "button", href: "#/clips", onclick: () => notice.remove() }, "Clips"),
      h("button", { type: "button", onclick: () => notice.remove() }, "All right"),
    ),
  );
  visit = notice;
  notices.append(notice);
  setTimeout(() => notice.remove(), VISIT_MS);
}

/** @param {App} app */
function hear(app) {
  /** @type {Set<string>} */
  const waiting = new Set();
  let working = false;
  // Changes come in bursts while something is recorded: what has piled up is looked at together.
  const work = async () => {
    if (working) return;
    working = true;
    while (waiting.size > 0) {
      const what = [...waiting];
      waiting.clear();
      try {
        await readStatus(app);
        if (what.some((one) => one !== "clips")) await tellOfRequests(app);
        for (const one of what) await shown?.update?.(one);
      } catch (error) {
        line.textContent = words(error);
        line.classList.add("bad");
      }
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    working = false;
  };
  const onChange = (/** @type {import("./api.js").Changed} */ { what, label }) => {
    if (what === "visit") return tellOfVisit(label ?? "motion");
    waiting.add(what);
    work();
  };
  const onLink = (/** @type {boolean} */ up) => {
    document.body.classList.toggle("away", !up);
    if (!up) line.textContent = "The doorbell does not answer. Trying again…";
  };
  app.session
    .listen(onChange, onLink, new AbortController().signal)
    .catch((error) => notices.append(trouble(words(error))));
}

/** @param {Session} session */
async function begin(session) {
  /** @type {App} */
  const app = {
    session,
    glimpses: new Glimpses(session),
    status: await session.get("/api/status", status),
    nowMs: Date.now,
    ownersFollow: false,
    announce: (text) => (live.textContent = text),
    reload: async () => void (await route(app)),
  };
  await readStatus(app);
  if (location.pathname !== "/") history.replaceState(null, "", "/");
  if (!location.hash) history.replaceState(null, "", app.status.requests_waiting > 0 ? "#/requests" : "#/clips");
  showShell(app);
  await route(app);
  await meetDirectory(app);
  hear(app);
}

/** From the day it is set up a phone knows the directory it goes by, and not from the first request. @param {App} app */
async function meetDirectory(app) {
  if (app.session.doorbell.directory) return;
  try {
    if ((await app.session.get("/api/settings", settingsAnswer)).directory) await seeDirectory(app);
  } catch (error) {
    notices.append(trouble(`The directory your doorbell goes by could not be checked. ${words(error)}`));
  }
}

async function start() {
  const here = location.pathname === "/pair" ? location.hash.slice(1) : "";
  if (here) history.replaceState(null, "", "/pair"); // the secret must not stay in the address bar or the history
  document.body.replaceChildren(main);
  if (!globalThis.isSecureContext || !crypto.subtle) {
    main.removeAttribute("aria-busy");
    main.append(
      h("h1", {}, "This address is not safe enough"),
      trouble("A browser makes keys only on a protected page. Open this page by its https:// address."),
    );
    return;
  }
  try {
    const found = await callOpen("/api/device", device);
    const doorbell = await recall(found.id);
    if (doorbell && doorbell.key === found.key) {
      const session = new Session(doorbell);
      try {
        await session.open();
        await begin(session);
        return;
      } catch (error) {
        // Only then are this browser's keys not, or no longer, in the owner set; a busy doorbell refuses otherwise.
        if (!(error instanceof Refused && error.reason === "unknown-signer")) throw error;
      }
    }
    main.removeAttribute("aria-busy");
    main.append(pairView(found, here, (paired) => begin(new Session(paired))));
  } catch (error) {
    main.removeAttribute("aria-busy");
    main.replaceChildren(
      h("h1", {}, "Not connected"),
      trouble(words(error)),
      h("p", {}, h("button", { type: "button", onclick: () => location.reload() }, "Try again")),
    );
  }
}

await start();
