// @ts-check
// The large status line: what happens now, the phases, the figures and the buttons.

import { announce, byId, h, setText } from "./dom.js";
import { bytes, count, duration, plural } from "./format.js";

/** @typedef {import("./session.js").Session} Session */

/** @type {[import("packice").Phase, string, string][]} */
const PHASES = [
  ["trust", "Trust", "signatures"],
  ["bootstrap", "Bootstrap", "manifest"],
  ["collections", "Collections", "bundles"],
  ["commit", "Commit", "one pointer"],
  ["complete", "Complete", "all stored"],
];

const FIGURES = /** @type {const} */ ([
  ["version", "Version"],
  ["rate", "Rate"],
  ["eta", "Time left"],
  ["fetched", "Fetched"],
  ["requests", "Requests"],
  ["first", "First verified read"],
  ["complete", "Complete after"],
  ["memory", "Wasm memory"],
]);

/** @param {Session} session */
function percent({ progress, status, phase }) {
  if (phase === "complete" || (status?.stored && phase === "idle")) return 100;
  if (progress && progress.bytesTotal > 0) {
    return Math.min(100, (progress.bytesDone / progress.bytesTotal) * 100);
  }
  // Before the first report of this visit: what an earlier one left.
  const all = status?.collections.reduce((sum, c) => sum + c.bundles, 0) ?? 0;
  const held = status?.collections.reduce((sum, c) => sum + c.bundlesStored, 0) ?? 0;
  return all === 0 ? 0 : (held / all) * 100;
}

/** @param {Session} session */
function headline(session) {
  const { phase, status, running, error, cancelled } = session;
  const share = `${Math.floor(percent(session))} %`;
  const { stored } = status ?? {};
  if (session.warm && stored && !error && phase !== "collections") return "Here already.";
  if (error && !running) return stored ? "Open; the update failed." : "The sync stopped.";
  if (cancelled && phase !== "complete") return `Paused at ${share}.`;
  switch (phase) {
    case "idle":
      if (stored) return "Verified and stored.";
      if (running) return "Opening.";
      return status?.version != null ? "Partly here." : "Nothing is here yet.";
    case "trust":
      return "Checking signatures.";
    case "bootstrap":
      return "Reading the bootstrap.";
    case "collections":
      return `Verifying, ${share}.`;
    case "commit":
      return "Committing.";
    case "complete":
      return "Verified and stored.";
    case "failed":
      return "The sync stopped.";
  }
}

/** @param {Session} session */
function explanation(session) {
  const { phase, status, warm, marks, running, cancelled } = session;
  const records = status?.collections.reduce((sum, c) => sum + c.records, 0) ?? 0;
  const bundles = status?.collections.reduce((sum, c) => sum + c.bundles, 0) ?? 0;
  if (status?.stored) {
    const held = `Version ${status.version}: ${plural(records, "record")}`;
    if (warm) {
      const news = running ? "The sources are being asked for news."
        : session.synced ? "It is the newest the sources have." : "No source was asked.";
      return `${held}, opened from this browser in ${duration(marks.opened)}. ${news}`;
    }
    return `${held} in ${plural(bundles, "bundle")}, each checked by its signed hash.`;
  }
  if (cancelled) return "What was stored stays. The next sync goes on from there.";
  if (phase === "failed" || session.error) return "Nothing unverified was kept.";
  if (running && marks.firstVerified !== null) {
    return "Reads are answered already; the rest is on its way.";
  }
  if (running) return "From the built-in trust root down, before anything is believed.";
  return "Sync to fetch it; or look one key up, which fetches no more than that read needs.";
}

/** @param {string} code what a person can do about an error of this family */
function advice(code) {
  const family = code.split("/")[0];
  if (family === "trust") return "The sources serve nothing the trust root signs for.";
  if (family === "peer") return "Check the connection and the sources, then sync again.";
  if (family === "store") return "Free some space in this browser, or forget the local data.";
  return "Reload the page and sync again; the event list below has the details.";
}

/** @param {string} message */
function sentence(message) {
  return message.charAt(0).toUpperCase() + message.slice(1).replace(/\.$/, "");
}

export class StatusView {
  #rail = PHASES.map(([, title, detail]) =>
    h("li", {}, h("span", { class: "dot", "aria-hidden": "true" }), h("b", {}, title),
      h("small", {}, detail)),
  );
  #figures = new Map(FIGURES.map(([id]) => [id, h("dd", { "data-figure": id }, "–")]));

  /** @param {{ onSync(): void, onCancel(): void, onForget(): void }} handlers */
  constructor({ onSync, onCancel, onForget }) {
    byId("rail").append(...this.#rail);
    for (const [id, title] of FIGURES) {
      byId("figures").append(h("div", {}, h("dt", {}, title), this.#figures.get(id)));
    }
    /** @type {(label: string, id: string, run: () => void, kind?: string) => HTMLButtonElement} */
    const button = (label, id, run, kind = "") =>
      h("button", { type: "button", class: `button ${kind}`, id, click: (event) => {
        // aria-disabled keeps the focus where it is, which `disabled` would drop.
        const target = /** @type {Element} */ (event.currentTarget);
        if (target.getAttribute("aria-disabled") !== "true") run();
      } }, label);
    this.sync = button("Sync", "sync", onSync, "primary");
    this.cancel = button("Cancel", "cancel", onCancel);
    const reload = button("Reload the page", "reload", () => location.reload());
    reload.title = "What is stored opens at once; a sync that was under way goes on";
    this.forget = button("Forget local data", "forget", onForget, "quiet");
    byId("actions").append(this.sync, this.cancel, reload, this.forget);
  }

  /** @param {Session} session */
  update(session) {
    const { config, status, phase, progress, running, error, marks } = session;
    const channel = status?.channel ?? config.channel ?? "stable";
    setText(byId("hero-eyebrow"), `${config.title} · ${channel} channel`);
    setText(byId("headline"), headline(session));
    setText(byId("sub"), explanation(session));
    this.#updateRail(session);

    const share = percent(session);
    const bar = byId("bar");
    bar.setAttribute("aria-valuenow", share.toFixed(0));
    const total = progress?.bytesTotal ?? 0;
    bar.setAttribute("aria-valuetext", total
      ? `${bytes(progress?.bytesDone ?? 0)} of ${bytes(total)}` : `${share.toFixed(0)} percent`);
    bar.classList.toggle("running", running);
    byId("bar-fill").style.transform = `scaleX(${share / 100})`;

    this.#figure("version", status?.version == null ? "–" : String(status.version));
    const moving = running && phase === "collections" && progress;
    this.#figure("rate", moving ? `${bytes(progress.rate)}/s` : "–");
    this.#figure("eta", moving && progress.etaMs !== null ? duration(progress.etaMs) : "–");
    this.#figure("fetched", status ? bytes(status.bytesFetched) : "–");
    this.#figure("requests", status ? count(status.requests) : "–");
    this.#figure("first", duration(marks.firstVerified));
    this.#figure("complete", duration(marks.complete));
    this.#figure("memory", status?.wasmMemoryBytes ? bytes(status.wasmMemoryBytes) : "–");

    const alert = byId("sync-error");
    alert.hidden = error === null;
    setText(alert, error
      ? `${sentence(error.message)} (${error.code}). ${advice(error.code)}` : "");
    setText(this.sync, status?.stored ? "Check for news" : session.cancelled ? "Go on" : "Sync");
    this.sync.setAttribute("aria-disabled", String(running));
    this.cancel.setAttribute("aria-disabled", String(!running));
  }

  /** @param {Session} session */
  #updateRail({ phase, status, running }) {
    const settled = phase === "complete" || (!running && status?.stored === true);
    const at = settled ? PHASES.length : PHASES.findIndex(([name]) => name === phase);
    this.#rail.forEach((item, index) => {
      item.className = index < at ? "done" : index === at ? "now" : "";
      if (index === at) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    });
  }

  /**
   * @param {(typeof FIGURES)[number][0]} id
   * @param {string} text
   */
  #figure(id, text) {
    const cell = this.#figures.get(id);
    if (cell) setText(cell, text);
  }

  /** @param {Session} session */
  announceEnd(session) {
    announce(headline(session));
  }
}
