/**
 * Where this browser keeps its keys: IndexedDB, one entry a doorbell. The private keys in it are handles that cannot be
 * read out. Never holds a clip key, a recovery code or a session.
 */
import { Unavailable } from "./errors.js";
import { takeOut } from "./kept_key.js";

/**
 * What this phone knows of a doorbell. `key`: its Ed25519 key, b64u. `owners`: the last owner set it followed.
 * `log`: the newest entry of the audit chain it has seen, or null. `askers`: who has asked, by key id.
 * `directory`: the directory of requesters it saw last, and since when it has known that key.
 * `older`: a recovery code's key, for what was recorded before this phone came back with it.
 * @typedef {{id: string, key: string, keys: import("./identity.js").OwnerKeys, owners: string, older: Older | null,
 *            log: {n: number, hash: string} | null,
 *            askers: Record<string, {agency: string, since: string}>,
 *            directory?: {key: string, version: number, since?: string}}} Doorbell
 */

/** @typedef {{opens: CryptoKeyPair, kept: import("./kept_key.js").Kept}} Older */

const STORE = "doorbells";

/** @returns {Promise<IDBDatabase>} */
function openDatabase() {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("doorward", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "id" });
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () =>
      reject(new Unavailable("this browser does not let the page keep its key; leave private mode"));
  });
}

/**
 * @template T
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} act
 * @returns {Promise<T>}
 */
async function within(mode, act) {
  const database = await openDatabase();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(new Unavailable("this browser could not keep the key; is its storage full?"));
    });
  } finally {
    database.close();
  }
}

/**
 * @param {Doorbell} doorbell
 * @returns {Promise<void>}
 */
export async function remember(doorbell) {
  const { decides, kept } = doorbell.keys;
  const older = doorbell.older && { kept: doorbell.older.kept };
  await within("readwrite", (store) => store.put({ ...doorbell, keys: { decides, kept }, older }));
}

/**
 * @param {string} id kid of the doorbell
 * @returns {Promise<Doorbell | undefined>}
 */
export async function recall(id) {
  const found = await within("readonly", (store) => store.get(id));
  if (!found) return undefined;
  const older = found.older ? { ...found.older, opens: await takeOut(found.older.kept) } : null;
  return { ...found, keys: { ...found.keys, opens: await takeOut(found.keys.kept) }, older };
}

/**
 * Ask the browser not to throw the keys away when space is short. It may say no; the recovery code is for then. Nothing
 * waits for the answer: Firefox asks the person, who may never give one.
 */
export function askToKeep() {
  navigator.storage?.persist?.().catch(() => {});
}
