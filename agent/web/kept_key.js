/**
 * The X25519 key in a form this browser can keep. Most keep the key's handle itself. WebKit stores one and reads it back
 * as nothing (it cannot deserialise X25519 keys, 2.50 and Safari 27): there the private key is kept wrapped by an AES key
 * whose handle can be kept, and is unwrapped, not extractable, each time the page opens.
 */
import { generatePair } from "./generate.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {{wrapping: CryptoKey, iv: Bytes, sealed: Bytes, publicKey: Bytes}} Wrapped */
/** @typedef {CryptoKeyPair | Wrapped} Kept */

const X25519 = { name: "X25519" };

/**
 * A new key to use, and the form to keep it in.
 * @returns {Promise<{opens: CryptoKeyPair, kept: Kept}>}
 */
export async function makeOpens() {
  const plain = await generatePair("X25519", false);
  if (canBeKept(plain.privateKey)) return { opens: plain, kept: plain };
  const pair = await generatePair("X25519", true);
  return wrapped(pair.privateKey, new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey)));
}

/**
 * The same for a key that is there already: `imported` gives it, extractable or not.
 * @param {(extractable: boolean) => Promise<CryptoKey>} imported
 * @param {Bytes} publicKey raw
 * @returns {Promise<{opens: CryptoKeyPair, kept: Kept}>}
 */
export async function keepOpens(imported, publicKey) {
  const privateKey = await imported(false);
  if (!canBeKept(privateKey)) return wrapped(await imported(true), publicKey);
  const pair = { privateKey, publicKey: await crypto.subtle.importKey("raw", publicKey, X25519, true, []) };
  return { opens: pair, kept: pair };
}

/**
 * WebCrypto wraps only what is extractable; this handle is dropped at once, its bytes are never seen by the page.
 * @param {CryptoKey} privateKey
 * @param {Bytes} publicKey
 */
async function wrapped(privateKey, publicKey) {
  const wrapping = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["wrapKey", "unwrapKey"]);
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const sealed = await crypto.subtle.wrapKey("pkcs8", privateKey, wrapping, { name: "AES-GCM", iv });
  const kept = { wrapping, iv, sealed: new Uint8Array(sealed), publicKey };
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
