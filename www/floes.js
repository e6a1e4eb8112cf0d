// @ts-check
// The shapes of the bundle map: a sheet of pack ice, one floe for each cell, in reading order.
// The floes are the Voronoi cells of a jittered grid with roughened edges. Pure and
// deterministic: the same number of cells at the same width gives the same picture.

/** @typedef {{ x: number, y: number }} Point */
/** @typedef {{ outline: string, crack: string }} Floe SVG path data */

const MARGIN = 7;

/**
 * A repeatable number in [-1, 1).
 * @param {number} a
 * @param {number} b
 * @param {number} salt
 */
function noise(a, b, salt) {
  let x = (Math.imul(a, 374761393) + Math.imul(b, 668265263) + Math.imul(salt, 974634777)) | 0;
  x = Math.imul(x ^ (x >>> 13), 1274126177);
  x = Math.imul(x ^ (x >>> 16), 224682251);
  return ((x ^ (x >>> 13)) >>> 0) / 2147483648 - 1;
}

/**
 * Few bundles are large slabs, many are small floes.
 * @param {number} cells
 * @param {number} width
 */
function grid(cells, width) {
  const area = Math.min(6400, width * 20, Math.max(400, (width * 260) / cells));
  const perRow = Math.max(1, Math.floor(width / Math.sqrt(area * 1.4)));
  const rows = Math.ceil(cells / perRow);
  return { rows, rowHeight: rows === 1 ? 66 : Math.max(17, Math.sqrt(area / 1.4)) };
}

/**
 * @param {number} cells at least 1
 * @param {number} width
 * @param {number} salt another number, another coast
 * @param {number} [fixedHeight] of the whole sheet; else as many rows as look right
 * @returns {{ floes: Floe[], height: number }}
 */
export function floes(cells, width, salt, fixedHeight) {
  const { rows, rowHeight: wanted } = grid(cells, width);
  const rowHeight = fixedHeight ? (fixedHeight - 2 * MARGIN) / rows : wanted;
  const height = rows * rowHeight + 2 * MARGIN;
  /** @type {Point[]} */
  const seeds = [];
  for (let row = 0; row < rows; row += 1) {
    const first = Math.round((cells * row) / rows);
    const inRow = Math.round((cells * (row + 1)) / rows) - first;
    const cellWidth = (width - 2 * MARGIN) / inRow;
    for (let j = 0; j < inRow; j += 1) {
      // Every other row is shifted, so that floes meet three by three and not at crosses.
      const shift = rows === 1 ? 0 : row % 2 === 0 ? -0.2 : 0.2;
      const x = (j + 0.5 + shift + noise(first + j, 1, salt) * 0.24) * cellWidth;
      const y = (row + 0.5 + noise(first + j, 2, salt) * 0.26) * rowHeight;
      seeds.push({ x: MARGIN + x, y: MARGIN + y });
    }
  }
  const reach = 3.5 * Math.max(rowHeight, (width * rows) / cells);
  const sheet = { left: MARGIN, top: MARGIN, right: width - MARGIN, bottom: height - MARGIN };
  const shapes = seeds.map((seed, i) => {
    const cell = rough(voronoiCell(seed, seeds, reach, sheet), salt);
    return { outline: path(cell, true), crack: crack(cell, i, salt) };
  });
  return { floes: shapes, height };
}

/**
 * What is nearer to this seed than to any other: the sheet, cut by one bisector after another.
 * @param {Point} seed
 * @param {Point[]} seeds
 * @param {number} reach seeds farther away than this cannot touch the cell
 * @param {{ left: number, top: number, right: number, bottom: number }} sheet
 */
function voronoiCell(seed, seeds, reach, { left, top, right, bottom }) {
  let cell = [{ x: left, y: top }, { x: right, y: top }, { x: right, y: bottom },
    { x: left, y: bottom }];
  for (const other of seeds) {
    const dx = other.x - seed.x;
    const dy = other.y - seed.y;
    if (other === seed || Math.abs(dx) > reach || Math.abs(dy) > reach) continue;
    const half = (other.x ** 2 + other.y ** 2 - seed.x ** 2 - seed.y ** 2) / 2;
    /** @param {Point} p how far beyond the bisector */
    const beyond = (p) => p.x * dx + p.y * dy - half;
    /** @type {Point[]} */
    const kept = [];
    cell.forEach((a, i) => {
      const b = cell[(i + 1) % cell.length] ?? a;
      const [da, db] = [beyond(a), beyond(b)];
      if (da <= 0) kept.push(a);
      if (da * db < 0) {
        const t = da / (da - db);
        kept.push({ x: a.x + (b.x - a.x) * t, y: a.y + (b.y - a.y) * t });
      }
    });
    cell = kept;
  }
  return cell;
}

/**
 * Breaks the straight edges. The displacement hangs on the edge's middle alone, so that the two
 * floes beside an edge get the same one and still fit.
 * @param {Point[]} cell
 * @param {number} salt
 */
function rough(cell, salt) {
  /** @param {Point} a @param {Point} b @param {number} depth @returns {Point[]} */
  const broken = (a, b, depth) => {
    const length = Math.hypot(b.x - a.x, b.y - a.y);
    if (depth === 0 || length < 16) return [a];
    const middle = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
    const by = noise(Math.round(middle.x * 2), Math.round(middle.y * 2), salt);
    const offset = by * Math.min(6, length * 0.12);
    // The same side whichever way the edge is walked.
    const way = a.x < b.x || (a.x === b.x && a.y < b.y) ? 1 : -1;
    const bent = {
      x: middle.x - ((b.y - a.y) / length) * offset * way,
      y: middle.y + ((b.x - a.x) / length) * offset * way,
    };
    return [...broken(a, bent, depth - 1), ...broken(bent, b, depth - 1)];
  };
  return cell.flatMap((a, i) => {
    const b = cell[(i + 1) % cell.length] ?? a;
    const depth = Math.ceil(Math.log2(Math.max(1, Math.hypot(b.x - a.x, b.y - a.y) / 22)));
    return broken(a, b, depth);
  });
}

/**
 * @param {Point[]} points
 * @param {boolean} closed
 */
function path(points, closed) {
  const body = points.map(({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
  return `M${body}${closed ? "Z" : ""}`;
}

/**
 * Where the vertical at x enters and leaves the floe.
 * @param {Point[]} cell
 * @param {number} x
 */
function span(cell, x) {
  const ys = cell.flatMap((a, i) => {
    const b = cell[(i + 1) % cell.length] ?? a;
    if (a.x < x === b.x < x) return [];
    return [a.y + ((x - a.x) / (b.x - a.x)) * (b.y - a.y)];
  });
  return { top: Math.min(...ys), bottom: Math.max(...ys) };
}

/**
 * A fine crack or two across a large floe, for the eye alone.
 * @param {Point[]} cell
 * @param {number} index
 * @param {number} salt
 */
function crack(cell, index, salt) {
  const left = Math.min(...cell.map((p) => p.x));
  const right = Math.max(...cell.map((p) => p.x));
  const lines = Math.floor((right - left) / 140);
  let out = "";
  for (let k = 0; k < lines; k += 1) {
    const n = (/** @type {number} */ what) => noise(index * 31 + k, what, salt + 7);
    const x = left + ((k + 0.5 + n(1) * 0.3) / lines) * (right - left);
    const { top, bottom } = span(cell, x);
    const deep = bottom - top;
    if (!(deep > 34)) continue;
    const up = n(2) > 0;
    const start = { x, y: up ? bottom - 3 : top + 3 };
    const way = up ? -1 : 1;
    const kink = { x: x + n(3) * 12, y: start.y + way * deep * (0.3 + n(4) * 0.08) };
    const turn = { x: kink.x + n(5) * 20, y: kink.y + way * deep * 0.22 };
    const tip = { x: turn.x + n(6) * 12, y: turn.y + way * deep * 0.18 };
    out += path([start, kink, turn, tip], false);
  }
  return out;
}
