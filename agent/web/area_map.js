/**
 * A small drawn map: the area asked about, the home in it, a scale. Drawn here, from the numbers alone; nobody else's map
 * is asked, so nobody learns that somebody looked.
 */
import { h, s } from "./dom.js";
import { duration } from "./words.js";

/** @typedef {import("./request.js").Area} Area */
/** @typedef {[number, number]} Point metres east and north of the home */

const DEGREE_M = 111_195; // of a meridian, on a sphere of 6,371 km: a small picture needs no ellipsoid
const WIDTH = 320;
const HEIGHT = 220;
const MARGIN = 26;
const SCALES_M = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
const WINDS = ["north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west"];
const WALK_M_PER_S = 1.35;

/**
 * The figure, and the same in words.
 * @param {Area} area
 * @param {number[]} home longitude, latitude
 */
export function areaMap(area, home) {
  const place = (/** @type {number[]} */ position) => around(home, position);
  const shape = area.type === "Circle" ? ringOf(place(area.center), area.radius_m) : area.coordinates[0].map(place);
  const xs = [...shape.map(([x]) => x), 0];
  const ys = [...shape.map(([, y]) => y), 0];
  const [west, east, south, north] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const metre = Math.min((WIDTH - 2 * MARGIN) / (east - west || 1), (HEIGHT - 2 * MARGIN) / (north - south || 1));
  const onPaper = (/** @type {Point} */ [x, y]) => [
    WIDTH / 2 + (x - (west + east) / 2) * metre,
    HEIGHT / 2 - (y - (south + north) / 2) * metre,
  ];
  const outline = shape
    .map(
      (point, i) =>
        `${i ? "L" : "M"}${onPaper(point)
          .map((v) => v.toFixed(1))
          .join(" ")}`,
    )
    .join("");
  const [homeX, homeY] = onPaper([0, 0]);
  const words = describe(area, shape, place);
  return h(
    "figure",
    { class: "map" },
    s(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words },
      s("path", { d: `${outline}Z`, class: "area" }),
      s(
        "g",
        { transform: `translate(${homeX.toFixed(1)} ${homeY.toFixed(1)})`, class: "home" },
        s("circle", { r: 13 }),
        s("path", { d: "M-6 0 0-6 6 0M-4-1.5V5H4V-1.5" }),
      ),
      scaleBar(metre),
      s("path", { d: `M${WIDTH - 18} 30V12m-4 5 4-5 4 5`, class: "north" }),
      s("text", { x: WIDTH - 18, y: 42, "text-anchor": "middle" }, "N"),
    ),
    h("figcaption", {}, words),
  );
}

/**
 * Whether the home lies in the area, as this phone reckons it.
 * @param {Area} area
 * @param {number[]} home
 */
export function contains(area, home) {
  if (area.type === "Circle") return Math.hypot(...around(home, area.center)) <= area.radius_m;
  const ring = area.coordinates[0].map((position) => around(home, position));
  return ring.reduce((inside, [x, y], i) => {
    const [px, py] = ring[(i + ring.length - 1) % ring.length];
    return y > 0 !== py > 0 && ((px - x) * (0 - y)) / (py - y) + x > 0 ? !inside : inside;
  }, false);
}

/**
 * @param {number[]} home
 * @param {number[]} position
 * @returns {Point}
 */
function around(home, position) {
  const turned = ((position[0] - home[0] + 540) % 360) - 180; // across the 180th meridian the short way
  return [turned * DEGREE_M * Math.cos((home[1] * Math.PI) / 180), (position[1] - home[1]) * DEGREE_M];
}

/**
 * @param {Point} centre
 * @param {number} radiusM
 * @returns {Point[]}
 */
function ringOf([x, y], radiusM) {
  return Array.from({ length: 72 }, (_, i) => {
    const angle = (i * Math.PI) / 36;
    return [x + radiusM * Math.cos(angle), y + radiusM * Math.sin(angle)];
  });
}

/** @param {number} metre on paper */
function scaleBar(metre) {
  const length = SCALES_M.findLast((m) => m * metre <= 90) ?? SCALES_M[0];
  const end = 12 + length * metre;
  const y = HEIGHT - 10;
  return s(
    "g",
    { class: "scale" },
    s("path", { d: `M12 ${y - 5}V${y}H${end.toFixed(1)}V${y - 5}` }),
    s("text", { x: end + 6, y }, length < 1000 ? `${length} m` : `${length / 1000} km`),
  );
}

/**
 * @param {Area} area
 * @param {Point[]} shape
 * @param {(position: number[]) => Point} place
 */
function describe(area, shape, place) {
  const xs = shape.map(([x]) => x);
  const ys = shape.map(([, y]) => y);
  const size =
    area.type === "Circle"
      ? `A circle ${metres(2 * area.radius_m)} across`
      : `An outline about ${metres(Math.max(...xs) - Math.min(...xs))} by ${metres(Math.max(...ys) - Math.min(...ys))}`;
  const [x, y] = area.type === "Circle" ? place(area.center) : [mean(xs), mean(ys)];
  const away = Math.hypot(x, y);
  if (away < 15) return `${size}, around your home.`;
  const wind = WINDS[Math.round(((Math.atan2(x, y) * 180) / Math.PI + 360) / 45) % 8];
  return `${size}; its middle is ${metres(away)} ${wind} of your home, ${duration(Math.max(60, Math.round(away / WALK_M_PER_S / 60) * 60))} on foot.`;
}

/** @param {number[]} values */
const mean = (values) => (Math.max(...values) + Math.min(...values)) / 2;

/** @param {number} m */
function metres(m) {
  if (m >= 995) return `${Number((m / 1000).toPrecision(2))} km`;
  return `${m < 95 ? Math.round(m / 5) * 5 : Math.round(m / 10) * 10} m`;
}
