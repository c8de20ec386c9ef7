/**
 * Every failure the page raises on purpose. The text is one sentence a homeowner can act on; it is shown as it is.
 */

/** Bytes that ought to be ours are damaged or forged. */
export class Corrupt extends Error {}

/** The doorbell, or a rule, said no. `reason` is its short stable name. */
export class Refused extends Error {
  /**
   * @param {string} reason kebab-case
   * @param {string} text one sentence
   */
  constructor(reason, text) {
    super(text);
    this.reason = reason;
  }
}

/** The doorbell, or something this browser should have, is not there. */
export class Unavailable extends Error {}

/**
 * What to show for anything that was thrown. A programming error keeps its own words, so that it is not hidden.
 * @param {unknown} error
 * @returns {string}
 */
export function words(error) {
  if (error instanceof Corrupt || error instanceof Refused || error instanceof Unavailable)
    return sentence(error.message);
  return `Something went wrong in this page: ${error instanceof Error ? error.message : String(error)}`;
}

/** @param {string} text */
function sentence(text) {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}
