/**
 * Pairing: the code (from the link, or typed), a name for this phone, the recovery code to write down, then the keys.
 */
import { button, facts, h, trouble } from "../dom.js";
import { Unavailable, words } from "../errors.js";
import { newRecoverySecret, recoveryCode, recoveryKeys } from "../identity.js";
import { isInvitation } from "../joining.js";
import { greet, join, readPairing } from "../pairing.js";
import { grouped } from "../words.js";
import { comeBackView, invitedView } from "./newcomer.js";

/**
 * @param {{id: string, key: string, name: string, paired: boolean}} device
 * @param {string} fragment of the pairing link; empty where the page was opened by its plain address
 * @param {(doorbell: import("../keystore.js").Doorbell) => Promise<void>} onPaired
 * @returns {HTMLElement}
 */
export function pairView(device, fragment, onPaired) {
  const node = h("section", { class: "pair" });
  const problems = h("div");
  const show = (/** @type {import("../dom.js").Child[]} */ ...children) => {
    node.replaceChildren(
      ...[h("img", { src: "/app/icon.svg", alt: "", width: 64, height: 64 }), ...children, problems].filter(
        (c) => c instanceof Node,
      ),
    );
    problems.replaceChildren();
    const heading = node.querySelector("h1");
    heading?.setAttribute("tabindex", "-1");
    heading?.focus();
  };
  const fail = (/** @type {unknown} */ error) => problems.replaceChildren(trouble(words(error)));

  const tryCode = async (/** @type {string} */ typed) => {
    problems.replaceChildren();
    askName(await greet(await readPairing(typed)));
  };

  const askCode = () => {
    if (device.paired) {
      show(
        h("h1", {}, "This doorbell has its phone"),
        h("p", {}, "This browser has no key to it. Open this page in the browser you paired with; or let that phone invite this one, in its settings, and open the link it makes."),
        button({}, "I have my recovery code", () => node.replaceWith(comeBackView(device, nameOfDevice(), onPaired)), fail),
      );
      return;
    }
    const input = h("input", {
      id: "code",
      autocomplete: "off",
      autocapitalize: "characters",
      spellcheck: "false",
      placeholder: "XXXX-XXXX-XXXX-XXXX-XXXX-XXXX-XXXX",
    });
    const form = h(
      "form",
      {},
      h("label", { for: "code" }, "Pairing code"),
      input,
      button({ class: "primary" }, "Go on", () => tryCode(input.value), fail),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      tryCode(input.value).catch(fail);
    });
    show(
      h("h1", {}, "Make this phone yours"),
      h("p", {}, "Your video stays on your doorbell, locked, until you share it. This phone will hold the key."),
      h("p", {}, "Open the link your doorbell shows, or type the code beside it. It is good for ten minutes."),
      form,
    );
  };

  const askName = (/** @type {import("../pairing.js").Greeting} */ greeting) => {
    const input = h("input", { id: "name", maxlength: 64, value: nameOfDevice(), autocomplete: "off" });
    show(
      h("h1", {}, greeting.name ? `Pair with “${greeting.name}”` : "Pair with this doorbell"),
      h("p", {}, "The doorbell knows your code, and proved it. It has this key id:"),
      h("p", { class: "kid" }, grouped(greeting.id)),
      h("label", { for: "name" }, "What shall this phone be called?"),
      input,
      button(
        { class: "primary" },
        "Make my key",
        () => showRecovery(greeting, input.value.trim() || nameOfDevice()),
        fail,
      ),
    );
  };

  const showRecovery = async (/** @type {import("../pairing.js").Greeting} */ greeting, /** @type {string} */ name) => {
    const secret = await newRecoverySecret();
    const recovery = await recoveryKeys(secret);
    const code = await recoveryCode(secret);
    secret.fill(0);
    const copied = h("span", { role: "status" });
    show(
      h("h1", {}, "Write down your recovery code"),
      h(
        "p",
        {},
        "If this phone is lost, this code is the only other way to open your clips. Nobody else has it, not even the doorbell, and it is shown only now.",
      ),
      h(
        "p",
        { class: "code", translate: "no" },
        ...code.split("-").flatMap((group, i) => [i ? h("wbr") : null, h("span", {}, group), i < 6 ? "-" : null]),
      ),
      h(
        "p",
        { class: "buttons" },
        button(
          {},
          "Copy",
          async () => {
            await navigator.clipboard.writeText(code);
            copied.textContent = "Copied. Paste it somewhere safe, not on this phone alone.";
          },
          () => fail(new Unavailable("copying is not allowed here; write the code down by hand")),
        ),
        button(
          { class: "primary" },
          "I have written it down",
          async () => {
            const doorbell = await join(greeting, name, recovery);
            await onPaired(doorbell);
          },
          fail,
        ),
      ),
      h("p", {}, copied),
      facts(["Phone", name], ["Doorbell", greeting.name || grouped(greeting.id)]),
    );
  };

  if (isInvitation(fragment)) return invitedView(fragment, nameOfDevice(), onPaired);
  if (fragment) {
    show(h("h1", {}, "Finding your doorbell…"));
    tryCode(fragment).catch((error) => {
      askCode();
      fail(error);
    });
  } else askCode();
  return node;
}

/** What most people call the thing in their hand. */
function nameOfDevice() {
  const agent = navigator.userAgent;
  if (/iPhone/.test(agent)) return "iPhone";
  if (/iPad/.test(agent)) return "iPad";
  if (/Android/.test(agent)) return "Android phone";
  return "This computer";
}
