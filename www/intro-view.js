// @ts-check
// The picture beside the opening words: open water on one side, closed ice on the other.

import { byId, svg } from "./dom.js";
import { floes } from "./floes.js";

const CELLS = 56;

export function drawIntro() {
  const [width, height] = [560, 340];
  const picture = svg("svg", { class: "ice art", "aria-hidden": "true",
    viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "xMidYMid slice" });
  const { floes: shapes } = floes(CELLS, width, 5, height);
  shapes.forEach(({ outline }, i) => {
    // Reading order closes the sheet from the top; a few floes run ahead of the edge.
    const ahead = i + ((i * 7) % 11);
    const state = ahead < 30 ? "stored" : ahead < 40 ? "fetching" : "missing";
    picture.append(svg("g", { class: "floe", "data-state": state }, svg("path", { d: outline })));
  });
  byId("art").append(picture);
}
