/** One request: checked on this phone, then shown for review or with what became of it. */
import { back, h, trouble } from "../dom.js";
import { Corrupt, Refused, words } from "../errors.js";
import { requestDetail } from "../messages.js";
import { checkRequest } from "../request.js";
import { outcomeView } from "./outcome.js";
import { reviewView } from "./review.js";

/**
 * @param {import("../main.js").App} app
 * @param {string} id
 * @returns {Promise<import("../main.js").View>}
 */
export async function requestView(app, id) {
  const read = () => app.session.get(`/api/requests/${encodeURIComponent(id)}`, requestDetail);
  const detail = await read();
  let checked;
  try {
    checked = await checkRequest(detail.request, detail.requester);
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Corrupt)) throw error;
    return notGenuine(error);
  }
  const make = detail.row.state === "asked" ? reviewView : outcomeView;
  const view = await make(app, detail, checked);
  return {
    ...view,
    update: async (what) => {
      if (what === "clips") return;
      const fresh = await read();
      if (fresh.row.state !== detail.row.state) await app.reload();
      else await view.refresh?.(fresh);
    },
  };
}

/**
 * A request this phone cannot verify is not answered at all.
 * @param {unknown} error
 * @returns {import("../main.js").View}
 */
function notGenuine(error) {
  const node = h(
    "section",
    {},
    back("#/requests", "Requests"),
    h("h1", {}, "This request does not check out"),
    trouble(words(error)),
    h(
      "p",
      {},
      "Your phone checks every request again by itself. This one cannot be answered from here. Nothing has been sent, and nothing will be.",
    ),
  );
  return { node, title: "Request" };
}
