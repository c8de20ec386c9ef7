/**
 * Makes elements. Text goes in as text, never as markup: the page has no innerHTML anywhere (Trusted Types).
 */

/** @typedef {Node | string | null | undefined | false} Child */
/** @typedef {Record<string, string | number | boolean | EventListener | null | undefined>} Attributes */

/**
 * @template {Element} E
 * @param {E} element
 * @param {Attributes} attributes `onclick` and its like take functions; true and false set and leave out
 * @param {Child[]} children
 * @returns {E}
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/**
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[T]}
 */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/**
 * A button that cannot be pressed twice while it works, and that shows its own failure beside itself.
 * @param {Attributes} attributes
 * @param {Child} label
 * @param {() => Promise<void> | void} act
 * @param {(error: unknown) => void} onError
 * @returns {HTMLButtonElement}
 */
export function button(attributes, label, act, onError) {
  const made = h("button", { type: "button", ...attributes }, label);
  made.addEventListener("click", async () => {
    if (made.getAttribute("aria-disabled") === "true") return;
    made.setAttribute("aria-disabled", "true");
    try {
      await act();
    } catch (error) {
      onError(error);
    } finally {
      made.setAttribute("aria-disabled", "false");
    }
  });
  return made;
}

/**
 * Names and values beside each other.
 * @param {...([string, Child] | null | false)} rows
 */
export function facts(...rows) {
  const shown = rows.filter((row) => row !== null && row !== false);
  return h(
    "dl",
    { class: "facts" },
    ...shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

/**
 * Other children in a list of links, the finger or the screen reader still on the one it was on.
 * @param {HTMLElement} place
 * @param {() => Node[]} make may take what is in the list into others
 */
export function renew(place, make) {
  const at = place.contains(document.activeElement) && document.activeElement?.getAttribute("href");
  place.replaceChildren(...make());
  /** @type {HTMLElement | null} */
  const same = at ? place.querySelector(`[href="${CSS.escape(at)}"]`) : null;
  same?.focus({ preventScroll: true });
}

/**
 * The way up.
 * @param {string} href
 * @param {string} where
 */
export function back(href, where) {
  return h("a", { class: "back", href }, `‹ ${where}`);
}

/**
 * Somebody else's words.
 * @param {string} text
 */
export function quoted(text) {
  return h("blockquote", {}, ...text.split("\n").map((line) => h("p", { dir: "auto" }, line)));
}

/**
 * A sentence about something that went wrong.
 * @param {string} text
 */
export function trouble(text) {
  return h("p", { class: "trouble", role: "alert" }, text);
}
