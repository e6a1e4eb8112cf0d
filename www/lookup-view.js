// @ts-check
// The lookup box and its three honest answers: present, proven absent, not known here.

import { announce, byId, h, setText } from "./dom.js";
import { duration } from "./format.js";
import { describeError } from "./session.js";
import { valueElement } from "./value-view.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("packice").Lookup} Lookup */

/** @type {Record<Extract<Lookup, { state: "unknown" }>["reason"], string>} */
const REASONS = {
  "no-snapshot": "No verified manifest is here yet. Sync, or look again in a moment.",
  "not-synced": "This collection is not read lazily, and the part with this key is still to come.",
  unreachable: "It takes a piece that is not stored, and no source could deliver it.",
};

/**
 * @param {Lookup} answer
 * @returns {[string, string, string]} mark, title, explanation
 */
function words(answer) {
  switch (answer.state) {
    case "present":
      return ["✓", "Present", `Checked up to the signed root of version ${answer.version}.`];
    case "absent":
      return ["∅", "Proven absent",
        `The signed tree of version ${answer.version} has no such key: a proof, not a gap.`];
    case "unknown":
      return ["?", "Not known here", REASONS[answer.reason]];
  }
}

export class LookupView {
  #collection = h("select", { id: "lookup-collection" });
  #key = h("input", { id: "lookup-key", type: "text", autocomplete: "off", spellcheck: "false",
    autocapitalize: "none", enterkeyhint: "search", required: true });
  #samples = h("div", { class: "chips" });
  #result = h("div", { class: "result", id: "lookup-result" });
  #round = 0;
  /** @type {Session | null} */ #session = null;

  /** @param {(session: Session, collection: string, key: string) => void} onProof */
  constructor(onProof) {
    this.onProof = onProof;
    const form = h("form", { class: "fields", submit: (event) => {
      event.preventDefault();
      void this.#look();
    } },
      h("label", {}, h("span", {}, "Collection"), this.#collection),
      h("label", { class: "grow" }, h("span", {}, "Key"), this.#key),
      h("button", { class: "button primary" }, "Look up"));
    byId("lookup").append(form, this.#samples, this.#result);
  }

  /** @param {Session} session */
  show(session) {
    this.#session = session;
    this.#round += 1;
    this.#key.value = "";
    this.#result.replaceChildren();
    const samples = session.config.samples;
    this.#samples.replaceChildren(
      ...(samples.length > 0 ? [h("span", { class: "note" }, "Try")] : []),
      ...samples.map(({ collection, key, label }) =>
        h("button", { type: "button", class: "chip", title: `${collection}: ${key}`,
          click: () => this.ask(collection, key) }, label)),
    );
    this.#collection.replaceChildren();
    this.update(session);
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

  /**
   * @param {string} collection
   * @param {string} key
   */
  ask(collection, key) {
    this.#collection.value = collection;
    this.#key.value = key;
    return this.#look();
  }

  async #look() {
    const session = this.#session;
    const collection = this.#collection.value;
    const key = this.#key.value;
    if (!session || key === "") return;
    const round = (this.#round += 1);
    // Only a read that takes noticeably long may say that it runs.
    const slow = setTimeout(() => this.#put("busy", h("p", { class: "note" }, "Looking…")), 150);
    try {
      const { answer, ms } = await session.lookup(collection, key);
      if (round === this.#round) this.#answer(session, collection, key, answer, ms);
    } catch (error) {
      const { code, message } = describeError(error);
      if (round === this.#round) {
        this.#put("error", h("h3", {}, "This read failed"), h("p", {}, `${message} (${code})`));
        announce("This read failed");
      }
    } finally {
      clearTimeout(slow);
    }
  }

  /**
   * @param {Session} session
   * @param {string} collection
   * @param {string} key
   * @param {Lookup} answer
   * @param {number} ms
   */
  #answer(session, collection, key, answer, ms) {
    const [mark, title, why] = words(answer);
    announce(`${title}, after ${duration(ms)}`);
    const head = h("div", { class: "answer-head" },
      h("span", { class: "answer-mark", "aria-hidden": "true" }, mark),
      h("h3", {}, title),
      h("span", { class: "took", title: "From the call to the verified answer" }, duration(ms)));
    const asked = h("p", { class: "asked" }, h("code", {}, key), ` in ${collection}`);
    const action = answer.state === "unknown"
      ? h("button", { type: "button", class: "button", click: () => this.#look() }, "Look again")
      : h("button", { type: "button", class: "button", id: "show-proof",
          click: () => this.onProof(session, collection, key) }, "Show proof");
    this.#put(answer.state, head, asked, h("p", {}, why),
      answer.state === "present" && valueElement(answer.value), action);
  }

  /**
   * @param {string} answer
   * @param {(HTMLElement | false)[]} children
   */
  #put(answer, ...children) {
    this.#result.dataset.answer = answer;
    this.#result.replaceChildren(h("div", { class: "answer" }, ...children));
  }

  clear() {
    this.#round += 1;
    delete this.#result.dataset.answer;
    setText(this.#result, "");
  }
}
