/** The public object of an open data set: calls, pages made into an iterator, events. */
import { Entries } from "./entries.js";
import { PackiceError } from "./errors.js";
import { Caller, type Connect, type HostOptions } from "./rpc.js";
import type {
  Dataset,
  Entry,
  Events,
  Lookup,
  Proof,
  RangeOptions,
  ReadOptions,
  Status,
  SyncOptions,
  SyncReport,
} from "./types.js";

/** Most entries of a page; the host answers with what one frame holds of them, at most. */
const PAGE_ENTRIES = 1 << 16;

const utf8 = new TextEncoder();

export class DatasetHandle implements Dataset {
  readonly #caller: Caller;
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();

  private constructor(connect: Connect) {
    this.#caller = new Caller(connect, (reply) => this.#emit(reply.event, reply.data));
  }

  /** Opens a data set over a link. */
  static async open(connect: Connect, options: HostOptions): Promise<DatasetHandle> {
    const handle = new DatasetHandle(connect);
    try {
      await handle.#caller.call("open", options);
    } catch (error) {
      await handle.close();
      throw error;
    }
    return handle;
  }

  get(collection: string, key: string | Uint8Array, options?: ReadOptions): Promise<Lookup> {
    return this.#caller.call("get", { collection, key: toBytes(key) }, options?.signal);
  }

  getMany(
    collection: string,
    keys: (string | Uint8Array)[],
    options?: ReadOptions,
  ): Promise<Lookup[]> {
    return this.#caller.call("getMany", { collection, keys: keys.map(toBytes) }, options?.signal);
  }

  range(collection: string, options: RangeOptions = {}): AsyncIterableIterator<Entry> {
    const { start, end } = bounds(options);
    return new Entries(options, start, (from, at, left, signal) => {
      const args = { collection, start: from, end, limit: Math.min(left, PAGE_ENTRIES), at };
      return this.#caller.call("page", args, signal);
    });
  }

  proof(collection: string, key: string | Uint8Array, options?: ReadOptions): Promise<Proof> {
    return this.#caller.call("proof", { collection, key: toBytes(key) }, options?.signal);
  }

  status(): Promise<Status> {
    return this.#caller.call("status", undefined);
  }

  sync(options?: SyncOptions): Promise<SyncReport> {
    return this.#caller.call("sync", undefined, options?.signal);
  }

  on<K extends keyof Events>(name: K, callback: (event: Events[K]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    // A copy, so that one function can listen twice and stop once.
    const listener = (event: Events[K]) => callback(event);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  async close(): Promise<void> {
    await this.#caller.close();
    this.#listeners.clear();
  }

  #emit<K extends keyof Events>(name: K, data: Events[K]): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        (listener as (event: Events[K]) => void)(data);
      } catch (error) {
        // A listener's failure is its owner's, and must not stop the others.
        if (typeof reportError === "function") reportError(error);
        else console.error(error);
      }
    }
  }
}

function bounds(options: RangeOptions): { start?: Uint8Array; end?: Uint8Array } {
  const { start, end, prefix } = options;
  if (prefix === undefined) {
    return {
      ...(start !== undefined && { start: toBytes(start) }),
      ...(end !== undefined && { end: toBytes(end) }),
    };
  }
  if (start !== undefined || end !== undefined) {
    throw new PackiceError("misuse/range", "give either a prefix, or start and end");
  }
  const first = toBytes(prefix);
  const after = successor(first);
  return { start: first, ...(after && { end: after }) };
}

/** The first key after all that begin with a prefix; none after a prefix of 0xff only. */
function successor(prefix: Uint8Array): Uint8Array | undefined {
  let last = prefix.length;
  while (last > 0 && prefix[last - 1] === 0xff) last--;
  if (last === 0) return undefined;
  const after = prefix.slice(0, last);
  after[last - 1]! += 1;
  return after;
}

function toBytes(key: string | Uint8Array): Uint8Array {
  if (typeof key === "string") return utf8.encode(key);
  // A copy, because sending a view sends all of the buffer behind it.
  if (key instanceof Uint8Array) return new Uint8Array(key);
  throw new PackiceError("misuse/key", "a key is a string or a Uint8Array");
}
