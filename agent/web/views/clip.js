/** One clip: play it, see what is known of it, download it as an ordinary file. */
import { openClip } from "../clip.js";
import { back, button, facts, h, trouble } from "../dom.js";
import { words } from "../errors.js";
import { summary } from "../messages.js";
import { remux } from "../plain_mp4.js";
import { endS, Player } from "../player.js";
import { openSound } from "../player_sound.js";
import { formatTime } from "../encoding.js";
import { confirmDelete } from "./confirm.js";
import { bytes, clock, day, duration, labelled, uncertainty } from "../words.js";

const TRUST = {
  synchronised: "set by the network's clock",
  corrected: "worked out when the doorbell's clock was set",
  provisional: "uncertain: the doorbell's clock was not set yet",
  replayed: "as named by whoever played the footage in",
};

/**
 * @param {import("../main.js").App} app
 * @param {string} id
 * @returns {Promise<import("../main.js").View>}
 */
export async function clipView(app, id) {
  const clip = await openClip(app.session, id);
  const places = clip.track("video");
  const last = places.length - 1;
  const problems = h("div");
  const fail = (/** @type {unknown} */ error) => problems.replaceChildren(trouble(words(error)));
  const way = back("#/clips", "Clips");
  const heading = h("h1", {}, `${clock(clip.startNs)}, ${day(clip.startNs)}`);
  const title = clock(clip.startNs);
  if (last < 1)
    return { node: h("section", {}, way, heading, trouble("This clip ended before any video was in it.")), title };
  const glimpse = await app.glimpses.of(id);
  const video = h("video", { controls: true, playsinline: true, preload: "auto", poster: glimpse?.poster });
  const player = new Player(video, clip, 1, last, fail);
  const motion = clip.manifest.motion.map(
    ([start, end]) => `${clock(clip.startNs + BigInt(start))} – ${clock(clip.startNs + BigInt(end))}`,
  );
  const size = places.reduce((sum, place) => sum + place.length, 0);
  const jumps = clip.manifest.motion.map(([start], i) =>
    h(
      "button",
      { type: "button", class: "small", onclick: () => player.seek(start / 1e9) },
      `Go to movement ${clip.manifest.motion.length > 1 ? i + 1 : ""}`.trim(),
    ),
  );
  const node = h(
    "section",
    { class: "clip" },
    way,
    heading,
    h("div", { class: "screen" }, video),
    problems,
    h(
      "p",
      { class: "buttons" },
      ...jumps,
      button({}, "Download", () => download(clip, last), fail),
      h("button", { type: "button", onclick: () => remove(app, id, clip.held) }, "Delete…"),
    ),
    facts(
      ["Length", duration(endS(places[last]))],
      glimpse !== null && glimpse.labels.length > 0 && ["Shows", glimpse.labels.map(labelled).join(", ")],
      ["Movement", motion.join(", ") || "not known"],
      clip.manifest.gaps.length > 0 && [
        "Gaps",
        clip.manifest.gaps
          .map(
            ([start, end, why]) => `${duration((end - start) / 1e9)} at ${clock(clip.startNs + BigInt(start))}: ${why}`,
          )
          .join("; "),
      ],
      clip.manifest.ended === "cut" && ["End", "cut off: the doorbell lost its power"],
      ["Time", uncertainty(clip.told) ?? TRUST[/** @type {keyof typeof TRUST} */ (clip.trust)] ?? clip.trust],
      ["Sound", clip.track("audio").length > 1 ? "recorded" : "none recorded"],
      ["Size", bytes(size)],
      ["Signature", "✓ exactly as your doorbell recorded it"],
    ),
  );
  return { node, title, close: () => player.close() };
}

/**
 * @param {import("../main.js").App} app
 * @param {string} id
 * @param {boolean} held
 */
function remove(app, id, held) {
  confirmDelete(held, async () => {
    await app.session.delete(`/api/clips/${encodeURIComponent(id)}`, summary);
    location.hash = "#/clips";
  });
}

/**
 * @param {import("../clip.js").OpenedClip} clip
 * @param {number} last
 */
async function download(clip, last) {
  const init = await clip.record("video", 0);
  const fragments = [];
  for await (const { data } of clip.records("video", 1, last)) fragments.push(data);
  const sound = await openSound(clip, 0, clip.manifest.duration_ns);
  const url = URL.createObjectURL(new Blob(remux(init, fragments, sound), { type: "video/mp4" }));
  const name = `doorward-${formatTime(clip.startNs).slice(0, 19).replace(/[:T]/g, "-")}.mp4`;
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the browser has taken the file over by then
}
