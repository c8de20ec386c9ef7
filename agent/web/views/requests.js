/** All requests: those that wait first, then those that an answer is still doing something to. */
import { h, renew } from "../dom.js";
import { requestList } from "../messages.js";
import { moment, span, STATE } from "../words.js";

/** A yes that can still be taken back or stopped. */
const UNDER_WAY = new Set(["agreed", "held", "sending"]);

/**
 * @param {import("../main.js").App} app
 * @returns {Promise<import("../main.js").View>}
 */
export async function requestsView(app) {
  const list = h("div");
  let listed = "";
  const fill = async () => {
    const { requests } = await app.session.get("/api/requests", requestList);
    if (JSON.stringify(requests) === listed) return;
    listed = JSON.stringify(requests);
    const waiting = requests.filter((row) => row.state === "asked");
    const running = requests.filter((row) => UNDER_WAY.has(row.state));
    const rest = requests.filter((row) => row.state !== "asked" && !UNDER_WAY.has(row.state));
    renew(list, () => [
      ...(requests.length === 0
        ? [
            h(
              "p",
              { class: "empty" },
              "Nobody has asked for video. If somebody does, you decide here. Nothing is ever sent without you.",
            ),
          ]
        : []),
      ...(waiting.length > 0
        ? [h("h2", {}, "Waiting for you"), h("ul", { class: "cards" }, ...waiting.map(card))]
        : []),
      ...(running.length > 0
        ? [h("h2", {}, "Under way"), h("ul", { class: "cards" }, ...running.map(card))]
        : []),
      ...(rest.length > 0 ? [h("h2", {}, "Earlier"), h("ul", { class: "cards" }, ...rest.map(card))] : []),
    ]);
  };
  await fill();
  const node = h("section", {}, h("h1", {}, "Requests"), list);
  return { node, title: "Requests", update: async (what) => void (what !== "clips" && (await fill())) };
}

/** @param {import("../messages.js").RequestRow} row */
function card(row) {
  return h(
    "li",
    {},
    h(
      "a",
      { class: "card", href: `#/requests/${row.id}` },
      h("span", { class: `chip ${row.state}` }, STATE[row.state]),
      h("strong", {}, row.agency),
      h("span", {}, row.incident_type),
      h("span", { class: "quiet" }, span(row.from, row.to)),
      row.state === "asked" && h("span", { class: "quiet" }, `You may answer until ${moment(row.expires)}`),
    ),
  );
}
