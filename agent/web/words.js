/**
 * Plain words and local times for what the formats say in UTC, bytes and kebab-case.
 */
import { parseTime } from "./encoding.js";

/** @type {Record<string, string>} */
const LABELS = { person: "Person", vehicle: "Vehicle", animal: "Animal", ring: "Ring" };

/** A label as people say it; a word of a newer doorbell as it is. @param {string} label */
export const labelled = (label) => (Object.hasOwn(LABELS, label) ? LABELS[label] : label);

/** @type {Record<string, string>} */
const VISITS = {
  ring: "Someone is at the door and has rung.",
  person: "A person is at the door.",
  vehicle: "A vehicle is at the door.",
  animal: "An animal is at the door.",
  motion: "Something moves at the door.",
};

/** What is at the door right now. @param {string} label */
export const visited = (label) => (Object.hasOwn(VISITS, label) ? VISITS[label] : `At the door: ${label}.`);

const LANGUAGE = navigator.language.startsWith("en") ? navigator.language : "en-GB";

/** @param {Intl.DateTimeFormatOptions} options */
const formatter = (options) => new Intl.DateTimeFormat(LANGUAGE, options);
const CLOCK = formatter({ hour: "numeric", minute: "2-digit", second: "2-digit" });
const CLOCK_SHORT = formatter({ hour: "numeric", minute: "2-digit" });
const CLOCK_EXACT = formatter({ hour: "numeric", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 1 });
const DAY = formatter({ weekday: "long", day: "numeric", month: "long" });
const DAY_SHORT = formatter({ weekday: "short", day: "numeric", month: "short" });
const ZONE = formatter({ timeZoneName: "long" });

/** @param {string | bigint} time RFC 3339, or UTC ns */
function dateOf(time) {
  return new Date(Number((typeof time === "bigint" ? time : parseTime(time)) / 1_000_000n));
}

/** 14:12:10. @param {string | bigint} time */
export const clock = (time) => CLOCK.format(dateOf(time));

/** 14:12:10.2. @param {string | bigint} time */
export const clockExact = (time) => CLOCK_EXACT.format(dateOf(time));

/** 14:12. @param {string | bigint} time */
export const clockShort = (time) => CLOCK_SHORT.format(dateOf(time));

/** The same for a full hour of any day. @param {number} hour */
export const fullHour = (hour) => CLOCK_SHORT.format(new Date(2000, 0, 1, hour));

/** Monday 23 November. @param {string | bigint} time */
export const day = (time) => DAY.format(dateOf(time));

/** Mon 23 Nov, 14:12. @param {string | bigint} time */
export const moment = (time) => `${DAY_SHORT.format(dateOf(time))}, ${clockShort(time)}`;

/**
 * 14:10 – 14:40 on Monday 23 November; both days where it runs over midnight, seconds where they count.
 * @param {string} from
 * @param {string} to
 */
export function span(from, to) {
  const told = [from, to].every((time) => dateOf(time).getTime() % 60_000 === 0) ? clockShort : clock;
  if (day(from) === day(to)) return `${day(from)}, ${told(from)} – ${told(to)}`;
  return `${DAY_SHORT.format(dateOf(from))}, ${told(from)} – ${DAY_SHORT.format(dateOf(to))}, ${told(to)}`;
}

/**
 * Which zone these times are shown in: summer and winter time are two.
 * @param {string} from
 * @param {string} to
 */
export function zone(from, to) {
  const [first, last] = [from, to].map(
    (time) => ZONE.formatToParts(dateOf(time)).find((part) => part.type === "timeZoneName")?.value ?? "local time",
  );
  return first === last ? first : `from ${first} to ${last}`;
}

/**
 * What is uncertain about a clip's time; nothing where it is known.
 * @param {import("./messages.js").ClipSummary} clip
 */
export function uncertainty({ time_trust: trust, earliest, latest }) {
  if (trust !== "provisional") return null;
  if (earliest && latest) return `time uncertain: between ${moment(earliest)} and ${moment(latest)}`;
  if (earliest) return `time uncertain: after ${moment(earliest)}`;
  return latest ? `time uncertain: before ${moment(latest)}` : "time unknown: the clock was never set";
}

/**
 * 7.4 s, 40 s, 2 min 5 s.
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 9.95) return `${Number(seconds.toFixed(1))}\u00a0s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}\u00a0s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}\u00a0min${whole % 60 ? ` ${whole % 60}\u00a0s` : ""}`;
  return `${Math.floor(whole / 3600)}\u00a0h${Math.floor((whole % 3600) / 60) ? ` ${Math.floor((whole % 3600) / 60)}\u00a0min` : ""}`;
}

/** @param {number} count */
export function bytes(count) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let at = 0;
  let size = count;
  while (size >= 999.5 && at < units.length - 1) {
    size /= 1000;
    at++;
  }
  return `${at === 0 || size >= 99.5 ? Math.round(size) : Number(size.toPrecision(2))}\u00a0${units[at]}`;
}

/**
 * 1 clip, 2 clips.
 * @param {number} n
 * @param {string} thing
 */
export const count = (n, thing) => `${n} ${thing}${n === 1 ? "" : "s"}`;

/** A key id in groups, to be compared by eye. @param {string} kid */
export const grouped = (kid) => kid.replace(/(.{4})(?=.)/g, "$1 ");

/** @type {Record<import("./messages.js").RequestRow["state"], string>} */
export const STATE = {
  asked: "Waits for your answer",
  agreed: "You said yes; nothing sent yet",
  held: "On hold; nothing sent",
  sending: "Being sent",
  declined: "You shared nothing",
  expired: "Ran out without an answer",
  stopped: "You stopped it",
  delivered: "Delivered",
  lapsed: "You said yes; it was not all fetched in time",
  withdrawn: "They took it back",
};

/** What a request may leave empty. @type {Record<string, string>} */
export const LACKING = {
  officer: "who exactly asks",
  contact: "how to reach them",
  purpose: "what it is for",
  retention: "how long they keep it",
};

/**
 * What said no without an owner's signature: mostly a rule of the owner's.
 * @param {string} rule
 */
export function rule(rule) {
  if (rule === "home-assistant") return "Home Assistant said no, or somebody at your home's own MQTT broker.";
  if (rule === "blocked") return "You blocked who asked, so this was declined.";
  if (rule === "incident") return "You told the doorbell to decline this kind of incident.";
  if (rule === "longer") return "You told the doorbell to decline requests about so long a time.";
  return `You told the doorbell to decline requests that leave out ${LACKING[rule.replace("lacking-", "")] ?? rule}.`;
}

/** @type {Record<import("./messages.js").Status["recording"], string>} */
export const RECORDING = {
  waiting: "waiting for its camera",
  watching: "watching",
  recording: "recording now",
  blind: "no picture from the camera",
  paused: "recording is paused",
  ended: "the film it was given is over",
  stopped: "not recording",
};

/** @type {Record<string, string>} */
export const TROUBLE = {
  camera: "No picture from the camera",
  disk: "Recording is paused",
  button: "The button sticks",
  microphone: "No sound from the microphone",
};

/** @type {Record<string, string>} */
const AUDIT = {
  started: "The doorbell started",
  stopped: "The doorbell stopped",
  "recording-paused": "Recording paused: the disk took nothing",
  "recording-resumed": "Recording went on: the disk works again",
  "clock-set": "The doorbell's clock was set",
  "owners-changed": "The phones that may open your clips changed",
  "directory-changed": "The list of who may ask you was renewed",
  "request-received": "Somebody asked for video",
  "request-refused": "A request was turned away unanswered",
  prompted: "You were asked",
  told: "Your phone was told",
  "declined-by-rule": "A rule of yours said no for you",
  "declined-unsigned": "Home Assistant said no for you",
  withdrawn: "Who asked took the request back",
  "withdrawal-refused": "An attempt to take a request back was turned away",
  "settings-changed": "Your settings changed",
  decided: "You answered",
  undone: "You took your yes back",
  held: "You put your yes on hold",
  resumed: "You let it go on",
  expired: "A request ran out without an answer",
  "stopped-sharing": "You stopped sending",
  lapsed: "The time to fetch a shared clip ran out",
  offered: "A shared clip was offered to who asked",
  sent: "Sending ended",
  receipt: "The other side confirmed that it has everything",
  evicted: "An old clip made room",
  deleted: "You deleted a clip",
};

/** @type {Record<string, string>} */
const REFUSALS = {
  "too-large": "it was too large",
  "unknown-requester": "nobody you trust had signed it",
  "bad-signature": "its signature did not fit",
  malformed: "it was malformed",
  "wrong-key": "it named another key than the one you trust",
  "issued-in-future": "it was dated in the future",
  expired: "it had run out",
  span: "it asked for too short or too long a time",
  "future-span": "it asked for the future",
  "area-size": "its area was too small or too large",
  "not-here": "your home is not in its area",
  blocked: "you have blocked who asked",
  paused: "you have paused requests",
  replayed: "it had come before",
  "case-limit": "there were two in this case already",
  "requester-limit": "there were too many from them this week",
  "area-shape": "its area was no plain outline on the map",
  "wrong-replaced": "it named somebody else's request as its own",
  "unknown-request": "there was no such request of theirs",
  "not-asked": "the request was over already",
  "no-clips": "nothing was recorded at that time",
};

/**
 * An entry of the audit chain as a sentence.
 * @param {import("./messages.js").AuditEntry} entry
 */
export function audit({ what, details }) {
  const text = AUDIT[what] ?? what;
  if (what.endsWith("-refused")) return `${text}: ${REFUSALS[details.reason] ?? details.reason}`;
  if (what === "settings-changed" && details.owner === "home-assistant")
    return details.change === "pause" ? "Home Assistant paused requests" : "Home Assistant let requests in again";
  if (what === "request-received" && details.case) return `${text} in case ${details.case}`;
  if (what === "evicted" && details.reason === "age") return "An old clip reached the age limit";
  if (what === "decided") return `${text}: ${details.answer === "share" ? "share" : "share nothing"}`;
  if ((what === "offered" || what === "sent") && typeof details.bytes === "number")
    return `${text} (${bytes(details.bytes)})`;
  return text;
}
