/**
 * Signed statements: JWS in compact form, verified before anything in them is parsed. Owns the envelope only.
 * Statements are kept and hashed as the verbatim text that arrived. Source: RFC 7515, RFC 9864; docs/spec/conventions.md.
 */
import { b64u, fromB64u, join, keyId, parseJson, sha256, utf8 } from "./encoding.js";
import { Corrupt, Refused } from "./errors.js";
import { anyText, exactly } from "./shape.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */

const KIB = 1024;
const LIMITS = {
  manifest: 512 * KIB,
  owners: 16 * KIB,
  paired: 4 * KIB,
  session: 4 * KIB,
  requester: 4 * KIB,
  directory: 512 * KIB,
  request: 64 * KIB,
  decision: 64 * KIB,
  receipt: 4 * KIB,
};
/** @typedef {keyof typeof LIMITS} Kind */

const ALGORITHM = "Ed25519";
// The y coordinates of the points of small order: whoever has one as key, everybody signs for.
const PRIME = 2n ** 255n - 19n;
const ORDER_8 = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;
const SMALL_ORDER = [0n, 1n, PRIME - 1n, ORDER_8, PRIME - ORDER_8];
const header = exactly({ alg: anyText, typ: anyText, kid: anyText });

/** @param {Kind} kind */
const typeOf = (kind) => `doorward.${kind}.v1`;

/**
 * The statement saying `payload`.
 * @param {Kind} kind
 * @param {object} payload
 * @param {CryptoKey} privateKey Ed25519
 * @param {string} kid its key id
 * @returns {Promise<string>}
 */
export async function sign(kind, payload, privateKey, kid) {
  const head = b64u(utf8(JSON.stringify({ alg: ALGORITHM, typ: typeOf(kind), kid })));
  const signed = `${head}.${b64u(utf8(JSON.stringify(payload)))}`;
  const signature = await crypto.subtle.sign({ name: ALGORITHM }, privateKey, utf8(signed));
  const token = `${signed}.${b64u(new Uint8Array(signature))}`;
  if (token.length > LIMITS[kind])
    throw new Refused("too-large", "this answer is too long to be signed; choose fewer clips");
  return token;
}

/**
 * @param {Kind} kind
 * @param {string} token
 * @returns {{kid: string, payload: string, signature: Bytes, signed: Bytes}}
 */
function split(kind, token) {
  const parts = token.split(".");
  if (token.length > LIMITS[kind]) throw new Refused("too-large", `a ${kind} statement is longer than allowed`);
  if (parts.length !== 3) throw new Refused("malformed", `the ${kind} statement is not a signed statement`);
  try {
    const said = header(parseJson(fromB64u(parts[0]), "the statement's header"), "the statement's header");
    fromB64u(parts[1]);
    if (said.alg !== ALGORITHM) throw new Corrupt(`statements are signed with ${ALGORITHM}`);
    if (said.typ !== typeOf(kind)) throw new Refused("wrong-type", `expected a ${kind} statement`);
    const signed = utf8(`${parts[0]}.${parts[1]}`);
    return { kid: said.kid, payload: parts[1], signature: fromB64u(parts[2], 64), signed };
  } catch (error) {
    if (error instanceof Corrupt) throw new Refused("malformed", `the ${kind} statement: ${error.message}`);
    throw error;
  }
}

/**
 * The kid a statement claims, unverified: only good for looking up which trusted key to verify with.
 * @param {Kind} kind
 * @param {string} token
 * @returns {string}
 */
export function signer(kind, token) {
  return split(kind, token).kid;
}

/** @param {Bytes} key */
function ofSmallOrder(key) {
  const number = key.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  return SMALL_ORDER.includes((number & (2n ** 255n - 1n)) % PRIME); // the top bit is the sign of x
}

/**
 * The payload, if one of the trusted raw Ed25519 `keys` signed it; else Refused.
 * @param {Kind} kind
 * @param {string} token
 * @param {Bytes[]} keys
 * @returns {Promise<unknown>}
 */
export async function verify(kind, token, keys) {
  const { kid, payload, signature, signed } = split(kind, token);
  for (const key of keys) {
    if ((await keyId(key)) !== kid) continue;
    if (ofSmallOrder(key)) throw new Refused("weak-key", `the ${kind} statement's key is one everybody can sign with`);
    const handle = await crypto.subtle.importKey("raw", key, { name: ALGORITHM }, false, ["verify"]);
    if (!(await crypto.subtle.verify({ name: ALGORITHM }, handle, signature, signed))) {
      throw new Refused("bad-signature", `the signature of the ${kind} statement does not fit`);
    }
    return content(kind, payload);
  }
  throw new Refused("unknown-signer", `the ${kind} statement is signed by a key nobody here trusts`);
}

/**
 * The payload without checking who signed it: for a statement that carries its own key, before `verify`.
 * @param {Kind} kind
 * @param {string} token
 * @returns {unknown}
 */
export function unverified(kind, token) {
  return content(kind, split(kind, token).payload);
}

/**
 * @param {Kind} kind
 * @param {string} payload
 */
function content(kind, payload) {
  try {
    return parseJson(fromB64u(payload), `the ${kind} statement`);
  } catch (error) {
    if (error instanceof Corrupt) throw new Refused("malformed", error.message);
    throw error;
  }
}

/**
 * The hash of a statement: SHA-256 over its verbatim bytes.
 * @param {string} token
 * @returns {Promise<Bytes>}
 */
export function digest(token) {
  return sha256(join(utf8(token)));
}
