/**
 * The doorbell's answers as the page reads them. Names it does not know are ignored: a newer doorbell may say more.
 * Source: docs/spec/owner-api.md.
 */
import { anyText, atLeast, decimal, flag, hash, id, list, oneOf, orNull, table, time, whole } from "./shape.js";

const CLIPS_LIMIT = 500;
const RECORDS_LIMIT = 4096;

export const device = atLeast({ id, key: hash, paired: flag, name: anyText });

export const helloAnswer = atLeast({ device, owners: orNull(anyText), mac: hash });

export const pairAnswer = atLeast({ paired: anyText, mac: hash });

export const joiningState = atLeast({ expires: time, entry: orNull(anyText), mac: anyText });

export const welcome = atLeast({ owners: orNull(anyText), mac: anyText });

export const taken = atLeast({ paired: anyText });

export const status = atLeast({
  name: anyText,
  recording: oneOf("waiting", "watching", "recording", "blind", "paused", "ended", "stopped"),
  clips: whole(),
  bytes: whole(),
  budget_bytes: whole(),
  days: whole(),
  oldest: orNull(time),
  broker: oneOf("connected", "connecting", "off"),
  requests_waiting: whole(),
  detector: oneOf("off", "missing", "starting", "on", "failed"),
  undo_s: decimal,
  owners: anyText,
  now: time,
  paused: flag,
  directory_expired: flag,
  troubles: list(atLeast({ part: anyText, text: anyText, since: time }), 0, 8),
  clock_set: flag,
});
/** @typedef {ReturnType<typeof status>} Status */

export const summary = atLeast({
  id,
  start: time,
  end: time,
  motion_start: orNull(time),
  motion_end: orNull(time),
  bytes: whole(),
  records: whole(),
  labels: orNull(list(anyText, 0, 16)),
  held: flag,
  time_trust: oneOf("synchronised", "corrected", "provisional", "replayed"),
  earliest: orNull(time),
  latest: orNull(time),
  state: oneOf("recording", "closed", "cut"),
});
/** @typedef {ReturnType<typeof summary>} ClipSummary */

export const clipList = atLeast({ clips: list(summary, 0, CLIPS_LIMIT) });

const place = atLeast({
  track: oneOf("about", "video", "audio", "picture"),
  index: whole(0, RECORDS_LIMIT),
  flags: whole(0, 3),
  start_ns: whole(-Number.MAX_SAFE_INTEGER),
  duration_ns: whole(),
  offset: whole(),
  length: whole(116, 16 * 1024 * 1024 + 100),
});
/** @typedef {ReturnType<typeof place>} RecordPlace */
/** @typedef {RecordPlace["track"]} TrackName */

export const clipDetail = atLeast({
  summary,
  header: anyText,
  wraps: anyText,
  manifest: orNull(anyText),
  records: list(place, 0, RECORDS_LIMIT),
});
/** @typedef {ReturnType<typeof clipDetail>} ClipDetail */

export const requestRow = atLeast({
  id,
  state: oneOf("asked", "agreed", "held", "sending", "declined", "expired", "stopped", "delivered", "lapsed", "withdrawn"),
  received: time,
  agency: anyText,
  case_number: anyText,
  incident_type: anyText,
  from: time,
  to: time,
  expires: time,
  clips: whole(),
  undo_until: orNull(time),
  sent_bytes: whole(),
  total_bytes: whole(),
  declined_by: orNull(anyText),
  replaces: orNull(id),
  prompted: flag,
});
/** @typedef {ReturnType<typeof requestRow>} RequestRow */

export const requestList = atLeast({ requests: list(requestRow, 0, 10_000) });

export const requestDetail = atLeast({
  row: requestRow,
  request: anyText,
  requester: anyText,
  home: list(decimal, 2, 2),
  clips: list(summary, 0, 1000),
  decision: orNull(anyText),
  receipt: orNull(anyText),
  delivered: orNull(time),
  trusted: orNull(oneOf("pinned", "directory")),
});
/** @typedef {ReturnType<typeof requestDetail>} RequestDetail */

/** @type {import("./shape.js").Reader<string | number>} */
const detail = (value, where) => (typeof value === "number" ? decimal(value, where) : anyText(value, where));

const rules = atLeast({
  incidents: list(anyText, 0, 32),
  longer_than_min: orNull(whole(15, 720)),
  lacking: list(anyText, 0, 4),
});
const directoryInfo = atLeast({
  name: anyText,
  version: whole(1),
  expires: time,
  key: hash,
  expired: flag,
  requesters: whole(),
});

export const settingsAnswer = atLeast({
  settings: atLeast({
    paused: orNull(atLeast({ until: orNull(time) })),
    blocked: list(atLeast({ id, agency: anyText, since: time }), 0, 256),
    decline: rules,
    quiet: orNull(atLeast({ start: anyText, end: anyText, zone: anyText })),
  }),
  requesters: list(atLeast({ id, agency: anyText, expires: time, via: oneOf("pinned", "directory") }), 0, 1000),
  directory: orNull(directoryInfo),
});
/** @typedef {ReturnType<typeof settingsAnswer>} SettingsAnswer */

export const directoryAnswer = atLeast({ key: hash, statement: anyText });

const entry = atLeast({ n: whole(1), time, what: anyText, details: table(detail, 32), hash });
/** @typedef {ReturnType<typeof entry>} AuditEntry */

export const auditPage = atLeast({ entries: list(entry, 0, 500), head: anyText, intact: flag });
