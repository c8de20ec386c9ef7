/**
 * Who is who, as this phone sees it: its own two keys, the recovery code, the owner set.
 * Private keys are made by WebCrypto and cannot be read out. Source: docs/spec/identity.md.
 */
import { b64u, expand, formatTime, fromB64u, hmac, keyId, now, sha256, join, utf8 } from "./encoding.js";
import { Corrupt, Refused } from "./errors.js";
import { generatePair } from "./generate.js";
import { keepOpens, makeOpens } from "./kept_key.js";
import { anyText, exactly, hash, id, list, readSigned, text, time, whole } from "./shape.js";
import * as statements from "./statements.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */

/**
 * A phone's keys: `opens` what is sealed to it (`kept`: in the form to be stored), `decides` what it signs.
 * @typedef {{opens: CryptoKeyPair, kept: import("./kept_key.js").Kept, decides: CryptoKeyPair}} OwnerKeys
 */

/** @typedef {{opens: string, decides: string}} PublicKeys raw keys, b64u */

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; // Crockford's base 32
const CODE_LETTERS = 28;
const PEOPLE_LIMIT = 16;
const RECOVERY_CHECK = "doorward recovery check v1";
const PAIRING_CHECK = "doorward pairing check v1";
// RFC 8410: what stands before the 32 private bytes in PKCS #8; the byte at 11 names the curve.
const PKCS8 = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x00, 0x04, 0x22, 0x04, 0x20];
const CURVES = /** @type {const} */ ({ X25519: 0x6e, Ed25519: 0x70 });

const publicKeys = exactly({ opens: hash, decides: hash });
export const ownerSet = exactly({
  device: id,
  version: whole(1),
  issued: time,
  previous: anyText,
  owners: list(exactly({ name: text(1, 64), opens: hash, decides: hash }), 0, PEOPLE_LIMIT),
  recovery: list(publicKeys, 1, PEOPLE_LIMIT),
});
/** @typedef {ReturnType<typeof ownerSet>} OwnerSet */

/**
 * New keys whose private halves never leave this browser.
 * @returns {Promise<OwnerKeys>}
 */
export async function makeKeys() {
  return { ...(await makeOpens()), decides: await generatePair("Ed25519", false) };
}

/**
 * @param {CryptoKeyPair} pair
 * @returns {Promise<Bytes>}
 */
export async function rawPublic(pair) {
  return new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
}

/**
 * @param {OwnerKeys} keys
 * @returns {Promise<PublicKeys>}
 */
export async function publicHalf(keys) {
  return { opens: b64u(await rawPublic(keys.opens)), decides: b64u(await rawPublic(keys.decides)) };
}

/**
 * 16 bytes for a new recovery code, drawn again until every browser can take it. Source: ADR 0045.
 * @returns {Promise<Bytes>}
 */
export async function newRecoverySecret() {
  for (;;) {
    const secret = crypto.getRandomValues(new Uint8Array(16));
    if ((await recoverySeeds(secret)).every((seed) => seed[0] !== 0)) return secret;
  }
}

/** @param {Bytes} secret */
async function recoverySeeds(secret) {
  const prk = await hmac(utf8("doorward recovery v1"), secret);
  return Promise.all(["opens", "decides"].map((info) => expand(prk, utf8(info), 32)));
}

/**
 * The public half of the pair a recovery code stands for; the private half is forgotten at once.
 * @param {Bytes} secret 16 bytes
 * @returns {Promise<PublicKeys>}
 */
export async function recoveryKeys(secret) {
  const [opens, decides] = await recoverySeeds(secret);
  return { opens: await publicOf("X25519", opens), decides: await publicOf("Ed25519", decides) };
}

/**
 * The pair a recovery code stands for, to open what was recorded before and to sign its owner in again.
 * @param {Bytes} secret 16 bytes
 * @returns {Promise<OwnerKeys>}
 */
export async function recoveryPair(secret) {
  const [opens, decides] = await recoverySeeds(secret);
  const signs = await privateOf("Ed25519", decides, false);
  const raw = fromB64u(await publicOf("Ed25519", decides), 32);
  const verifies = await crypto.subtle.importKey("raw", raw, { name: "Ed25519" }, true, ["verify"]);
  const kept = await keepOpens(
    (extractable) => privateOf("X25519", opens, extractable),
    fromB64u(await publicOf("X25519", opens), 32),
  );
  opens.fill(0);
  decides.fill(0);
  return { ...kept, decides: { privateKey: signs, publicKey: verifies } };
}

/**
 * @param {keyof typeof CURVES} curve
 * @param {Bytes} seed
 * @param {boolean} extractable
 */
async function privateOf(curve, seed, extractable) {
  const lead = Uint8Array.from(PKCS8);
  lead[11] = CURVES[curve];
  const uses = /** @type {KeyUsage[]} */ (curve === "X25519" ? ["deriveBits"] : ["sign"]);
  return crypto.subtle.importKey("pkcs8", join(lead, seed), { name: curve }, extractable, uses);
}

/**
 * @param {keyof typeof CURVES} curve
 * @param {Bytes} seed
 * @returns {Promise<string>} b64u
 */
async function publicOf(curve, seed) {
  const jwk = await crypto.subtle.exportKey("jwk", await privateOf(curve, seed, true));
  return b64u(fromB64u(jwk.x ?? "", 32));
}

/**
 * Seven groups of four characters that stand for 16 random bytes.
 * @param {Bytes} secret
 * @returns {Promise<string>}
 */
export function recoveryCode(secret) {
  return writeCode(secret, RECOVERY_CHECK);
}

/**
 * The 16 bytes a recovery code stands for; Corrupt if it was mistyped.
 * @param {string} typed
 * @returns {Promise<Bytes>}
 */
export function readRecoveryCode(typed) {
  return readCode(typed, RECOVERY_CHECK, "recovery code");
}

/**
 * The pairing secret behind a typed code; Corrupt if it was mistyped.
 * @param {string} typed
 * @returns {Promise<Bytes>}
 */
export function readPairingCode(typed) {
  return readCode(typed, PAIRING_CHECK, "pairing code");
}

/**
 * @param {Bytes} secret
 * @param {string} label
 */
async function checkBits(secret, label) {
  const digest = await sha256(join(utf8(label), secret));
  return (digest[0] << 4) | (digest[1] >> 4);
}

/**
 * @param {Bytes} secret
 * @param {string} label
 */
async function writeCode(secret, label) {
  let bits = BigInt(await checkBits(secret, label));
  secret.forEach((byte, i) => (bits |= BigInt(byte) << BigInt(12 + 8 * (15 - i))));
  const letters = Array.from(
    { length: CODE_LETTERS },
    (_, i) => ALPHABET[Number((bits >> BigInt(5 * (27 - i))) & 31n)],
  );
  return Array.from({ length: 7 }, (_, i) => letters.slice(4 * i, 4 * i + 4).join("")).join("-");
}

/**
 * @param {string} typed
 * @param {string} label
 * @param {string} what
 */
async function readCode(typed, label, what) {
  const letters = typed.replace(/[\s-]/g, "").toUpperCase().replaceAll("O", "0").replace(/[IL]/g, "1");
  const values = [...letters].map((letter) => ALPHABET.indexOf(letter));
  if (values.length !== CODE_LETTERS || values.includes(-1)) {
    throw new Corrupt(`a ${what} has seven groups of four letters and digits; compare it with what was written down or shown`);
  }
  const bits = values.reduce((sum, value) => (sum << 5n) | BigInt(value), 0n);
  const secret = Uint8Array.from({ length: 16 }, (_, i) => Number((bits >> BigInt(12 + 8 * (15 - i))) & 0xffn));
  if (Number(bits & 0xfffn) !== (await checkBits(secret, label))) {
    throw new Corrupt(`the ${what} is mistyped somewhere: its check does not fit`);
  }
  return secret;
}

/**
 * The next owner set: what the doorbell has, and this phone with its recovery code.
 * @param {{device: string, current: string | null, name: string, keys: OwnerKeys, recovery: PublicKeys}} made
 * @returns {Promise<string>} the statement
 */
export async function nextOwnerSet({ device, current, name, keys, recovery }) {
  const old = current === null ? null : readOwnerSet(current, device);
  if (old && old.owners.length > 0) {
    throw new Refused("already-paired", "this doorbell belongs to a phone already");
  }
  const mine = await publicHalf(keys);
  const payload = {
    device,
    version: old ? old.version + 1 : 1,
    issued: formatTime(now()),
    previous: current === null ? "" : b64u(await statements.digest(current)),
    owners: [{ name, ...mine }],
    // A recovery code the doorbell made before stays: somebody may have written it down.
    recovery: [...(old ? old.recovery : []), recovery],
  };
  return statements.sign("owners", payload, keys.decides.privateKey, await keyId(fromB64u(mine.decides)));
}

/**
 * The set after `current` with these owners and the same recovery, signed by somebody in `current`.
 * @param {string} current statement
 * @param {string} device kid
 * @param {OwnerSet["owners"]} owners
 * @param {CryptoKeyPair} decides
 * @returns {Promise<string>} the statement
 */
export async function followingOwnerSet(current, device, owners, decides) {
  const old = readOwnerSet(current, device);
  const previous = b64u(await statements.digest(current));
  const payload = { device, version: old.version + 1, issued: formatTime(now()), previous, owners, recovery: old.recovery };
  return statements.sign("owners", payload, decides.privateKey, await keyId(await rawPublic(decides)));
}

/**
 * A well-formed owner set of this doorbell. Whether to believe it is for `followsOwnerSet` or pairing's MAC to say.
 * @param {string} token
 * @param {string} device kid
 * @returns {OwnerSet}
 */
export function readOwnerSet(token, device) {
  const said = readSigned(ownerSet, statements.unverified("owners", token), "the owner set");
  if (said.device !== device) throw new Refused("wrong-device", "the owner set was made for another doorbell");
  return said;
}

/**
 * Whether `token` is the set this phone knows, or the very next one signed by somebody in it.
 * @param {string} known
 * @param {string} token
 * @param {string} device kid
 * @returns {Promise<boolean>}
 */
export async function followsOwnerSet(known, token, device) {
  if (known === token) return true;
  const old = readOwnerSet(known, device);
  const signers = [...old.owners, ...old.recovery].map((person) => fromB64u(person.decides, 32));
  try {
    await statements.verify("owners", token, signers);
    const said = readOwnerSet(token, device);
    return said.version === old.version + 1 && said.previous === b64u(await statements.digest(known));
  } catch (error) {
    if (error instanceof Refused) return false;
    throw error;
  }
}
