/**
 * Calls of the owner API: JSON, byte ranges, and the stream of changes. No cookies; the session's token stays in memory
 * and is fetched anew when the doorbell has forgotten it. Source: docs/spec/owner-api.md.
 */
import { formatTime, fromB64u, keyId, now } from "./encoding.js";
import { Corrupt, Refused, Unavailable } from "./errors.js";
import { rawPublic } from "./identity.js";
import { anyText, atLeast, bytesText } from "./shape.js";
import * as statements from "./statements.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {import("./keystore.js").Doorbell} Doorbell */

/**
 * @template T
 * @typedef {import("./shape.js").Reader<T>} Reader
 */

const FIRST_WAIT_MS = 500;
const LAST_WAIT_MS = 15_000;
const ANSWER_MS = 30_000; // a call that changes something: nobody waits longer before a button
const SILENCE_MS = 45_000; // the doorbell says something every 15 s

const problem = atLeast({ error: atLeast({ reason: anyText, text: anyText }) });
const challengeAnswer = atLeast({ challenge: bytesText(32) });
const sessionAnswer = atLeast({ token: bytesText(32) });
const ownersOnly = atLeast({ owners: anyText });
/** @type {import("./shape.js").Reader<string | null>} */
const maybe = (value, where) => (value === undefined || value === null ? null : anyText(value, where));
const changed = atLeast({ what: anyText, label: maybe });
/** @typedef {ReturnType<typeof changed>} Changed `label`: who is at the door, where `what` is "visit" */

/**
 * One HTTP exchange; Unavailable when the doorbell does not answer, Refused when it says no.
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<Response>}
 */
async function exchange(path, init) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", redirect: "error", ...init });
  } catch (error) {
    if (error instanceof TypeError || (error instanceof DOMException && error.name === "TimeoutError")) {
      throw new Unavailable("the doorbell does not answer; is this phone in your home network?");
    }
    throw error;
  }
  if (response.ok) return response;
  let said;
  try {
    said = problem(await response.json(), "the doorbell's answer").error;
  } catch (error) {
    if (!(error instanceof Corrupt || error instanceof SyntaxError)) throw error;
    throw new Unavailable(`the doorbell answered with status ${response.status} and no reason`);
  }
  if (response.status === 503) throw new Unavailable(said.text);
  throw new Refused(said.reason, said.text);
}

/**
 * @template T
 * @param {Response} response
 * @param {string} path
 * @param {Reader<T>} reader
 * @returns {Promise<T>}
 */
async function answer(response, path, reader) {
  return reader(await response.json(), `the doorbell's answer to ${path}`);
}

/**
 * A call that needs no session.
 * @template T
 * @param {string} path
 * @param {Reader<T>} reader
 * @param {object} [body] makes it a POST
 * @returns {Promise<T>}
 */
export async function callOpen(path, reader, body) {
  const init = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  return answer(await exchange(path, init), path, reader);
}

/** A signed-in owner. */
export class Session {
  /** @type {string | null} */
  #token = null;
  /** @type {Promise<string> | null} */
  #opening = null;

  /** @param {Doorbell} doorbell */
  constructor(doorbell) {
    this.doorbell = doorbell;
  }

  /**
   * Sign the doorbell's challenge. Refused when this phone is not in the owner set.
   * @returns {Promise<string>}
   */
  async open() {
    const { challenge } = await callOpen("/api/session/challenge", challengeAnswer, {});
    const { decides } = this.doorbell.keys;
    const payload = { device: this.doorbell.id, challenge, issued: formatTime(now()) };
    const proof = await statements.sign("session", payload, decides.privateKey, await keyId(await rawPublic(decides)));
    const { token } = await callOpen("/api/session", sessionAnswer, { proof });
    fromB64u(token, 32);
    this.#token = token;
    return token;
  }

  /**
   * The owner set in force.
   * @returns {Promise<string>} statement
   */
  async ownersNow() {
    return (await this.get("/api/status", ownersOnly)).owners;
  }

  /**
   * @param {string} path
   * @param {RequestInit} [init]
   * @returns {Promise<Response>}
   */
  async #send(path, init = {}) {
    const token = this.#token ?? (await this.#openOnce());
    const withToken = (/** @type {string} */ value) => ({
      ...init,
      headers: { ...init.headers, Authorization: `Bearer ${value}` },
    });
    try {
      return await exchange(path, withToken(token));
    } catch (error) {
      if (!(error instanceof Refused) || error.reason !== "no-session") throw error;
      if (this.#token === token) this.#token = null;
      return exchange(path, withToken(this.#token ?? (await this.#openOnce())));
    }
  }

  /** Several calls at once share one way in. */
  #openOnce() {
    this.#opening ??= this.open().finally(() => (this.#opening = null));
    return this.#opening;
  }

  /**
   * @template T
   * @param {string} path
   * @param {Reader<T>} reader
   * @returns {Promise<T>}
   */
  async get(path, reader) {
    return answer(await this.#send(path), path, reader);
  }

  /**
   * @template T
   * @param {string} path
   * @param {object} body
   * @param {Reader<T>} reader
   * @returns {Promise<T>}
   */
  async post(path, body, reader) {
    const headers = { "Content-Type": "application/json" };
    const signal = AbortSignal.timeout(ANSWER_MS);
    return answer(await this.#send(path, { method: "POST", headers, body: JSON.stringify(body), signal }), path, reader);
  }

  /**
   * @template T
   * @param {string} path
   * @param {Reader<T>} reader
   * @returns {Promise<T>}
   */
  async delete(path, reader) {
    return answer(await this.#send(path, { method: "DELETE" }), path, reader);
  }

  /**
   * `length` bytes from `offset` of a file.
   * @param {string} path
   * @param {number} offset
   * @param {number} length
   * @param {AbortSignal} [signal]
   * @returns {Promise<Bytes>}
   */
  async stretch(path, offset, length, signal) {
    const headers = { Range: `bytes=${offset}-${offset + length - 1}` };
    const response = await this.#send(path, { headers, signal });
    const data = new Uint8Array(await response.arrayBuffer());
    if (response.status !== 206 || data.length !== length) {
      throw new Unavailable("the doorbell sent another part of the video than was asked for; try again");
    }
    return data;
  }

  /**
   * Hear what changes until `signal` aborts. `onLink(up)` tells whether the doorbell can be heard; after every new
   * connection `onChange("everything")` comes first, because what happened in between was not heard.
   * @param {(change: Changed) => void} onChange
   * @param {(up: boolean) => void} onLink
   * @param {AbortSignal} signal
   * @returns {Promise<void>}
   */
  async listen(onChange, onLink, signal) {
    let wait = FIRST_WAIT_MS;
    while (!signal.aborted) {
      try {
        const response = await this.#send("/api/events", { signal });
        onLink(true);
        onChange({ what: "everything", label: null });
        wait = FIRST_WAIT_MS;
        await readEvents(response, onChange);
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Refused && error.reason !== "no-session") throw error;
        if (!(error instanceof Unavailable || error instanceof Refused || error instanceof TypeError)) throw error;
      }
      onLink(false);
      await pause(wait * (0.5 + Math.random()), signal);
      wait = Math.min(2 * wait, LAST_WAIT_MS);
    }
  }
}

/**
 * Server-Sent Events as far as the doorbell uses them: `data:` lines, ended by an empty line.
 * @param {Response} response
 * @param {(change: Changed) => void} onChange
 * @returns {Promise<void>} when the stream ends or falls silent, or the page was away and is looked at again
 */
async function readEvents(response, onChange) {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const leave = () => void reader.cancel().catch(() => {}); // gone already: there is nothing left to cancel
  // A phone in a pocket freezes the connection without ending it.
  const onVisible = () => document.visibilityState === "visible" && leave();
  document.addEventListener("visibilitychange", onVisible);
  let watchdog = setTimeout(leave, SILENCE_MS);
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(watchdog);
      watchdog = setTimeout(leave, SILENCE_MS);
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const data = block.split("\n").find((line) => line.startsWith("data: "));
        if (data) onChange(changed(JSON.parse(data.slice(6)), "an event"));
      }
    }
  } finally {
    clearTimeout(watchdog);
    document.removeEventListener("visibilitychange", onVisible);
    leave();
  }
}

/**
 * @param {number} ms
 * @param {AbortSignal} [signal] ends it early
 * @returns {Promise<void>}
 */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
