/** The public object of an open data set: calls, pages made into an iterator, events. */
import { PackiceError, aborted } from "./errors.js";
import { Caller, type Connect, type HostOptions, type Page } from "./rpc.js";
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

/** Most entries of a page; its bytes are bounded by the host. */
const PAGE_ENTRIES = 1024;

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

  async *range(collection: string, options: RangeOptions = {}): AsyncGenerator<Entry, void> {
    const { start, end } = bounds(options);
    const { signal } = options;
    let left = options.limit ?? Infinity;
    const stop = new AbortController();
    const abort = () => stop.abort();
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort();
    const fetchPage = (from: Uint8Array | undefined, at: Uint8Array | undefined) => {
      const limit = Math.min(left, PAGE_ENTRIES);
      const args = { collection, start: from, end, limit, at };
      const page = this.#caller.call("page", args, stop.signal);
      // It is awaited a page later; until then its failure is not unhandled.
      page.catch(() => undefined);
      return page;
    };
    try {
      let ahead = left > 0 ? fetchPage(start, undefined) : undefined;
      while (ahead) {
        const page = await settled(ahead, signal);
        left -= page.lengths.length / 2;
        ahead = page.next && left > 0 ? fetchPage(page.next, page.root) : undefined;
        for (const entry of entries(page)) {
          yield entry;
          if (signal?.aborted) throw aborted(signal);
        }
      }
    } finally {
      signal?.removeEventListener("abort", abort);
      stop.abort();
    }
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

/** A page, with an abort of the user's told apart from the end of the loop. */
async function settled(page: Promise<Page>, signal: AbortSignal | undefined): Promise<Page> {
  try {
    return await page;
  } catch (error) {
    throw signal?.aborted ? aborted(signal) : error;
  }
}

function* entries(page: Page): Generator<Entry, void> {
  const { bytes, lengths } = page;
  let at = 0;
  for (let i = 0; i + 1 < lengths.length; i += 2) {
    const valueAt = at + lengths[i]!;
    const next = valueAt + lengths[i + 1]!;
    // Copies: a view would keep the whole page alive for one value.
    yield { key: bytes.slice(at, valueAt), value: bytes.slice(valueAt, next) };
    at = next;
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
