/** A phone the doorbell does not know yet: invited by another one, or back with the recovery code. */
import { button, h, trouble } from "../dom.js";
import { words } from "../errors.js";
import { comeBack, join, readInvitation } from "../joining.js";

/** @typedef {(doorbell: import("../keystore.js").Doorbell) => Promise<void>} OnPaired */

/**
 * @param {string} fragment of the invitation link
 * @param {string} suggested name
 * @param {OnPaired} onPaired
 */
export function invitedView(fragment, suggested, onPaired) {
  const { node, problems, fail } = screen();
  const name = nameField(suggested);
  const answer = async () => {
    const invitation = await readInvitation(fragment);
    const waiting = h("p", { role: "status" }, "Now the other phone has to let you in. Waiting…");
    node.append(waiting);
    try {
      const doorbell = await join(invitation, name.value.trim() || suggested, () => !node.isConnected);
      if (doorbell) await onPaired(doorbell);
    } finally {
      waiting.remove();
    }
  };
  node.append(
    h("h1", {}, "You are invited"),
    h("p", {}, "An owner of this doorbell lets this phone in. It will make a key of its own, and open what is recorded from now on."),
    h("label", { for: "name" }, "What shall this phone be called?"),
    name,
    button({ class: "primary" }, "Make my key", answer, fail),
    problems,
  );
  return node;
}

/**
 * @param {{id: string, key: string}} device
 * @param {string} suggested name
 * @param {OnPaired} onPaired
 */
export function comeBackView(device, suggested, onPaired) {
  const { node, problems, fail } = screen();
  const code = h("input", {
    id: "code",
    autocomplete: "off",
    autocapitalize: "characters",
    spellcheck: "false",
    placeholder: "XXXX-XXXX-XXXX-XXXX-XXXX-XXXX-XXXX",
  });
  const name = nameField(suggested);
  const alone = h("input", { id: "alone", type: "checkbox" });
  node.append(
    h("h1", {}, "Back with the recovery code"),
    h("p", {}, "The code opens every clip and makes this phone an owner again. Typing it here is safe if this is your doorbell's page."),
    h("label", { for: "code" }, "Recovery code"),
    code,
    h("label", { for: "name" }, "What shall this phone be called?"),
    name,
    h("p", {}, h("label", { for: "alone" }, alone, " Take out all other phones: they are lost or stolen")),
    button(
      { class: "primary" },
      "Open my doorbell",
      async () => onPaired(await comeBack(device, code.value, name.value.trim() || suggested, alone.checked)),
      fail,
    ),
    problems,
  );
  return node;
}

function screen() {
  const problems = h("div");
  const node = h("section", { class: "pair" }, h("img", { src: "/app/icon.svg", alt: "", width: 64, height: 64 }));
  return { node, problems, fail: (/** @type {unknown} */ error) => problems.replaceChildren(trouble(words(error))) };
}

/** @param {string} value */
const nameField = (value) => h("input", { id: "name", maxlength: 64, value, autocomplete: "off" });
