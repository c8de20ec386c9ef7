/**
 * HPKE as Doorward uses it: base mode, single shot, X25519, HKDF-SHA256, AES-256-GCM, no additional data.
 * A message is `enc (32) ‖ ct`. Built on WebCrypto alone; a private key never leaves it.
 * Source: RFC 9180 sections 4.1, 5.1 and 6.1; docs/spec/conventions.md.
 */
import { expand, hmac, join, utf8 } from "./encoding.js";
import { Corrupt } from "./errors.js";
import { generatePair } from "./generate.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {{key: Bytes, nonce: Bytes}} Context what the AEAD is used with, once */

const VERSION = utf8("HPKE-v1");
const KEM_SUITE = join(utf8("KEM"), Uint8Array.of(0x00, 0x20));
const SUITE = join(utf8("HPKE"), Uint8Array.of(0x00, 0x20, 0x00, 0x01, 0x00, 0x02));
const EMPTY = new Uint8Array(0);
const ENC_BYTES = 32;
const TAG_BYTES = 16;

export const OVERHEAD_BYTES = ENC_BYTES + TAG_BYTES;

/**
 * @param {Bytes} suite
 * @param {Bytes} salt
 * @param {string} label
 * @param {Uint8Array} ikm
 */
function labeledExtract(suite, salt, label, ikm) {
  return hmac(salt, VERSION, suite, utf8(label), ikm);
}

/**
 * @param {Bytes} suite
 * @param {Bytes} prk
 * @param {string} label
 * @param {Uint8Array} info
 * @param {number} length
 */
function labeledExpand(suite, prk, label, info, length) {
  return expand(prk, join(Uint8Array.of(length >> 8, length & 0xff), VERSION, suite, utf8(label), info), length);
}

/**
 * The Diffie-Hellman result. WebCrypto refuses the all-zero result of a low-order point (RFC 9180 section 7.1.4).
 * @param {CryptoKey} privateKey X25519
 * @param {Bytes} publicKey raw
 * @returns {Promise<Bytes>}
 */
async function agree(privateKey, publicKey) {
  try {
    const theirs = await crypto.subtle.importKey("raw", publicKey, { name: "X25519" }, true, []);
    return new Uint8Array(await crypto.subtle.deriveBits({ name: "X25519", public: theirs }, privateKey, 256));
  } catch (error) {
    if (error instanceof DOMException) throw new Corrupt("this is not a usable X25519 key");
    throw error;
  }
}

/**
 * The KEM's shared secret (section 4.1, ExtractAndExpand).
 * @param {CryptoKey} privateKey ours: ephemeral when sealing, the recipient's when opening
 * @param {Bytes} theirs raw public key of the other side
 * @param {Bytes} enc
 * @param {Bytes} recipient raw public key
 * @returns {Promise<Bytes>}
 */
export async function sharedSecret(privateKey, theirs, enc, recipient) {
  const prk = await labeledExtract(KEM_SUITE, EMPTY, "eae_prk", await agree(privateKey, theirs));
  return labeledExpand(KEM_SUITE, prk, "shared_secret", join(enc, recipient), 32);
}

/**
 * The key schedule of base mode (section 5.1).
 * @param {Bytes} secret
 * @param {Uint8Array} info
 * @returns {Promise<Context>}
 */
export async function schedule(secret, info) {
  const [pskIdHash, infoHash] = await Promise.all([
    labeledExtract(SUITE, EMPTY, "psk_id_hash", EMPTY),
    labeledExtract(SUITE, EMPTY, "info_hash", info),
  ]);
  const context = join(Uint8Array.of(0), pskIdHash, infoHash);
  const prk = await labeledExtract(SUITE, secret, "secret", EMPTY);
  const [key, nonce] = await Promise.all([
    labeledExpand(SUITE, prk, "key", context, 32),
    labeledExpand(SUITE, prk, "base_nonce", context, 12),
  ]);
  return { key, nonce };
}

/**
 * `enc ‖ ct` that only the holder of `recipient` can open. Corrupt for a useless key.
 * @param {Bytes} plaintext
 * @param {Bytes} recipient raw X25519 public key
 * @param {Uint8Array} info
 * @returns {Promise<Bytes>}
 */
export async function seal(plaintext, recipient, info) {
  const ephemeral = await generatePair("X25519", false);
  const enc = new Uint8Array(await crypto.subtle.exportKey("raw", ephemeral.publicKey));
  const { key, nonce } = await schedule(await sharedSecret(ephemeral.privateKey, recipient, enc, recipient), info);
  const aes = await crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt"]);
  return join(enc, new Uint8Array(await crypto.subtle.encrypt({ name: "AES-GCM", iv: nonce }, aes, plaintext)));
}

/**
 * The plaintext; Corrupt if it was sealed to another key, for another purpose (`info`), or altered.
 * @param {Bytes} sealed
 * @param {CryptoKey} privateKey X25519
 * @param {Bytes} publicKey the same key's raw public half
 * @param {Uint8Array} info
 * @returns {Promise<Bytes>}
 */
export async function open(sealed, privateKey, publicKey, info) {
  if (sealed.length < OVERHEAD_BYTES) throw new Corrupt("this is too short to be a sealed message");
  const enc = sealed.slice(0, ENC_BYTES);
  const { key, nonce } = await schedule(await sharedSecret(privateKey, enc, enc, publicKey), info);
  const aes = await crypto.subtle.importKey("raw", key, "AES-GCM", false, ["decrypt"]);
  try {
    return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv: nonce }, aes, sealed.slice(ENC_BYTES)));
  } catch (error) {
    if (error instanceof DOMException) throw new Corrupt("this was not sealed to this phone's key, or it was altered");
    throw error;
  }
}
