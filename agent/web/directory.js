/**
 * The directory of requesters the doorbell goes by, checked with its key and remembered from the first time this phone
 * sees one, so that another key or an older version is noticed. Source: docs/spec/identity.md "Directory".
 */
import { formatTime, fromB64u, now } from "./encoding.js";
import { remember } from "./keystore.js";
import { directoryAnswer } from "./messages.js";
import { anyText, exactly, list, readSigned, text, time, whole } from "./shape.js";
import * as statements from "./statements.js";

const directory = exactly({
  name: text(1, 200),
  version: whole(1),
  issued: time,
  expires: time,
  requesters: list(anyText, 0, 256),
});

/**
 * What the doorbell goes by now. `otherKey` and `older`: it is not what this phone remembered, and is not remembered
 * before `accept`. `since`: when this phone first saw its key; null where it has not accepted it, or did not yet note that.
 * @typedef {{key: string, name: string, version: number, expires: string, requesters: string[], otherKey: boolean, older: boolean,
 *            since: string | null, accept: () => Promise<void>}} SeenDirectory
 */

/**
 * Ask the doorbell, check, remember. Only where there is a directory: otherwise Unavailable.
 * @param {import("./main.js").App} app
 * @returns {Promise<SeenDirectory>}
 */
export async function seeDirectory(app) {
  const { doorbell } = app.session;
  const { key, statement } = await app.session.get("/api/directory", directoryAnswer);
  const said = readSigned(directory, await statements.verify("directory", statement, [fromB64u(key, 32)]), "the directory");
  const known = doorbell.directory;
  const otherKey = known !== undefined && known.key !== key;
  const older = known !== undefined && known.key === key && said.version < known.version;
  const keep = async () => {
    const since = otherKey || known === undefined ? formatTime(now()) : known.since;
    doorbell.directory = { key, version: said.version, since };
    await remember(doorbell);
  };
  if (!otherKey && !older && known?.version !== said.version) await keep();
  return { ...said, key, otherKey, older, since: (!otherKey && doorbell.directory?.since) || null, accept: () => keep().then(app.reload) };
}
