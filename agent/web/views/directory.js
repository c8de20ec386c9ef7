/** What a phone says when the doorbell goes by another directory than it remembers. */
import { h, trouble } from "../dom.js";

/**
 * Nothing where it is as remembered.
 * @param {import("../directory.js").SeenDirectory | null} seen
 * @returns {HTMLElement[]}
 */
export function directoryChanged(seen) {
  if (seen?.otherKey) {
    return [
      trouble("The directory your doorbell goes by has another key than before. If nobody at home changed it, share nothing."),
      h("p", {}, h("button", { type: "button", class: "small", onclick: seen.accept }, "We changed it")),
    ];
  }
  if (seen?.older) {
    return [trouble("Your doorbell goes by an older directory than this phone has seen. Share nothing; check it.")];
  }
  return [];
}
