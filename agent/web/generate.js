/**
 * New key pairs, in every browser. WebKitGTK loses a key that begins with a zero byte and says that the operation failed:
 * one Ed25519 pair in 128, one X25519 pair in 256. Source: ADR 0045, bugs.webkit.org 307095.
 */

const USES = /** @type {const} */ ({ X25519: ["deriveBits"], Ed25519: ["sign", "verify"] });
const TRIES = 8; // all of them fail once in 10¹⁶

/**
 * @param {keyof typeof USES} curve
 * @param {boolean} extractable
 * @returns {Promise<CryptoKeyPair>}
 */
export async function generatePair(curve, extractable) {
  for (let tries = 1; ; tries++) {
    try {
      const pair = await crypto.subtle.generateKey({ name: curve }, extractable, USES[curve]);
      return /** @type {CryptoKeyPair} */ (pair);
    } catch (error) {
      const lost = error instanceof DOMException && error.name === "OperationError";
      if (!lost || tries === TRIES) throw error;
    }
  }
}
