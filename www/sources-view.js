// @ts-check
// Who serves, in what state, and who lied how.

import { byId, h } from "./dom.js";
import { bytes, count, plural, shortHash } from "./format.js";

/** @typedef {import("./session.js").Session} Session */

/** @type {Record<import("packice").SourceStatus["state"], string>} */
const STATES = {
  unused: "not asked yet",
  ok: "serving",
  "backing-off": "waiting before the next try",
  banned: "not asked any more",
  removed: "removed",
};

export class SourcesView {
  #drawn = "";

  /** @param {Session} session */
  update(session) {
    /** @type {import("packice").SourceStatus[]} */
    const sources = session.status?.sources ?? session.config.sources.map(({ name, url }) => ({
      name: name ?? new URL(url, location.href).host,
      url,
      state: "unused",
      bytes: 0,
      requests: 0,
      faults: 0,
      lastFault: null,
      bytesPerSecond: null,
      latencyMs: null,
    }));
    const faults = sources.map((s) => [...(session.faults.get(s.name)?.values() ?? [])]);
    const drawn = JSON.stringify([sources, faults]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    byId("sources").replaceChildren(
      h("ul", { class: "sources" }, ...sources.map((s, i) => this.#source(s, faults[i] ?? []))),
    );
  }

  /**
   * @param {import("packice").SourceStatus} source
   * @param {import("./session.js").FaultGroup[]} faults
   */
  #source(source, faults) {
    const told = faults.map(({ code, object, detail, times }) =>
      h("li", {},
        h("code", {}, code), times > 1 && ` × ${count(times)}`,
        h("span", { class: "fault-object" }, object.replace(/[0-9a-f]{64}/, shortHash)),
        h("p", {}, detail)),
    );
    // Faults from before the page listened are known by the last one only.
    if (told.length === 0 && source.lastFault) told.push(h("li", {}, source.lastFault));
    return h("li", { "data-source": source.name, "data-state": source.state },
      h("div", { class: "source-head" },
        h("span", { class: "dot", "aria-hidden": "true" }),
        h("b", {}, source.name),
        h("span", { class: "state" }, STATES[source.state])),
      h("p", { class: "url" }, source.url),
      h("p", { class: "note" },
        `${bytes(source.bytes)} in ${plural(source.requests, "request")}, `,
        source.faults ? plural(source.faults, "fault") : "no fault"),
      told.length > 0 && h("ul", { class: "faults", "aria-label": "What it did" }, ...told));
  }
}
