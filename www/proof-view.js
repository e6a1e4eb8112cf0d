// @ts-check
// A proof as the way it goes: from the signed root down to the leaf that has, or lacks, the key.

import { byId, copyable, h } from "./dom.js";
import { bytes, duration, keyText, plural, shortHash } from "./format.js";
import { describeError } from "./session.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("packice").Proof} Proof */

export class ProofView {
  #round = 0;

  clear() {
    this.#round += 1;
    byId("proof-card").hidden = true;
    byId("proof").replaceChildren();
  }

  /**
   * @param {Session} session
   * @param {string} collection
   * @param {string} key
   */
  async show(session, collection, key) {
    if (!session.dataset) return;
    const round = (this.#round += 1);
    const from = performance.now();
    /** @type {HTMLElement[]} */ let content;
    try {
      const proof = await session.dataset.proof(collection, key);
      content = this.#chain(proof, performance.now() - from);
    } catch (error) {
      const { code, message } = describeError(error);
      content = [h("p", { class: "alert" }, `There is no proof to show: ${message} (${code})`)];
    }
    if (round !== this.#round) return;
    byId("proof").replaceChildren(...content);
    byId("proof-card").hidden = false;
    byId("proof-title").focus({ preventScroll: true });
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    byId("proof-card").scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
  }

  /**
   * @param {Proof} proof
   * @param {number} ms
   * @returns {HTMLElement[]}
   */
  #chain(proof, ms) {
    const present = proof.value !== null;
    const steps = proof.path.map(({ level, identity, length }, depth) => {
      const what = level === 0 ? "Leaf" : depth === 0 ? "Root node" : "Node";
      const same = identity === proof.root ? ", the signed root itself" : "";
      return this.#step(what, `level ${level}, ${bytes(length)}${same}`, identity, "identity");
    });
    const end = h("li", { class: present ? "end" : "end gone" },
      h("b", {}, present ? "Record" : "No record"),
      h("p", { class: "asked" }, h("code", {}, keyText(proof.key))),
      h("small", {}, present
        ? `value of ${bytes(proof.value?.length ?? 0)}, inside the leaf above`
        : "in key order its place is in the leaf above, and that place is empty"));
    return [
      h("p", { class: "note" },
        `Each block's hash stands in the block above it; the first one is under the signature. ` +
        `${plural(proof.path.length, "block")}, ${bytes(proof.bytes.length)} in all, ` +
        `put together in ${duration(ms)}.`),
      h("ol", { class: "chain" },
        this.#step("Signed root", `${proof.collection}, version ${proof.version}`, proof.root,
          "root hash"),
        ...steps, end),
    ];
  }

  /**
   * @param {string} what
   * @param {string} detail
   * @param {string} hash
   * @param {string} named
   */
  #step(what, detail, hash, named) {
    return h("li", {}, h("b", {}, what), h("small", {}, detail),
      copyable(hash, shortHash(hash), named));
  }
}
