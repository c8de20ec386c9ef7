/**
 * The log: everything asked, decided and sent, newest first. The doorbell checks the chain; this phone remembers the
 * newest entry it has seen, so that a log cut short since shows.
 */
import { button, h, trouble } from "../dom.js";
import { words } from "../errors.js";
import { remember } from "../keystore.js";
import { auditPage } from "../messages.js";
import { audit, moment } from "../words.js";

/** @typedef {import("../messages.js").AuditEntry} AuditEntry */

const PAGE = 500;
const LOOK_BACK = 100;

/**
 * @param {import("../main.js").App} app
 * @returns {Promise<import("../main.js").View>}
 */
export async function logView(app) {
  const state = h("p");
  const list = h("ol", { class: "log", reversed: true });
  const problems = h("div");
  const read = async (/** @type {number} */ after, limit = PAGE) =>
    app.session.get(`/api/audit?after=${after}&limit=${limit}`, auditPage);
  /** @type {AuditEntry[]} */
  let entries = [];
  const { doorbell } = app.session;
  const known = doorbell.log;
  const earlier = button(
    {},
    "Earlier",
    async () => {
      const first = entries[0].n;
      const after = Math.max(0, first - 1 - LOOK_BACK);
      entries = [...(await read(after, first - 1 - after)).entries, ...entries];
      show();
    },
    (error) => problems.replaceChildren(trouble(words(error))),
  );
  const show = () => {
    list.replaceChildren(...entries.toReversed().map(line));
    list.start = entries.at(-1)?.n ?? 1;
    earlier.hidden = entries.length === 0 || entries[0].n === 1;
  };
  const fill = async () => {
    let page = await read(entries.at(-1)?.n ?? Math.max(0, (known?.n ?? 0) - LOOK_BACK));
    const { intact } = page;
    for (;;) {
      entries.push(...page.entries);
      if (page.entries.length < PAGE) break;
      page = await read(entries[entries.length - 1].n);
    }
    const found = known === null || entries.find((entry) => entry.n === known.n)?.hash === known.hash;
    tell(state, intact, found);
    show();
    const newest = entries.at(-1);
    if (intact && found && newest && newest.hash !== doorbell.log?.hash) {
      doorbell.log = { n: newest.n, hash: newest.hash };
      await remember(doorbell);
    }
  };
  await fill();
  const node = h("section", {}, h("h1", {}, "Log"), state, list, problems, h("p", {}, earlier));
  return { node, title: "Log", update: async () => void (await fill()) };
}

/**
 * @param {HTMLElement} state
 * @param {boolean} intact
 * @param {boolean} found
 */
function tell(state, intact, found) {
  state.className = intact && found ? "good" : "trouble";
  if (!intact) state.textContent = "The chain is broken: an entry was removed or altered on the doorbell.";
  else if (!found)
    state.textContent = "The log is not the one this phone saw before: entries were removed or altered since.";
  else state.textContent = "✓ Chain intact: no entry was removed or altered.";
}

/** @param {AuditEntry} entry */
function line(entry) {
  const id = typeof entry.details.request === "string" ? entry.details.request : null;
  const text = audit(entry);
  return h(
    "li",
    {},
    h("span", {}, id && entry.what !== "request-refused" ? h("a", { href: `#/requests/${id}` }, text) : text),
    h("span", { class: "quiet" }, moment(entry.time)),
  );
}
