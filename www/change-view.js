// @ts-check
// Versions as they come: which keys flipped, what that cost, and the way back.

import { byId, h, setText } from "./dom.js";
import { bytes, count, plural } from "./format.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./steps.js").Step} Step */
/** @typedef {import("./steps.js").Flip} Flip */

const VALUE_MAX = 80;

/** @type {Record<string, string>} */
const ROADS = { keep: "as it was", delta: "by delta", base: "by bundles" };

export class ChangeView {
  #publish = h("button", { type: "button", id: "publish-change", class: "button primary" },
    "Publish a change");
  #back = h("button", { type: "button", id: "roll-back", class: "button" });
  #list = h("ol", { class: "steps-list", "aria-live": "polite" });
  #empty = h("p", { class: "note" },
    "No other version came since this page was opened. Reads go on while one does.");
  /** @type {Session | null} */ #session = null;
  #publishing = false;
  #drawn = "";

  constructor() {
    this.#publish.addEventListener("click", () => void this.#act());
    this.#back.addEventListener("click", () => {
      if (this.#back.getAttribute("aria-disabled") !== "true") void this.#session?.rollBack();
    });
    byId("change").append(
      h("div", { class: "actions" }, this.#publish, this.#back), this.#empty, this.#list);
  }

  /** @param {Session} session */
  update(session) {
    this.#session = session;
    const { status, config, steps, connected } = session;
    this.#publish.hidden = !config.publish;
    this.#publish.setAttribute("aria-disabled", String(this.#publishing || !status?.stored));
    const before = status?.kept[0];
    this.#back.setAttribute("aria-disabled", String(before === undefined));
    setText(this.#back, before === undefined ? "Roll back" : `Go to version ${before}`);
    setText(byId("change-note"), connected ? "Told of each version over a WebSocket."
      : "Asked for: nobody tells of versions here.");
    this.#empty.hidden = steps.list.length > 0;
    const drawn = steps.list.map(({ at, to }) => `${at.getTime()} ${to}`).join();
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#list.replaceChildren(...steps.list.map((step) => this.#step(step)));
  }

  async #act() {
    if (this.#publishing || !this.#session?.status?.stored) return;
    this.#publishing = true;
    this.update(this.#session);
    await this.#session.publishChange();
    this.#publishing = false;
    if (this.#session) this.update(this.#session);
  }

  /** @param {Step} step */
  #step({ at, from, to, roads, count: keys, flips, fetched, requests, written }) {
    const cost = fetched === 0 ? "nothing was fetched"
      : `${bytes(fetched)} in ${plural(requests, "request")}`;
    const what = keys === null ? "any key may have changed" : `${plural(keys, "key")} changed`;
    const more = keys !== null && keys > flips.length;
    return h("li", { class: "step", "data-to": to },
      h("div", { class: "step-head" },
        h("b", {}, `Version ${from} → ${to}`),
        h("span", { class: "note" }, roads.map((road) => ROADS[road] ?? road).join(", ")),
        h("time", { datetime: at.toISOString() }, at.toTimeString().slice(0, 8))),
      h("p", { class: "note" }, `${what}; ${cost}, ${bytes(written)} written.`),
      flips.length > 0 && h("ul", { class: "flips" }, ...flips.map((flip) => this.#flip(flip))),
      more && h("p", { class: "note" }, `and ${count((keys ?? 0) - flips.length)} more`));
  }

  /** @param {Flip} flip */
  #flip({ collection, key, before, after }) {
    const kind = before === null ? "added" : after === null ? "removed" : "updated";
    return h("li", { "data-kind": kind },
      h("span", { class: "kind" }, kind),
      h("code", {}, `${collection}: ${key}`),
      before !== null && after !== null && h("span", { class: "flip" },
        h("del", {}, differing(before, after)), " ", h("ins", {}, differing(after, before))));
  }
}

/**
 * The part of a value that another one has differently, with a little before it.
 * @param {string} value
 * @param {string} other
 */
function differing(value, other) {
  let at = 0;
  while (at < value.length && value[at] === other[at]) at += 1;
  const from = Math.max(0, at - 20);
  const shown = value.slice(from, from + VALUE_MAX);
  return `${from > 0 ? "…" : ""}${shown}${from + VALUE_MAX < value.length ? "…" : ""}`;
}
