/** What there is to know of the doorbell and of who can open its clips. */
import { fromB64u, keyId } from "../encoding.js";
import { button, facts, h, trouble } from "../dom.js";
import { words } from "../errors.js";
import { rawPublic, readOwnerSet } from "../identity.js";
import { remove } from "../joining.js";
import { bytes, count, grouped, moment } from "../words.js";
import { askingSection } from "./asking.js";

const DETECTOR = {
  off: "no: turned off",
  missing: "no: ‘doorward models fetch’ on the doorbell gets what it takes",
  starting: "in a moment: it is starting",
  on: "yes, and vehicles and animals",
  failed: "no: it does not work; the doorbell’s log says why",
};

/**
 * @param {import("../main.js").App} app
 * @returns {Promise<import("../main.js").View>}
 */
export async function settingsView(app) {
  const { doorbell } = app.session;
  const own = await keyId(await rawPublic(doorbell.keys.decides));
  const storage = h("div");
  const people = h("div");
  let listed = "";
  const fill = async () => {
    const { status } = app;
    storage.replaceChildren(
      h("progress", { max: Math.max(1, status.budget_bytes), value: status.bytes, "aria-label": "Storage in use" }),
      facts(
        ["In use", `${bytes(status.bytes)} of ${bytes(status.budget_bytes)}`],
        ["Clips", count(status.clips, "clip")],
        status.oldest !== null && ["Oldest", moment(status.oldest)],
        status.days > 0 && ["Kept for", count(status.days, "day")],
        ["When full", "the oldest clips make room, except those kept for a request"],
      ),
    );
    if (status.owners === listed) return; // a question that is being asked stays
    listed = status.owners;
    const set = readOwnerSet(status.owners, doorbell.id);
    const owners = await Promise.all(
      set.owners.map(async (owner) => ({ ...owner, kid: await keyId(fromB64u(owner.decides, 32)) })),
    );
    const codes = await Promise.all(set.recovery.map((code) => keyId(fromB64u(code.decides, 32))));
    people.replaceChildren(
      ...(app.ownersFollow
        ? []
        : [
            trouble(
              "This list changed in a way your phone cannot account for. Somebody else may be able to open new clips; check the doorbell.",
            ),
          ]),
      h(
        "ul",
        { class: "rows" },
        ...owners.map(({ name, kid, decides }) =>
          kid === own ? person(`${name} (this phone)`, kid) : person(name, kid, takeOut(app, name, decides)),
        ),
        ...codes.map((kid, i) => person(codes.length > 1 ? `Recovery code ${i + 1}` : "Recovery code", kid)),
      ),
      h(
        "p",
        { class: "quiet" },
        "Clips are locked to these and to nothing else. The doorbell itself cannot open them.",
      ),
      h("p", {}, h("a", { class: "button", href: "#/settings/invite" }, "Let another phone in")),
    );
  };
  await fill();
  const service = { connected: "connected", connecting: "trying to connect", off: "not set up" }[app.status.broker];
  const node = h(
    "section",
    {},
    h("h1", {}, "Settings"),
    h("h2", {}, "Doorbell"),
    facts(
      ["Name", app.status.name],
      ["Key id", h("span", { class: "kid" }, grouped(doorbell.id))],
      ["Request service", service],
      ["Recognises people", DETECTOR[app.status.detector]],
    ),
    await askingSection(app),
    h("h2", {}, "Storage"),
    storage,
    h("h2", {}, "Who can open your clips"),
    people,
  );
  return { node, title: "Settings", update: fill };
}

/**
 * @param {string} name
 * @param {string} kid
 * @param {HTMLElement} [more]
 */
function person(name, kid, more) {
  return h("li", { class: "row" }, h("strong", {}, name), h("span", { class: "kid" }, grouped(kid)), more);
}

/**
 * @param {import("../main.js").App} app
 * @param {string} name
 * @param {string} decides its key
 */
function takeOut(app, name, decides) {
  const place = h("div", { class: "buttons" });
  const fail = (/** @type {unknown} */ error) => place.replaceChildren(trouble(words(error)));
  const sure = () =>
    place.replaceChildren(
      h("p", {}, `“${name}” will see nothing new and decide nothing. What it could open before, it can still open.`),
      button({ class: "primary" }, "Take it out", () => remove(app.session, app.status.owners, decides), fail),
      button({}, "Keep it", () => place.replaceChildren(first), fail),
    );
  const first = button({ class: "small" }, "Take out…", sure, fail);
  place.append(first);
  return place;
}
