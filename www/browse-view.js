// @ts-check
// Pages of records in key order, by range(). Nothing is read before it is asked for: a range over
// what is not stored is fetched, and that is the visitor's choice.

import { byId, h, setText } from "./dom.js";
import { asText, bytes, duration, hex, keyText, plural } from "./format.js";
import { describeError } from "./session.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("packice").Entry} Entry */

const PAGE = 12;
const utf8 = new TextEncoder();

/**
 * The first key after all that begin with the prefix; undefined when there is none.
 * @param {Uint8Array} prefix
 */
export function afterPrefix(prefix) {
  for (let i = prefix.length - 1; i >= 0; i -= 1) {
    const byte = prefix[i] ?? 0;
    if (byte === 0xff) continue;
    const end = prefix.slice(0, i + 1);
    end[i] = byte + 1;
    return end;
  }
  return undefined;
}

/** @param {Uint8Array} key the next possible key in byte order */
function successor(key) {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

export class BrowseView {
  #collection = h("select", { id: "browse-collection" });
  #prefix = h("input", { id: "browse-prefix", type: "text", autocomplete: "off",
    spellcheck: "false", autocapitalize: "none", placeholder: "any" });
  #rows = h("tbody");
  #table = h("table", { class: "records", hidden: true },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Key"), h("th", { scope: "col" }, "Value"),
      h("th", { scope: "col", class: "num" }, "Size"))), this.#rows);
  #note = h("p", { class: "note", role: "status" }, "Nothing is read before you ask.");
  #previous = h("button", { type: "button", class: "button", click: () => this.#turn(-1) },
    "Previous");
  #next = h("button", { type: "button", class: "button", id: "browse-next",
    click: () => this.#turn(1) }, "Next");
  /** @type {(Uint8Array | undefined)[]} where each page so far begins */ #starts = [];
  #page = 0;
  #round = 0;
  /** @type {AbortController | null} */ #abort = null;
  /** @type {Session | null} */ #session = null;

  /** @param {(collection: string, key: string) => void} onKey */
  constructor(onKey) {
    this.onKey = onKey;
    const form = h("form", { class: "fields", submit: (event) => {
      event.preventDefault();
      this.#begin();
    } },
      h("label", {}, h("span", {}, "Collection"), this.#collection),
      h("label", { class: "grow" }, h("span", {}, "Keys that begin with"), this.#prefix),
      h("button", { class: "button primary", id: "browse-show" }, "Show records"));
    byId("browse").append(form, this.#table,
      h("div", { class: "pager" }, this.#previous, this.#next, this.#note));
    this.#enable(false);
  }

  /** @param {Session} session */
  show(session) {
    this.#session = session;
    this.#prefix.value = "";
    this.#collection.replaceChildren();
    this.clear();
    this.update(session);
  }

  clear() {
    this.#round += 1;
    this.#abort?.abort();
    this.#rows.replaceChildren();
    this.#table.hidden = true;
    this.#enable(false);
    setText(this.#note, "Nothing is read before you ask.");
  }

  /** @param {Session} session */
  update(session) {
    const names = session.collectionNames();
    const shown = Array.from(this.#collection.options, (option) => option.value);
    if (names.join("\n") === shown.join("\n")) return;
    const chosen = this.#collection.value || session.config.samples[0]?.collection;
    this.#collection.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
    if (chosen && names.includes(chosen)) this.#collection.value = chosen;
  }

  #begin() {
    const prefix = utf8.encode(this.#prefix.value);
    this.#starts = [prefix.length > 0 ? prefix : undefined];
    this.#page = 0;
    void this.#read();
  }

  /** @param {number} by */
  #turn(by) {
    if (this.#page + by < 0 || this.#page + by >= this.#starts.length) return;
    this.#page += by;
    void this.#read();
  }

  async #read() {
    const dataset = this.#session?.dataset;
    if (!dataset) return;
    const round = (this.#round += 1);
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    const collection = this.#collection.value;
    const prefix = utf8.encode(this.#prefix.value);
    const start = this.#starts[this.#page];
    const end = prefix.length > 0 ? afterPrefix(prefix) : undefined;
    const from = performance.now();
    setText(this.#note, "Reading…");
    try {
      /** @type {Entry[]} */
      const entries = [];
      // One more than a page: it tells whether there is a next one.
      const options = { limit: PAGE + 1, signal: abort.signal, ...(start && { start }),
        ...(end && { end }) };
      for await (const entry of dataset.range(collection, options)) entries.push(entry);
      if (round === this.#round) this.#draw(collection, entries, performance.now() - from);
    } catch (error) {
      if (round !== this.#round) return;
      const { code, message } = describeError(error);
      setText(this.#note, `This page cannot be read: ${message} (${code})`);
    }
    void this.#session?.refresh().catch(() => {});
  }

  /**
   * @param {string} collection
   * @param {Entry[]} entries
   * @param {number} ms
   */
  #draw(collection, entries, ms) {
    const shown = entries.slice(0, PAGE);
    const last = shown.at(-1);
    this.#starts.length = this.#page + 1;
    if (entries.length > PAGE && last) this.#starts.push(successor(last.key));
    this.#rows.replaceChildren(...shown.map((entry) => this.#row(collection, entry)));
    this.#table.hidden = shown.length === 0;
    const records = shown.length === 0 ? "No record here" : plural(shown.length, "record");
    setText(this.#note, `Page ${this.#page + 1}: ${records}, verified in ${duration(ms)}.`);
    this.#enable(true);
  }

  /**
   * @param {string} collection
   * @param {Entry} entry
   */
  #row(collection, { key, value }) {
    const text = asText(key);
    const shown = keyText(key);
    const name = text === null
      ? h("code", {}, shown)
      : h("button", { type: "button", class: "key", title: `Look up ${shown}`,
          click: () => this.onKey(collection, text) }, shown);
    const preview = value.length === 0 ? "" : asText(value) ?? `0x${hex(value.subarray(0, 80))}`;
    return h("tr", {}, h("th", { scope: "row" }, name),
      h("td", { class: "preview" }, preview.slice(0, 240)),
      h("td", { class: "num" }, bytes(value.length)));
  }

  /** @param {boolean} on */
  #enable(on) {
    this.#previous.setAttribute("aria-disabled", String(!on || this.#page === 0));
    this.#next.setAttribute("aria-disabled", String(!on || this.#page + 1 >= this.#starts.length));
  }
}
