/**
 * The small encodings every format shares: b64u, key ids, hashes, RFC 3339 time, JSON bytes.
 * Each decoder takes exactly one spelling of a value or throws Corrupt. Source: docs/spec/conventions.md.
 */
import { Corrupt } from "./errors.js";

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VALUE_OF = new Map([...ALPHABET].map((letter, value) => [letter, value]));
const TIME = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z$/;

export const NS_PER_S = 1_000_000_000n;

/**
 * Base64url without padding (RFC 4648 section 5).
 * @param {Uint8Array} data
 * @returns {string}
 */
export function b64u(data) {
  let text = "";
  for (let at = 0; at < data.length; at += 3) {
    const left = data.length - at;
    const group = (data[at] << 16) | ((data[at + 1] ?? 0) << 8) | (data[at + 2] ?? 0);
    text += ALPHABET[group >> 18] + ALPHABET[(group >> 12) & 63];
    if (left > 1) text += ALPHABET[(group >> 6) & 63];
    if (left > 2) text += ALPHABET[group & 63];
  }
  return text;
}

/**
 * The bytes behind `text`; Corrupt unless it is their one canonical spelling (and of `length` bytes, if given).
 * @param {string} text
 * @param {number} [length]
 * @returns {Bytes}
 */
export function fromB64u(text, length) {
  const size = Math.floor((text.length * 3) / 4);
  const data = new Uint8Array(size);
  let bits = 0;
  let held = 0;
  let at = 0;
  for (const letter of text) {
    const value = VALUE_OF.get(letter);
    if (value === undefined) throw new Corrupt("base64url text has a character that does not belong there");
    held = ((held << 6) | value) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      data[at++] = (held >> bits) & 0xff;
    }
  }
  if (text.length % 4 === 1 || held & ((1 << bits) - 1)) throw new Corrupt("base64url text is not in its one form");
  if (length !== undefined && size !== length)
    throw new Corrupt(`expected ${length} bytes in base64url, found ${size}`);
  return data;
}

/**
 * @param {...Uint8Array} parts
 * @returns {Bytes}
 */
export function join(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * UTF-8, which is ASCII for every label in the formats.
 * @param {string} text
 * @returns {Bytes}
 */
export function utf8(text) {
  return new TextEncoder().encode(text);
}

/**
 * @param {Bytes} data
 * @returns {Promise<Bytes>}
 */
export async function sha256(data) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data));
}

/**
 * HMAC-SHA256. An empty key is written as zeros, which HMAC pads it to anyway (RFC 2104).
 * @param {Bytes} key
 * @param {...Uint8Array} message
 * @returns {Promise<Bytes>}
 */
export async function hmac(key, ...message) {
  const raw = key.length ? key : new Uint8Array(32);
  const handle = await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", handle, join(...message)));
}

/**
 * HKDF-Expand with SHA-256 (RFC 5869 section 2.3).
 * @param {Bytes} prk
 * @param {Uint8Array} info
 * @param {number} length at most 255 × 32
 * @returns {Promise<Bytes>}
 */
export async function expand(prk, info, length) {
  const blocks = [];
  let last = new Uint8Array(0);
  for (let n = 1; (n - 1) * 32 < length; n++) {
    last = await hmac(prk, last, info, Uint8Array.of(n));
    blocks.push(last);
  }
  return join(...blocks).slice(0, length);
}

/**
 * Whether two byte strings are equal, in time that depends on their length alone.
 * @param {Uint8Array} a
 * @param {Uint8Array} b
 * @returns {boolean}
 */
export function sameBytes(a, b) {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i] ^ b[i];
  return difference === 0;
}

/**
 * The key id of a raw 32-byte public key.
 * @param {Bytes} publicKey
 * @returns {Promise<string>}
 */
export async function keyId(publicKey) {
  return b64u((await sha256(publicKey)).slice(0, 16));
}

/**
 * UTC nanoseconds of an RFC 3339 time with Z.
 * @param {string} text
 * @returns {bigint}
 */
export function parseTime(text) {
  const match = TIME.exec(text);
  if (!match) throw new Corrupt(`'${text.slice(0, 40)}' is not a time in UTC`);
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number);
  const moment = new Date(0);
  moment.setUTCFullYear(year, month - 1, day);
  moment.setUTCHours(hour, minute, second);
  // Date rolls the 31st of June over to July; such a time was never written by anybody honest.
  if (moment.toISOString().slice(0, 19) !== text.slice(0, 19)) {
    throw new Corrupt(`'${text.slice(0, 40)}' is not a time that exists`);
  }
  return BigInt(moment.getTime()) * 1_000_000n + BigInt((match[7] ?? "").padEnd(9, "0"));
}

/**
 * RFC 3339 in UTC with as many fractional digits as it takes.
 * @param {bigint} utcNs
 * @returns {string}
 */
export function formatTime(utcNs) {
  const rest = ((utcNs % NS_PER_S) + NS_PER_S) % NS_PER_S;
  const whole = new Date(Number((utcNs - rest) / 1_000_000n)).toISOString().slice(0, 19);
  const fraction = rest ? `.${rest.toString().padStart(9, "0").replace(/0+$/, "")}` : "";
  return `${whole}${fraction}Z`;
}

/**
 * The phone's clock as UTC nanoseconds.
 * @returns {bigint}
 */
export function now() {
  return BigInt(Date.now()) * 1_000_000n;
}

/**
 * JSON bytes as a value nothing is known of yet.
 * @param {Bytes} data
 * @param {string} what names it in the error
 * @returns {unknown}
 */
export function parseJson(data, what) {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) throw new Corrupt(`${what} is not readable JSON`);
    throw error;
  }
}
