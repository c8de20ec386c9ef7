/**
 * How another phone becomes an owner, from both sides; how somebody is taken out; how one comes back with the recovery
 * code. The inviting phone makes the secret; the doorbell is only the letter box and never sees it.
 * Source: docs/spec/identity.md "Another phone", "Coming back".
 */
import { callOpen, Session } from "./api.js";
import { b64u, fromB64u, hmac, join as joinBytes, keyId, parseJson, sameBytes, sha256, utf8 } from "./encoding.js";
import { Corrupt, Refused, Unavailable } from "./errors.js";
import * as identity from "./identity.js";
import { askToKeep, remember } from "./keystore.js";
import { device as deviceAnswer, joiningState, taken, welcome } from "./messages.js";
import { secretOfLink } from "./pairing.js";
import { exactly, hash, text } from "./shape.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {{device: string, secret: Bytes, slot: string}} Invitation */
/** @typedef {identity.OwnerSet["owners"][number]} Owner */

const ASK_AGAIN_MS = 1000;
const LIFE_MS = 600_000;
const entryShape = exactly({ name: text(1, 64), opens: hash, decides: hash });

/**
 * @param {string} device kid
 * @param {Bytes} secret 16 bytes
 * @returns {Promise<Invitation>}
 */
async function invitationOf(device, secret) {
  const digest = await sha256(joinBytes(utf8("doorward join slot v1"), secret));
  return { device, secret, slot: b64u(digest.slice(0, 16)) };
}

/** @param {string} device kid @returns {Promise<Invitation>} */
export function makeInvitation(device) {
  return invitationOf(device, crypto.getRandomValues(new Uint8Array(16)));
}

/** @param {Invitation} invitation */
export function linkOf({ device, secret }) {
  return `${location.origin}/pair#2.${b64u(secret)}.${device}.`;
}

/** Whether what stands behind `#` is an invitation, not a first pairing. @param {string} fragment */
export const isInvitation = (fragment) => fragment.startsWith("2.");

/**
 * An invitation link, or the part of it behind `#`.
 * @param {string} typed
 * @returns {Promise<Invitation>}
 */
export async function readInvitation(typed) {
  const fields = typed.trim().slice(typed.trim().indexOf("#") + 1).split(".");
  if (fields.length !== 4 || fields[0] !== "2") throw new Corrupt("this is not an invitation link; copy all of it");
  return invitationOf(fields[2], secretOfLink(fields, "this invitation link is not whole; copy all of it"));
}

/**
 * Wait until the invited phone has answered; null when the view has gone.
 * @param {Session} session
 * @param {Invitation} invitation
 * @param {() => boolean} gone
 * @returns {Promise<Owner | null>}
 */
export async function newcomer(session, invitation, gone) {
  await session.post("/api/joining", { slot: invitation.slot }, joiningState);
  const until = Date.now() + LIFE_MS;
  while (!gone()) {
    const state = await session.get(`/api/joining/${invitation.slot}`, joiningState);
    if (state.entry !== null) {
      await checkMac(invitation, "doorward join v1", state.entry, state.mac, "somebody else answered this invitation; make a new one");
      return entryShape(parseJson(utf8(state.entry), "the new phone's answer"), "the new phone's answer");
    }
    if (Date.now() > until) throw new Unavailable("nobody opened the invitation in ten minutes; make a new one");
    await pause();
  }
  return null;
}

/**
 * Sign the newcomer into the owner set.
 * @param {Session} session
 * @param {string} current statement
 * @param {Invitation} invitation
 * @param {Owner} who
 */
export async function admit(session, current, invitation, who) {
  const { doorbell } = session;
  const old = identity.readOwnerSet(current, doorbell.id);
  const owners = await identity.followingOwnerSet(current, doorbell.id, [...old.owners, who], doorbell.keys.decides);
  const mac = b64u(await hmac(invitation.secret, utf8("doorward joined v1"), utf8(owners)));
  await session.post("/api/owners", { owners, slot: invitation.slot, mac }, taken);
}

/**
 * Take somebody out.
 * @param {Session} session
 * @param {string} current statement
 * @param {string} decides the one's key, b64u
 */
export async function remove(session, current, decides) {
  const { doorbell } = session;
  const rest = identity.readOwnerSet(current, doorbell.id).owners.filter((owner) => owner.decides !== decides);
  const owners = await identity.followingOwnerSet(current, doorbell.id, rest, doorbell.keys.decides);
  await session.post("/api/owners", { owners }, taken);
}

/**
 * Answer an invitation and wait to be let in.
 * @param {Invitation} invitation
 * @param {string} name
 * @param {() => boolean} gone
 * @returns {Promise<import("./keystore.js").Doorbell | null>}
 */
export async function join(invitation, name, gone) {
  const found = await callOpen("/api/device", deviceAnswer);
  const key = fromB64u(found.key, 32);
  if (found.id !== invitation.device || (await keyId(key)) !== found.id) {
    throw new Refused("wrong-device", "this is not the doorbell that the invitation is for");
  }
  const keys = await identity.makeKeys();
  const me = { name, ...(await identity.publicHalf(keys)) };
  const entry = JSON.stringify(me);
  const mac = b64u(await hmac(invitation.secret, utf8("doorward join v1"), utf8(entry)));
  const doorbell = { id: found.id, key: found.key, keys, older: null, owners: "", log: null, askers: {} };
  await remember(doorbell); // before anybody seals to them
  const path = `/api/join/${invitation.slot}`;
  await callOpen(path, welcome, { entry, mac });
  while (!gone()) {
    const said = await callOpen(path, welcome);
    if (said.owners !== null) {
      const wrong = "this answer is not from the phone that invited; ask for a new invitation";
      await checkMac(invitation, "doorward joined v1", said.owners, said.mac, wrong);
      const set = identity.readOwnerSet(said.owners, found.id);
      if (!set.owners.some((owner) => owner.decides === me.decides && owner.opens === me.opens)) {
        throw new Refused("wrong-owner-set", "the new list of owners does not have this phone's keys in it");
      }
      return keep({ ...doorbell, owners: said.owners });
    }
    await pause();
  }
  return null;
}

/**
 * Become an owner again with the recovery code. `alone`: take everybody else out.
 * @param {{id: string, key: string}} found the doorbell
 * @param {string} code as typed
 * @param {string} name
 * @param {boolean} alone
 * @returns {Promise<import("./keystore.js").Doorbell>}
 */
export async function comeBack(found, code, name, alone) {
  const secret = await identity.readRecoveryCode(code);
  const recovered = await identity.recoveryPair(secret);
  secret.fill(0);
  const keys = await identity.makeKeys();
  const base = { id: found.id, key: found.key, owners: "", log: null, askers: {} };
  const session = new Session({ ...base, keys: recovered, older: null });
  let current;
  try {
    await session.open();
    current = await session.ownersNow();
  } catch (error) {
    if (!(error instanceof Refused && error.reason === "unknown-signer")) throw error;
    throw new Refused("not-an-owner", "this recovery code is not one of this doorbell's");
  }
  const me = { name, ...(await identity.publicHalf(keys)) };
  const others = alone ? [] : identity.readOwnerSet(current, found.id).owners;
  const owners = await identity.followingOwnerSet(current, found.id, [...others, me], recovered.decides);
  const doorbell = { ...base, keys, older: { opens: recovered.opens, kept: recovered.kept }, owners };
  await remember(doorbell);
  await session.post("/api/owners", { owners }, taken);
  return keep(doorbell);
}

/** @param {import("./keystore.js").Doorbell} doorbell */
async function keep(doorbell) {
  await remember(doorbell);
  askToKeep();
  return doorbell;
}

/**
 * @param {Invitation} invitation
 * @param {string} label
 * @param {string} message
 * @param {string} claimed b64u
 * @param {string} wrong said when it does not fit
 */
async function checkMac({ secret }, label, message, claimed, wrong) {
  const mac = await hmac(secret, utf8(label), utf8(message));
  if (!sameBytes(mac, fromB64u(claimed, 32))) throw new Refused("wrong-secret", wrong);
}

function pause() {
  return new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
}
