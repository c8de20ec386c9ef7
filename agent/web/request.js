/**
 * What somebody asks, checked again on this phone: it is the phone that seals the keys, so the doorbell's word is not
 * enough. Source: docs/spec/request.md, docs/spec/identity.md "Requester".
 */
import { b64u, fromB64u, keyId, parseTime } from "./encoding.js";
import { Corrupt, Refused } from "./errors.js";
import { anyText, atLeast, decimal, exactly, hash, id, list, oneOf, readSigned, text, time } from "./shape.js";
import * as statements from "./statements.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */

const requesterStatement = exactly({ id, agency: text(1, 200), signs: hash, opens: hash, issued: time, expires: time });

/** @typedef {[number, number]} Position longitude, latitude */
/** @typedef {{type: "Polygon", coordinates: Position[][]} | {type: "Circle", center: Position, radius_m: number}} Area */

/** @type {import("./shape.js").Reader<Position>} */
const position = (value, where) => {
  const [lon, lat] = list(decimal, 2, 2)(value, where);
  if (Math.abs(lon) > 180 || Math.abs(lat) > 85) throw new Corrupt(`${where} is not on the map`);
  return [lon, lat];
};

const polygon = exactly({ type: oneOf("Polygon"), coordinates: list(list(position, 4, 101), 1, 1) });
const circle = exactly({ type: oneOf("Circle"), center: position, radius_m: decimal });
const anyArea = atLeast({ type: oneOf("Polygon", "Circle") });

/** @type {import("./shape.js").Reader<Area>} */
const area = (value, where) => (anyArea(value, where).type === "Polygon" ? polygon : circle)(value, where);

const request = exactly({
  id,
  requester: exactly({ id, agency: text(1, 200), officer: text(0, 200), contact: text(0, 200) }),
  case_number: text(1, 64),
  incident_type: text(1, 100),
  message: text(1, 2000),
  area,
  from: time,
  to: time,
  issued: time,
  expires: time,
  key: hash,
  purpose: text(0, 500),
  retention: text(0, 200),
  replaces: anyText,
});
/** @typedef {ReturnType<typeof request>} FootageRequest */

/**
 * A request whose signature this phone has checked against the pinned requester.
 * @typedef {{said: FootageRequest, hash: string, requester: ReturnType<typeof requesterStatement>,
 *            fromNs: bigint, toNs: bigint, keyId: string}} CheckedRequest
 */

/**
 * Both statements verified and belonging together; Refused otherwise.
 * @param {string} statement the request
 * @param {string} pinned the requester's own statement, as the homeowner pinned it
 * @returns {Promise<CheckedRequest>}
 */
export async function checkRequest(statement, pinned) {
  const requester = await checkRequester(pinned);
  const verified = await statements.verify("request", statement, [fromB64u(requester.signs, 32)]);
  const said = readSigned(request, verified, "the request");
  if (
    said.requester.id !== requester.id ||
    said.requester.agency !== requester.agency ||
    said.key !== requester.opens
  ) {
    throw new Refused("wrong-requester", "the request asks for the video to be locked to somebody else's key");
  }
  const [fromNs, toNs] = [parseTime(said.from), parseTime(said.to)];
  if (toNs <= fromNs) throw new Refused("malformed", "the time asked about ends before it begins");
  const digest = b64u(await statements.digest(statement));
  return { said, hash: digest, requester, fromNs, toNs, keyId: await keyId(fromB64u(said.key, 32)) };
}

/** @param {string} pinned */
async function checkRequester(pinned) {
  const claimed = readSigned(
    requesterStatement,
    statements.unverified("requester", pinned),
    "the requester's statement",
  );
  const signs = fromB64u(claimed.signs, 32);
  await statements.verify("requester", pinned, [signs]);
  if (claimed.id !== (await keyId(signs))) {
    throw new Refused("malformed", "the requester's statement names another key than its own");
  }
  return claimed;
}

/**
 * Since when this phone knows the requester's key (null: it has never seen it), and whether the same agency has asked
 * with another key before. The doorbell says whom it trusts; this is what the phone itself remembers.
 * @param {import("./keystore.js").Doorbell} doorbell
 * @param {CheckedRequest} checked
 * @returns {{since: string | null, otherKey: boolean}}
 */
export function acquaintance({ askers }, { requester }) {
  const others = Object.entries(askers).filter(([id]) => id !== requester.id);
  const otherKey = others.some(([, asker]) => asker.agency.toLowerCase() === requester.agency.toLowerCase());
  return { since: askers[requester.id]?.since ?? null, otherKey };
}

const receipt = exactly({ transfer: id, request: hash, decision: hash, offer: hash, bytes: decimal, received: time });

/**
 * The requester's signed word that everything arrived, checked against what was decided.
 * @param {string} statement
 * @param {CheckedRequest} checked
 * @param {string} decision the decision statement
 * @returns {Promise<ReturnType<typeof receipt>>}
 */
export async function checkReceipt(statement, checked, decision) {
  const verified = await statements.verify("receipt", statement, [fromB64u(checked.requester.signs, 32)]);
  const said = readSigned(receipt, verified, "the receipt");
  if (said.request !== checked.hash || said.decision !== b64u(await statements.digest(decision))) {
    throw new Refused("wrong-receipt", "the receipt is for something else than what you shared");
  }
  return said;
}
