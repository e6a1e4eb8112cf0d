// @ts-check
// One data set of the page: the open Dataset of the public API, and what was seen of it so far.
// No element is touched here; the views read the fields and follow the "change" and "log" events.

import { duration, shortHash } from "./format.js";
import { Steps } from "./steps.js";

/**
 * @typedef {import("packice").Dataset} Dataset
 * @typedef {import("packice").Status} Status
 * @typedef {import("packice").Phase} Phase
 * @typedef {import("packice").Lookup} Lookup
 * @typedef {import("packice").Events["progress"]} Progress
 * @typedef {import("packice").Events["fault"]} Fault
 */

/**
 * One entry of demo.json. `collections` maps a collection's name to one line about it.
 * @typedef {object} Config
 * @property {string} id
 * @property {string} title
 * @property {string} about
 * @property {string} dataset
 * @property {string} [channel]
 * @property {{ name?: string, url: string }[]} sources
 * @property {string} trust base64 of the trust root
 * @property {Record<string, string>} collections
 * @property {{ collection: string, key: string, label: string }[]} samples
 * @property {boolean} [live] whether to be told of versions
 * @property {string} [publish] a POST here publishes a change
 */

/**
 * Milliseconds from the call of open() to: its answer, the first read that was answered as
 * present or proven absent, and the version being stored whole. Null until reached.
 * @typedef {{ opened: number | null, firstVerified: number | null, complete: number | null }} Marks
 */

/** @typedef {{ at: Date, kind: "phase" | "fault" | "note" | "error", text: string }} LogEntry */
/** @typedef {{ code: string, object: string, detail: string, times: number }} FaultGroup */

export const MISSING = 0;
export const FETCHING = 1;
export const STORED = 2;

/** Versions that stay beside the newest, to go back to. */
const KEEP = 3;
const POLL_MS = 400;
const LOG_MAX = 300;

// Started now, awaited where it is used: a missing package is then an error the page can show.
const packice = import("packice");
packice.catch(() => {});

/**
 * @param {unknown} error
 * @returns {{ code: string, message: string }}
 */
export function describeError(error) {
  if (!(error instanceof Error)) return { code: "unknown", message: String(error) };
  const code = /** @type {{ code?: unknown }} */ (error).code;
  return { code: typeof code === "string" ? code : error.name, message: error.message };
}

/**
 * Draws the bundles that were kept from an earlier visit. Their number is exact; which ones they
 * are is not told, and as bundles are fetched in order, the first ones are taken.
 * @param {Uint8Array} states
 * @param {number} stored
 */
function seed(states, stored) {
  let left = stored - states.filter((state) => state === STORED).length;
  for (let i = 0; i < states.length && left > 0; i += 1) {
    if (states[i] !== MISSING) continue;
    states[i] = STORED;
    left -= 1;
  }
}

export class Session extends EventTarget {
  /** @type {Dataset | null} */ dataset = null;
  /** @type {Phase} */ phase = "idle";
  /** @type {Status | null} */ status = null;
  /** @type {Progress | null} */ progress = null;
  /** @type {{ code: string, message: string } | null} */ error = null;
  /** @type {Marks} */ marks = { opened: null, firstVerified: null, complete: null };
  /** @type {Map<string, Uint8Array>} states of the bundles, by collection */ bundles = new Map();
  /** @type {Map<string, Map<string, FaultGroup>>} by source, then by code */ faults = new Map();
  /** @type {LogEntry[]} */ log = [];
  /** What versions changed. */ steps = new Steps(() => this.#changed());
  /** True while a source tells of versions. */
  connected = false;
  /** True when open() found a whole version in this browser. */
  warm = false;
  running = false;
  cancelled = false;
  /** True once a sync of this visit ended well. */
  synced = false;

  #began = 0;
  /** @type {AbortController | null} */ #abort = null;
  /** @type {(() => void)[]} */ #listeners = [];
  /** @type {Promise<void> | null} */ #opening = null;
  /** @type {Promise<void> | null} */ #refreshing = null;
  /** @type {Promise<void>} */ #syncing = Promise.resolve();
  /** @type {Set<string>} collections whose earlier bundles are drawn */ #seeded = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;

  /** @param {Config} config */
  constructor(config) {
    super();
    this.config = config;
  }

  /** Opens the local store; a second call joins the first. */
  open() {
    this.#opening ??= this.#open().catch((error) => {
      this.#opening = null;
      this.#fail(error);
      throw error;
    });
    return this.#opening;
  }

  async #open() {
    const { open } = await packice;
    const { dataset, sources, trust, channel, live = false } = this.config;
    this.#began = performance.now();
    const options = { dataset, sources, trust, keep: KEEP, ...(channel ? { channel } : {}) };
    // Being told of versions begins with a sync: only where one was asked for.
    this.dataset = await open({ ...options, live: live && this.running });
    this.marks.opened = this.#elapsed();
    this.#listen(this.dataset);
    await this.refresh();
    await this.steps.follow(this.dataset);
    this.warm = this.status?.stored === true;
    if (this.warm) {
      this.marks.complete ??= this.#elapsed();
      this.note(`Opened version ${this.status?.version} from this browser's store.`);
    } else {
      this.note(this.status?.version == null ? "Opened; nothing is stored yet." : "Opened.");
    }
    // A store that holds something answers without asking anybody.
    if (this.status?.version != null) void this.#probe();
    this.#changed();
  }

  /** Brings the newest version. Its failure is shown, not thrown. */
  sync() {
    if (!this.running) this.#syncing = this.#sync();
    return this.#syncing;
  }

  async #sync() {
    this.running = true;
    this.cancelled = false;
    this.error = null;
    const abort = (this.#abort = new AbortController());
    this.#changed();
    try {
      await this.open();
      if (!this.dataset) return;
      void this.#probe();
      this.#poll();
      const report = await this.dataset.sync({ signal: abort.signal });
      this.marks.complete ??= this.#elapsed();
      this.synced = true;
      await this.steps.follow(this.dataset);
      if (report.changed) this.warm = false;
      const reused = report.bundlesReused ? `, ${report.bundlesReused} bundles reused` : "";
      this.note(
        report.changed
          ? `Version ${report.version} committed in ${duration(report.ms)}${reused}.`
          : `Version ${report.version} is the newest; checked in ${duration(report.ms)}.`,
      );
    } catch (error) {
      if (abort.signal.aborted) {
        this.cancelled = true;
        this.note("Sync cancelled. What was stored stays; the next sync goes on from there.");
      } else if (this.error === null) {
        // Else open() failed, and has said so.
        this.#fail(error);
      }
    } finally {
      if (this.#abort === abort) this.#abort = null;
      this.running = false;
      for (const states of this.bundles.values()) {
        states.forEach((state, i) => state === FETCHING && (states[i] = MISSING));
      }
      await this.refresh().catch(() => {});
      this.#changed();
    }
  }

  cancel() {
    this.#abort?.abort();
  }

  /** Has a change published, and brings it where nobody tells of it. */
  async publishChange() {
    const { publish, id } = this.config;
    if (!publish) return;
    this.note("A change is being published.");
    try {
      const answer = await fetch(`${publish}?set=${encodeURIComponent(id)}`, { method: "POST" });
      if (!answer.ok) throw new Error(await answer.text());
      const { version } = await answer.json();
      this.note(`Version ${version} is published.`);
      if (!this.connected) await this.sync();
    } catch (error) {
      this.#push("error", `The change was not published: ${describeError(error).message}`);
    }
  }

  /** Goes back to the version before. */
  async rollBack() {
    const to = this.status?.kept[0];
    if (to === undefined || !this.dataset) return;
    try {
      await this.dataset.rollBack(to);
      this.note(`Went back to version ${to}; nothing was fetched.`);
    } catch (error) {
      this.#push("error", `Not gone back: ${describeError(error).message}`);
    }
    await this.refresh();
  }

  /** Deletes the data set's own database (`packice/{dataset}`) and opens an empty one. */
  async forget() {
    this.cancel();
    await this.#syncing;
    clearTimeout(this.#timer);
    for (const end of this.#listeners.splice(0)) end();
    await this.dataset?.close();
    this.dataset = null;
    this.#opening = null;
    const { destroy } = await packice;
    await destroy({ dataset: this.config.dataset });
    this.phase = "idle";
    this.status = this.progress = this.error = null;
    this.marks = { opened: null, firstVerified: null, complete: null };
    this.bundles.clear();
    this.#seeded.clear();
    this.faults.clear();
    this.steps.clear();
    this.connected = false;
    this.warm = this.cancelled = this.synced = false;
    this.note("Local data deleted. The next sync starts from the built-in trust root.");
    await this.open();
  }

  /** Reads the status again; calls that come meanwhile share one answer. */
  refresh() {
    this.#refreshing ??= this.#refresh().finally(() => (this.#refreshing = null));
    return this.#refreshing;
  }

  async #refresh() {
    const status = await this.dataset?.status();
    if (!status) return;
    this.status = status;
    this.#setPhase(status.phase);
    for (const collection of status.collections) {
      const states = this.#states(collection.name, collection.bundles);
      if (collection.complete) states.fill(STORED);
      else if (!this.#seeded.has(collection.name)) seed(states, collection.bundlesStored);
      this.#seeded.add(collection.name);
    }
    this.#changed();
  }

  /**
   * A read through the public API, timed; the first verified answer is a mark.
   * @param {string} collection
   * @param {string} key
   * @returns {Promise<{ answer: Lookup, ms: number }>}
   */
  async lookup(collection, key) {
    await this.open();
    if (!this.dataset) throw new Error("the data set is closed");
    const from = performance.now();
    const answer = await this.dataset.get(collection, key);
    const ms = performance.now() - from;
    if (answer.state !== "unknown") {
      if (this.marks.firstVerified === null) {
        this.marks.firstVerified = this.#elapsed();
        this.note(`First verified read after ${duration(this.marks.firstVerified)}.`);
      }
    }
    void this.refresh().catch(() => {});
    return { answer, ms };
  }

  /** @param {string} text */
  note(text) {
    this.#push("note", text);
  }

  /** Names of the collections, as the manifest has them, else as the config does. */
  collectionNames() {
    const held = this.status?.collections.map((c) => c.name) ?? [];
    return held.length > 0 ? held : Object.keys(this.config.collections);
  }

  /** Reads one sample until an answer is verified: the time to the first useful read. */
  async #probe() {
    const sample = this.config.samples[0];
    const dataset = this.dataset;
    while (sample && this.marks.firstVerified === null && this.dataset === dataset) {
      try {
        const { answer } = await this.lookup(sample.collection, sample.key);
        if (answer.state !== "unknown") return;
      } catch {
        return; // The sync reports what is wrong; the probe only measures.
      }
      if (!this.running) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** @param {Dataset} dataset */
  #listen(dataset) {
    this.#listeners = [
      dataset.on("state", ({ phase }) => {
        this.#setPhase(phase);
        if (phase === "complete") this.marks.complete ??= this.#elapsed();
        void this.refresh().catch(() => {});
        this.#changed();
      }),
      dataset.on("progress", (progress) => {
        this.progress = progress;
        this.#changed();
      }),
      dataset.on("bundle", ({ collection, index, total, state }) => {
        this.#states(collection, total)[index] = state === "stored" ? STORED : FETCHING;
        this.#changed();
      }),
      dataset.on("fault", (fault) => this.#fault(fault)),
      dataset.on("road", (road) => this.steps.came(road)),
      dataset.on("changed", (changes) => {
        this.steps.changed(dataset, changes);
        void this.refresh().catch(() => {});
      }),
      dataset.on("refused", ({ collection, code }) =>
        this.#push("error", `The publisher: a delta of ${collection} is wrong (${code}).`),
      ),
      dataset.on("live", ({ source, connected }) => {
        this.connected = connected;
        this.note(connected ? `${source} tells of new versions.` : `${source} tells no more.`);
        this.#changed();
      }),
      dataset.on("damaged", ({ object }) =>
        this.#push("fault", `This browser's store: ${object} is damaged and will be fetched anew.`),
      ),
      dataset.on("mismatch", ({ collection }) =>
        this.#push("error", `The publisher: ${collection} does not lead to the root it signed.`),
      ),
    ];
  }

  /** @param {Fault} fault */
  #fault({ source, code, object, detail }) {
    const groups = this.faults.get(source) ?? new Map();
    const times = (groups.get(code)?.times ?? 0) + 1;
    groups.set(code, { code, object, detail, times });
    this.faults.set(source, groups);
    const hash = /[0-9a-f]{64}/;
    const name = object.replace(hash, (full) => shortHash(full));
    this.#push("fault", `${source}: ${code}, ${name}: ${detail}`);
    this.#changed();
  }

  /**
   * @param {string} collection
   * @param {number} total
   */
  #states(collection, total) {
    let states = this.bundles.get(collection);
    // Another number of bundles is another base version: the old picture says nothing of it.
    if (!states || states.length !== total) {
      states = new Uint8Array(total);
      this.bundles.set(collection, states);
    }
    return states;
  }

  /** @param {Phase} phase */
  #setPhase(phase) {
    if (phase === this.phase) return;
    this.phase = phase;
    this.#push("phase", `Phase: ${phase}`);
    this.#changed();
  }

  /** @param {unknown} error */
  #fail(error) {
    this.error = describeError(error);
    this.#push("error", `${this.error.code}: ${this.error.message}`);
    this.#changed();
  }

  /**
   * @param {LogEntry["kind"]} kind
   * @param {string} text
   */
  #push(kind, text) {
    const entry = { at: new Date(), kind, text };
    this.log.push(entry);
    if (this.log.length > LOG_MAX) this.log.shift();
    this.dispatchEvent(new CustomEvent("log", { detail: entry }));
  }

  #poll() {
    clearTimeout(this.#timer);
    if (!this.running) return;
    this.#timer = setTimeout(async () => {
      await this.refresh().catch(() => {});
      this.#poll();
    }, POLL_MS);
  }

  #elapsed() {
    return performance.now() - this.#began;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
