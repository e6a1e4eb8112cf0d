// @ts-check
// The map of bundles: for each collection a strip of ice that closes as bundles are verified.
// Every strip has its counts in words, for those who do not see it.

import { byId, copyable, h, setText, svg } from "./dom.js";
import { bytes, plural, shortHash } from "./format.js";
import { floes } from "./floes.js";
import { FETCHING, MISSING, STORED } from "./session.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("packice").CollectionStatus} CollectionStatus */

// Past this a floe stands for several bundles: a gigabyte must not become a heavy page.
const CELLS_MAX = 900;
const STATE_NAMES = ["missing", "fetching", "stored"];

/**
 * The state of the bundles behind one floe: the least advanced of those that rest.
 * @param {Uint8Array} states
 */
function combined(states) {
  if (states.every((s) => s === STORED)) return STORED;
  return states.some((s) => s !== MISSING) ? FETCHING : MISSING;
}

class Strip {
  #meta = h("p", { class: "note" });
  #tally = h("p", { class: "tally" });
  #root = h("span", {});
  #drawing = svg("svg", { class: "ice", role: "img" });
  /** @type {SVGGElement[]} */ #cells = [];
  #shape = "";
  #rootHex = "";

  /**
   * @param {string} name
   * @param {string} about
   */
  constructor(name, about) {
    this.element = h("div", { class: "strip", "data-collection": name },
      h("div", { class: "strip-head" },
        h("h3", {}, name), about !== "" && h("p", { class: "about" }, about), this.#tally),
      this.#drawing,
      h("div", { class: "strip-foot" }, this.#meta, this.#root));
  }

  /**
   * @param {CollectionStatus} collection
   * @param {Uint8Array} states
   * @param {number} salt
   */
  update(collection, states, salt) {
    const { priority, lazy, records, plainBytes, wireBytes, root, bundles } = collection;
    const stored = states.reduce((n, s) => n + (s === STORED ? 1 : 0), 0);
    const fetching = states.reduce((n, s) => n + (s === FETCHING ? 1 : 0), 0);
    const kind = priority === 0 ? "in the bootstrap" : lazy ? "lazy reads" : "read once synced";
    setText(this.#tally, `${stored} of ${plural(bundles, "bundle")}`);
    setText(this.#meta,
      `${plural(records, "record")}, ${bytes(plainBytes)} as ${bytes(wireBytes)} on the wire; ` +
      `priority ${priority}, ${kind}`);
    if (root !== this.#rootHex) {
      this.#rootHex = root;
      this.#root.replaceChildren("root ", copyable(root, shortHash(root), "root hash"));
    }
    this.#drawing.setAttribute("aria-label",
      `${collection.name}: ${stored} of ${plural(bundles, "bundle")} verified and stored, ` +
      `${fetching} being fetched, ${bundles - stored - fetching} missing`);
    this.#layOut(Math.min(bundles, CELLS_MAX), salt);
    this.#paint(states);
  }

  /**
   * @param {number} cells
   * @param {number} salt
   */
  #layOut(cells, salt) {
    const width = Math.round(this.element.clientWidth);
    const shape = `${cells}/${width}`;
    if (width === 0 || cells === 0 || shape === this.#shape) return;
    this.#shape = shape;
    const { floes: shapes, height } = floes(cells, width, salt);
    this.#drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.#drawing.setAttribute("width", String(width));
    this.#drawing.setAttribute("height", String(height));
    this.#cells = shapes.map(({ outline, crack }) =>
      svg("g", { class: "floe" }, svg("title"), svg("path", { d: outline }),
        crack !== "" && svg("path", { d: crack, class: "crack" })));
    this.#drawing.replaceChildren(...this.#cells);
  }

  /** @param {Uint8Array} states */
  #paint(states) {
    const cells = this.#cells.length;
    this.#cells.forEach((cell, i) => {
      const from = Math.floor((states.length * i) / cells);
      const to = Math.floor((states.length * (i + 1)) / cells);
      const state = STATE_NAMES[combined(states.subarray(from, to))] ?? "missing";
      if (cell.dataset.state === state) return;
      cell.dataset.state = state;
      const which = to - from === 1 ? `bundle ${to}` : `bundles ${from + 1} to ${to}`;
      const title = cell.firstElementChild;
      if (title) title.textContent = `${which} of ${states.length}: ${state}`;
    });
  }
}

export class MapView {
  /** @type {Map<string, Strip>} */ #strips = new Map();
  #empty = h("p", { class: "water" }, "Open water. The map comes with the signed manifest.");
  /** @type {Session | null} */ #session = null;

  constructor() {
    byId("map").append(this.#empty);
    new ResizeObserver(() => this.#session && this.update(this.#session)).observe(byId("map"));
  }

  /** @param {Session} session */
  show(session) {
    for (const strip of this.#strips.values()) strip.element.remove();
    this.#strips.clear();
    this.update(session);
  }

  /** @param {Session} session */
  update(session) {
    this.#session = session;
    const collections = session.status?.collections ?? [];
    this.#empty.hidden = collections.length > 0;
    if (collections.length === 0 && this.#strips.size > 0) this.show(session);
    collections.forEach((collection, i) => {
      let strip = this.#strips.get(collection.name);
      if (!strip) {
        strip = new Strip(collection.name, session.config.collections[collection.name] ?? "");
        this.#strips.set(collection.name, strip);
        byId("map").append(strip.element);
      }
      const states = session.bundles.get(collection.name) ?? new Uint8Array(collection.bundles);
      strip.update(collection, states, 17 + i * 31);
    });
  }
}
