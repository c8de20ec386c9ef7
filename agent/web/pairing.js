/**
 * Becoming a doorbell's first owner, proved by the secret in its link or code. Two steps, so that the recovery code can
 * be written down between them: `greet` finds out whether the secret is right, `join` spends it.
 * Source: docs/spec/identity.md "Pairing".
 */
import { callOpen } from "./api.js";
import { b64u, fromB64u, hmac, join as joinBytes, keyId, sameBytes, utf8 } from "./encoding.js";
import { Corrupt, Refused } from "./errors.js";
import * as identity from "./identity.js";
import { askToKeep, remember } from "./keystore.js";
import { helloAnswer, pairAnswer } from "./messages.js";
import { exactly, hash, id, readSigned } from "./shape.js";
import * as statements from "./statements.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {{secret: Bytes, device: string | null}} PairingCode */
/** @typedef {{secret: Bytes, id: string, key: Bytes, name: string, owners: string | null}} Greeting */

const paired = exactly({ device: id, owners: hash });

/**
 * The part of a pairing link behind `#`, or a whole link, or a typed code.
 * @param {string} typed
 * @returns {Promise<PairingCode>}
 */
export async function readPairing(typed) {
  const text = typed.trim();
  const fragment = text.includes("#") ? text.slice(text.indexOf("#") + 1) : text;
  if (!fragment.includes(".")) return { secret: await identity.readPairingCode(text), device: null };
  const fields = fragment.split(".");
  if (fields.length !== 4 || fields[0] !== "1") throw new Corrupt("this is not a pairing link of this version");
  const wrong = "this pairing link is not whole; copy all of it, or type the code that is shown with it";
  return { secret: secretOfLink(fields, wrong), device: fields[2] };
}

/**
 * The secret of a link's fields: version, secret, doorbell. Links are copied by hand, and so are cut off.
 * @param {string[]} fields
 * @param {string} wrong what to say then
 */
export function secretOfLink(fields, wrong) {
  try {
    fromB64u(fields[2], 16);
    return fromB64u(fields[1], 16);
  } catch (error) {
    if (error instanceof Corrupt) throw new Corrupt(wrong);
    throw error;
  }
}

/**
 * Both sides prove that they know the secret. Refused when one of them does not.
 * @param {PairingCode} code
 * @returns {Promise<Greeting>}
 */
export async function greet({ secret, device: expected }) {
  const proof = b64u(await hmac(secret, utf8("doorward pair hello v1")));
  const { device, owners, mac } = await callOpen("/api/pair/hello", helloAnswer, { mac: proof });
  const key = fromB64u(device.key, 32);
  await checkMac(secret, "doorward pair device v1", joinBytes(key, utf8(owners ?? "")), mac);
  if (device.id !== (await keyId(key)) || (expected !== null && expected !== device.id)) {
    throw new Refused("wrong-device", "this is not the doorbell that the pairing link came from");
  }
  return { secret, id: device.id, key, name: device.name, owners };
}

/**
 * Hand over an owner set with this phone in it. The keys are kept first: a doorbell that belongs to keys nobody has
 * would be worse than keys of no doorbell.
 * @param {Greeting} greeting
 * @param {string} name how this phone is called in the set
 * @param {identity.PublicKeys} recovery
 * @returns {Promise<import("./keystore.js").Doorbell>}
 */
export async function join(greeting, name, recovery) {
  const keys = await identity.makeKeys();
  const { secret, id: device, key, owners: current } = greeting;
  const owners = await identity.nextOwnerSet({ device, current, name, keys, recovery });
  const doorbell = { id: device, key: b64u(key), keys, older: null, owners, log: null, askers: {} };
  await remember(doorbell);
  const proof = b64u(await hmac(secret, utf8("doorward pair v1"), utf8(owners)));
  const answer = await callOpen("/api/pair", pairAnswer, { owners, mac: proof });
  await checkMac(secret, "doorward paired v1", utf8(answer.paired), answer.mac);
  const said = readSigned(paired, await statements.verify("paired", answer.paired, [key]), "the doorbell's answer");
  if (said.device !== device || said.owners !== b64u(await statements.digest(owners))) {
    throw new Refused("wrong-owner-set", "the doorbell took over other keys than the ones this phone sent");
  }
  askToKeep();
  return doorbell;
}

/**
 * @param {Bytes} secret
 * @param {string} label
 * @param {Bytes} message
 * @param {string} claimed b64u
 */
async function checkMac(secret, label, message, claimed) {
  if (!sameBytes(await hmac(secret, utf8(label), message), fromB64u(claimed, 32))) {
    throw new Refused("wrong-secret", "the doorbell that answered does not know the pairing code; do not go on");
  }
}
