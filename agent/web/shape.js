/**
 * Says what a JSON value has to look like, and gives it back typed; anything else is Corrupt, with the place named.
 * Signed formats refuse names they do not know (`exactly`); answers of the doorbell may say more (`atLeast`).
 */
import { Corrupt, Refused } from "./errors.js";
import { fromB64u, parseTime } from "./encoding.js";

/**
 * @template T
 * @typedef {(value: unknown, where: string) => T} Reader
 */

/**
 * @template {Record<string, Reader<any>>} S
 * @typedef {{[K in keyof S]: ReturnType<S[K]>}} Read
 */

/**
 * @param {number} least
 * @param {number} most characters
 * @returns {Reader<string>}
 */
export function text(least, most) {
  return (value, where) => {
    if (typeof value !== "string" || [...value].length < least || [...value].length > most) {
      throw new Corrupt(`${where} is not a text of ${least} to ${most} characters`);
    }
    return value;
  };
}

/** @type {Reader<string>} */
export const anyText = (value, where) => {
  if (typeof value !== "string") throw new Corrupt(`${where} is not a text`);
  return value;
};

/**
 * @param {number} least
 * @param {number} most
 * @returns {Reader<number>}
 */
export function whole(least = 0, most = Number.MAX_SAFE_INTEGER) {
  return (value, where) => {
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least || value > most) {
      throw new Corrupt(`${where} is not a whole number from ${least} to ${most}`);
    }
    return value;
  };
}

/** @type {Reader<number>} */
export const decimal = (value, where) => {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new Corrupt(`${where} is not a number`);
  return value;
};

/** @type {Reader<boolean>} */
export const flag = (value, where) => {
  if (typeof value !== "boolean") throw new Corrupt(`${where} is neither true nor false`);
  return value;
};

/**
 * b64u of `length` bytes, kept as text.
 * @param {number} length
 * @returns {Reader<string>}
 */
export function bytesText(length) {
  return (value, where) => {
    fromB64u(anyText(value, where), length);
    return anyText(value, where);
  };
}

/** b64u of 16 bytes: a key id or an id. @type {Reader<string>} */
export const id = bytesText(16);

/** b64u of 32 bytes: a hash or a raw key. @type {Reader<string>} */
export const hash = bytesText(32);

/** RFC 3339 in UTC, kept as text. @type {Reader<string>} */
export const time = (value, where) => {
  parseTime(anyText(value, where));
  return anyText(value, where);
};

/**
 * @template {string} W
 * @param {...W} words
 * @returns {Reader<W>}
 */
export function oneOf(...words) {
  return (value, where) => {
    const found = words.find((word) => word === value);
    if (found === undefined) throw new Corrupt(`${where} is none of ${words.join(", ")}`);
    return found;
  };
}

/**
 * @template T
 * @param {Reader<T>} reader
 * @returns {Reader<T | null>}
 */
export function orNull(reader) {
  return (value, where) => (value === null ? null : reader(value, where));
}

/**
 * @template T
 * @param {Reader<T>} reader
 * @param {number} least
 * @param {number} most
 * @returns {Reader<T[]>}
 */
export function list(reader, least, most) {
  return (value, where) => {
    if (!Array.isArray(value) || value.length < least || value.length > most) {
      throw new Corrupt(`${where} is not a list of ${least} to ${most}`);
    }
    return value.map((item, i) => reader(item, `${where}[${i}]`));
  };
}

/**
 * @param {unknown} value
 * @param {string} where
 * @returns {Record<string, unknown>}
 */
function record(value, where) {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Corrupt(`${where} is not an object`);
  return /** @type {Record<string, unknown>} */ (value);
}

/**
 * An object with these names, others ignored.
 * @template {Record<string, Reader<any>>} S
 * @param {S} shape
 * @returns {Reader<Read<S>>}
 */
export function atLeast(shape) {
  return (value, where) => {
    const found = record(value, where);
    const read = Object.entries(shape).map(([name, reader]) => [name, reader(found[name], `${where}.${name}`)]);
    return Object.fromEntries(read);
  };
}

/**
 * An object with these names and no others.
 * @template {Record<string, Reader<any>>} S
 * @param {S} shape
 * @returns {Reader<Read<S>>}
 */
export function exactly(shape) {
  const inner = atLeast(shape);
  return (value, where) => {
    const unknown = Object.keys(record(value, where)).find((name) => !Object.hasOwn(shape, name));
    if (unknown !== undefined) throw new Corrupt(`${where} has the unknown name '${unknown.slice(0, 40)}'`);
    return inner(value, where);
  };
}

/**
 * A table from any name to values of one kind.
 * @template T
 * @param {Reader<T>} reader
 * @param {number} most
 * @returns {Reader<Record<string, T>>}
 */
export function table(reader, most) {
  return (value, where) => {
    const entries = Object.entries(record(value, where));
    if (entries.length > most) throw new Corrupt(`${where} has more than ${most} entries`);
    return Object.fromEntries(entries.map(([name, item]) => [name, reader(item, `${where}.${name}`)]));
  };
}

/**
 * A signed payload that is not as its page says is refused, like everything signed but wrong.
 * @template T
 * @param {Reader<T>} reader
 * @param {unknown} value
 * @param {string} what
 * @returns {T}
 */
export function readSigned(reader, value, what) {
  try {
    return reader(value, what);
  } catch (error) {
    if (error instanceof Corrupt) throw new Refused("malformed", error.message);
    throw error;
  }
}
