/** Letting another phone in: a link for it, and a yes when it has opened it. */
import { back, button, h, trouble } from "../dom.js";
import { Unavailable, words } from "../errors.js";
import { admit, linkOf, makeInvitation, newcomer } from "../joining.js";

/**
 * @param {import("../main.js").App} app
 * @returns {Promise<import("../main.js").View>}
 */
export async function inviteView(app) {
  const { session } = app;
  const invitation = await makeInvitation(session.doorbell.id);
  const link = linkOf(invitation);
  const copied = h("p", { role: "status" });
  const place = h("div");
  let gone = false;
  const fail = (/** @type {unknown} */ error) => void place.append(trouble(words(error)));
  const canSend = "share" in navigator;
  const share = async () => {
    if (canSend) await navigator.share({ title: "Doorward", url: link });
    else {
      await navigator.clipboard.writeText(link);
      copied.textContent = "Copied. Send it to the other phone in a way only its owner sees.";
    }
  };
  const noShare = (/** @type {unknown} */ error) => {
    if (error instanceof DOMException && error.name === "AbortError") return; // thought better of it
    fail(new Unavailable("sharing is not allowed here; copy the link by hand"));
  };
  place.append(
    h("p", {}, "Open this link on the other phone, in your home network. It is good for one phone and ten minutes."),
    h("p", { class: "code link", translate: "no" }, link),
    h("p", { class: "buttons" }, button({ class: "primary" }, canSend ? "Send link" : "Copy link", share, noShare)),
    copied,
    h("p", { class: "quiet" }, "Waiting for the other phone…"),
  );
  const askAbout = (/** @type {import("../joining.js").Owner} */ who) =>
    place.replaceChildren(
      h("h2", {}, `“${who.name}” wants in`),
      h("p", {}, "It will open every clip recorded from now on, and can share them as you can. Older clips stay closed to it."),
      h(
        "p",
        { class: "buttons" },
        button(
          { class: "primary" },
          "Let it in",
          async () => {
            await admit(session, app.status.owners, invitation, who);
            place.replaceChildren(h("p", { role: "status" }, `“${who.name}” is an owner now.`), back("#/settings", "Settings"));
          },
          fail,
        ),
        h("a", { class: "button", href: "#/settings" }, "No"),
      ),
    );
  newcomer(session, invitation, () => gone).then((who) => who && askAbout(who), fail);
  const node = h("section", {}, back("#/settings", "Settings"), h("h1", {}, "Let another phone in"), place);
  return { node, title: "Let another phone in", close: () => (gone = true) };
}
