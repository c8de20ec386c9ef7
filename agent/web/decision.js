/**
 * The owner's answer: which records of which clips, signed by this phone, and their keys sealed to the requester.
 * Only opened clips go in, so what is signed is what could be seen. Source: docs/spec/decision.md.
 */
import { b64u, formatTime, fromB64u, join, keyId, NS_PER_S, utf8 } from "./encoding.js";
import { Refused } from "./errors.js";
import { isKey, range } from "./clip.js";
import * as hpke from "./hpke.js";
import { rawPublic, readOwnerSet } from "./identity.js";
import { exactly, hash, id, list, oneOf, readSigned, text, time, whole } from "./shape.js";
import * as statements from "./statements.js";

/** @typedef {import("./clip.js").OpenedClip} OpenedClip */
/** @typedef {import("./messages.js").RecordPlace} RecordPlace */

/**
 * What to share of one clip: video records `first` to `last`, and those of its sound where it was put in.
 * @typedef {{clip: OpenedClip, first: number, last: number, sound?: {first: number, last: number} | null}} Choice
 */

const LIFE_NS = 7n * 86_400n * NS_PER_S;
const CLIPS_LIMIT = 64;

const trackSpan = exactly({ track: oneOf("video", "audio"), first: whole(1), last: whole(1), digest: hash });
const decision = exactly({
  request: hash,
  device: id,
  answer: oneOf("share", "decline"),
  clips: list(exactly({ clip: id, header: hash, tracks: list(trackSpan, 1, 2) }), 0, CLIPS_LIMIT),
  requester: id,
  key: id,
  purpose: text(0, 500),
  issued: time,
  not_before: time,
  expires: time,
});
/** @typedef {ReturnType<typeof decision>} Decision */

/**
 * First and last of the records that show `startNs` to `endNs` (clip time), from the key record at or before the
 * beginning on; null if none does.
 * @param {RecordPlace[]} records of one track
 * @param {bigint} startNs
 * @param {bigint} endNs
 * @returns {{first: number, last: number} | null}
 */
export function recordsFor(records, startNs, endNs) {
  const inside = records
    .slice(1)
    .filter((r) => BigInt(r.start_ns) < endNs && BigInt(r.start_ns) + BigInt(r.duration_ns) > startNs);
  if (inside.length === 0) return null;
  const key = records.slice(1, inside[0].index + 1).findLast(isKey);
  return key ? { first: key.index, last: inside[inside.length - 1].index } : null;
}

/**
 * The sound of video records `first` to `last`, as far as it was asked for; null if there is none.
 * @param {OpenedClip} clip
 * @param {number} first
 * @param {number} last
 * @param {{fromNs: bigint, toNs: bigint}} asked
 */
export function soundOf(clip, first, last, { fromNs, toNs }) {
  const places = clip.track("video");
  const [startNs, endNs] = [BigInt(places[first].start_ns), BigInt(places[last].start_ns + places[last].duration_ns)];
  const [from, to] = [fromNs - clip.startNs, toNs - clip.startNs];
  return recordsFor(clip.track("audio"), startNs > from ? startNs : from, endNs < to ? endNs : to);
}

/**
 * @param {Choice} choice
 * @returns {Promise<Decision["clips"][number]>}
 */
async function sharedClip({ clip, first, last, sound }) {
  const digest = b64u(await clip.spanDigest("video", first, last));
  /** @type {Decision["clips"][number]["tracks"]} */
  const tracks = [{ track: "video", first, last, digest }];
  if (sound) tracks.push({ track: "audio", ...sound, digest: b64u(await clip.spanDigest("audio", sound.first, sound.last)) });
  return { clip: clip.id, header: b64u(clip.hh), tracks };
}

/**
 * A signed yes to `choices` (a signed no, if there are none) and one release a clip, ready to be sent.
 * @param {import("./request.js").CheckedRequest} asked
 * @param {import("./keystore.js").Doorbell} doorbell
 * @param {Choice[]} choices
 * @param {number} undoS how long the yes can be taken back
 * @param {number} nowMs the doorbell's clock, which judges it: a phone's may be off by hours
 * @returns {Promise<{decision: string, releases: string[]}>}
 */
export async function decide(asked, doorbell, choices, undoS, nowMs) {
  const issued = BigInt(Math.round(nowMs)) * 1_000_000n;
  const payload = {
    request: asked.hash,
    device: doorbell.id,
    answer: choices.length > 0 ? "share" : "decline",
    clips: await Promise.all(choices.map(sharedClip)),
    requester: asked.said.requester.id,
    key: asked.keyId,
    purpose: asked.said.purpose,
    issued: formatTime(issued),
    not_before: formatTime(issued + BigInt(Math.round(undoS * 1e9))),
    expires: formatTime(issued + LIFE_NS),
  };
  readSigned(decision, payload, "your answer"); // the limits of the format, before anything is signed
  const { decides } = doorbell.keys;
  const token = await statements.sign("decision", payload, decides.privateKey, await keyId(await rawPublic(decides)));
  const recipient = fromB64u(asked.said.key, 32);
  const releases = [];
  for (const [i, choice] of choices.entries()) {
    releases.push(b64u(await seal(token, payload.clips[i], choice.clip, recipient)));
  }
  return { decision: token, releases };
}

/**
 * One release: the secrets of exactly the agreed records, sealed to the requester.
 * @param {string} token the decision
 * @param {Decision["clips"][number]} shared
 * @param {OpenedClip} clip
 * @param {import("./encoding.js").Bytes} recipient raw key
 */
async function seal(token, shared, clip, recipient) {
  const wanted = shared.tracks.flatMap(({ track, first, last }) =>
    [0, ...range(first, last)].map((index) => clip.recordSecret(track, index)),
  );
  const info = join(utf8("doorward release v1"), await statements.digest(token), clip.hh);
  return hpke.seal(join(...(await Promise.all(wanted))), recipient, info);
}

/**
 * A decision made earlier, by this phone or another of the owner set.
 * @param {string} token
 * @param {import("./keystore.js").Doorbell} doorbell
 * @param {string} request hash
 * @returns {Promise<Decision>}
 */
export async function readDecision(token, doorbell, request) {
  const deciders = readOwnerSet(doorbell.owners, doorbell.id).owners.map((owner) => fromB64u(owner.decides, 32));
  const said = readSigned(decision, await statements.verify("decision", token, deciders), "the decision");
  if (said.request !== request) throw new Refused("unknown-request", "this decision answers another request");
  return said;
}
