/**
 * The X25519 key in a form this browser can keep. Most keep the key's handle itself. WebKit stores one and reads it back
 * as nothing (it cannot deserialise X25519 keys, 2.50 and Safari 27): there the private key is kept wrapped by an AES key
 * whose handle can be kept, and is unwrapped, not extractable, each time the page opens.
 */
/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {{wrapping: CryptoKey, iv: Bytes, sealed: Bytes, publicKey: Bytes}} Wrapped */
/** @typedef {CryptoKeyPair | Wrapped} Kept */

const X25519 = { name: "X25519" };

/**
 * A new key to use, and the form to keep it in.
 * @returns {Promise<{opens: CryptoKeyPair, kept: Kept}>}
 */
export async function makeOpens() {
  const plain = /** @type {CryptoKeyPair} */ (await crypto.subtle.generateKey(X25519, false, ["deriveBits"]));
  if (canBeKept(plain.privateKey)) return { opens: plain, kept: plain };
  // WebCrypto wraps only what is extractable; this handle is dropped at once, its bytes are never seen by the page.
  const pair = /** @type {CryptoKeyPair} */ (await crypto.subtle.generateKey(X25519, true, ["deriveBits"]));
  const wrapping = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["wrapKey", "unwrapKey"]);
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const sealed = await crypto.subtle.wrapKey("pkcs8", pair.privateKey, wrapping, { name: "AES-GCM", iv });
  const publicKey = await crypto.subtle.exportKey("raw", pair.publicKey);
  const kept = { wrapping, iv, sealed: new Uint8Array(sealed), publicKey: new Uint8Array(publicKey) };
  return { opens: await takeOut(kept), kept };
}

/**
 * The key to use, from the form it was kept in.
 * @param {Kept} kept
 * @returns {Promise<CryptoKeyPair>}
 */
export async function takeOut(kept) {
  if (!("wrapping" in kept)) return kept;
  const how = { name: "AES-GCM", iv: kept.iv };
  const privateKey = await crypto.subtle.unwrapKey("pkcs8", kept.sealed, kept.wrapping, how, X25519, false, [
    "deriveBits",
  ]);
  return { privateKey, publicKey: await crypto.subtle.importKey("raw", kept.publicKey, X25519, true, []) };
}

/** @param {CryptoKey} key */
function canBeKept(key) {
  try {
    return structuredClone(key) instanceof CryptoKey; // the same steps as keeping it
  } catch (error) {
    if (error instanceof TypeError || error instanceof DOMException) return false;
    throw error;
  }
}
