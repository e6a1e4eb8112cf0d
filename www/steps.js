// @ts-check
// What each new version changed: its keys with their values before and after, and what it cost.
// The value before is read from a view of the version before, which is pinned all the while.

/**
 * @typedef {import("packice").Changes} Changes
 * @typedef {import("packice").Dataset} Dataset
 * @typedef {import("packice").Events["road"]} Road
 * @typedef {import("packice").Status} Status
 * @typedef {import("packice").View} View
 */

/**
 * A key with its values.
 * @typedef {{ collection: string, key: string, before: string | null, after: string | null }} Flip
 */

/**
 * A version that took another one's place. `count` is null where the keys are not told: then the
 * flips are among the keys of the steps before.
 * @typedef {object} Step
 * @property {Date} at
 * @property {number} from
 * @property {number} to
 * @property {string[]} roads how its collections came; none where it was here
 * @property {number | null} count of the keys that changed
 * @property {Flip[]} flips the first of them
 * @property {number} fetched bytes
 * @property {number} requests
 * @property {number} written bytes of layers
 */

const STEPS_MAX = 8;
const FLIPS_MAX = 12;
/** Each collection of a version is told by itself, at once. */
const GATHER_MS = 20;

const text = new TextDecoder();

export class Steps {
  /** @type {Step[]} the newest first */ list = [];
  /** @type {() => void} */ #tell;
  /** @type {View | null} of the version that serves */ #view = null;
  /** @type {Status | null} as it was after the last step */ #before = null;
  /** @type {Map<string, Road["road"]>} */ #roads = new Map();
  /** @type {Changes[]} not noted yet */ #told = [];
  /** @type {Promise<void>} */ #noting = Promise.resolve();

  /** @param {() => void} tell called when the list changed */
  constructor(tell) {
    this.#tell = tell;
  }

  /** @param {Dataset | null} dataset what is there already is where the first step begins */
  async follow(dataset) {
    if (!dataset || this.#view) return;
    const status = await dataset.status();
    if (!status.stored || this.#view) return;
    this.#before = status;
    this.#view = await dataset.pin();
  }

  /** @param {Road} road */
  came({ collection, road }) {
    this.#roads.set(collection, road);
  }

  /**
   * @param {Dataset} dataset
   * @param {Changes} changes
   */
  changed(dataset, changes) {
    this.#told.push(changes);
    if (this.#told.length > 1) return;
    setTimeout(() => {
      const told = this.#told.splice(0);
      // The data set may be closed meanwhile: then nothing is left to show.
      this.#noting = this.#noting.then(() => this.#note(dataset, told)).catch(() => {});
    }, GATHER_MS);
  }

  clear() {
    this.list = [];
    this.#view = this.#before = null;
    this.#roads.clear();
  }

  /**
   * @param {Dataset} dataset
   * @param {Changes[]} told
   */
  async #note(dataset, told) {
    const [first] = told;
    const last = told.at(-1);
    // The first version of all changes nothing that was read before.
    if (!first || !last || !this.#view) return;
    const now = await dataset.pin();
    const flips = await this.#flips(told, this.#view, now);
    const status = await dataset.status();
    const known = told.every(({ complete }) => complete);
    const keys = told.map(({ added, updated, removed }) => [added, updated, removed].flat().length);
    this.list.unshift({
      at: new Date(),
      from: first.from,
      to: last.to,
      roads: [...new Set(this.#roads.values())],
      count: known ? keys.reduce((sum, count) => sum + count, 0) : null,
      flips,
      fetched: status.bytesFetched - (this.#before?.bytesFetched ?? 0),
      requests: status.requests - (this.#before?.requests ?? 0),
      written: status.deltas.bytesWritten - (this.#before?.deltas.bytesWritten ?? 0),
    });
    this.list.length = Math.min(this.list.length, STEPS_MAX);
    this.#before = status;
    this.#view.release();
    this.#view = now;
    this.#roads.clear();
    this.#tell();
  }

  /**
   * @param {Changes[]} told
   * @param {View} before
   * @param {View} after
   */
  async #flips(told, before, after) {
    const flips = [];
    for (const { collection, complete, added, updated, removed } of told) {
      const keys = complete
        ? [added, updated, removed].flat().map((key) => text.decode(key))
        : this.#known(collection);
      for (const key of keys.slice(0, FLIPS_MAX - flips.length)) {
        const [was, is] = await Promise.all([before, after].map((view) => read(view)));
        if (was !== is) flips.push({ collection, key, before: was ?? null, after: is ?? null });

        /** @param {View} view */
        async function read(view) {
          const found = await view.get(collection, key);
          return found.state === "present" ? text.decode(found.value) : null;
        }
      }
    }
    return flips;
  }

  /** @param {string} collection */
  #known(collection) {
    const all = this.list.flatMap(({ flips }) => flips);
    return [...new Set(all.filter((flip) => flip.collection === collection).map(({ key }) => key))];
  }
}
