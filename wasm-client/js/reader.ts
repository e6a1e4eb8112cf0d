/** Reads of a data set as it is now, or of one version of it: arguments made ready for the host. */
import { Entries } from "./entries.js";
import { PackiceError } from "./errors.js";
import { replay } from "./events.js";
import type { Caller } from "./rpc.js";
import type {
  Entry,
  EventOptions,
  KeyRange,
  LoggedEvent,
  Lookup,
  Proof,
  RangeOptions,
  Reader,
  ReadOptions,
  View,
} from "./types.js";

/** Most entries of a page; the host answers with what one frame holds of them, at most. */
const PAGE_ENTRIES = 1 << 16;

const utf8 = new TextEncoder();

export class ReaderHandle implements Reader {
  readonly #caller: Caller;
  readonly #version: number | undefined;

  constructor(caller: Caller, version?: number) {
    [this.#caller, this.#version] = [caller, version];
  }

  async get(
    collection: string,
    key: string | Uint8Array,
    options?: ReadOptions,
  ): Promise<Lookup> {
    const args = { collection, key: toBytes(key), version: this.pinned() };
    return this.#caller.call("get", args, options?.signal);
  }

  async getMany(
    collection: string,
    keys: (string | Uint8Array)[],
    options?: ReadOptions,
  ): Promise<Lookup[]> {
    const args = { collection, keys: keys.map(toBytes), version: this.pinned() };
    return this.#caller.call("getMany", args, options?.signal);
  }

  range(collection: string, options: RangeOptions = {}): AsyncIterableIterator<Entry> {
    const { start, end } = bounds(options);
    return new Entries(options, start, async (from, at, left, signal, spare) => {
      const [limit, version] = [Math.min(left, PAGE_ENTRIES), this.pinned()];
      const args = { collection, start: from, end, limit, at, version, spare };
      return this.#caller.call("page", args, signal);
    });
  }

  events(
    collection: string,
    options: EventOptions = {},
  ): AsyncGenerator<LoggedEvent, void, undefined> {
    return replay(this, collection, options);
  }

  async proof(
    collection: string,
    key: string | Uint8Array,
    options?: ReadOptions,
  ): Promise<Proof> {
    const args = { collection, key: toBytes(key), version: this.pinned() };
    return this.#caller.call("proof", args, options?.signal);
  }

  /** The version to read from; the one that serves where it is undefined. */
  protected pinned(): number | undefined {
    return this.#version;
  }
}

/** A version that was pinned, until it is released. */
export class ViewHandle extends ReaderHandle implements View {
  readonly version: number;
  readonly #release: () => void;
  #released = false;

  constructor(caller: Caller, version: number) {
    super(caller, version);
    this.version = version;
    // After a close there is nothing to let go of.
    this.#release = () => void caller.call("unpin", version).catch(() => undefined);
  }

  release(): void {
    if (!this.#released) this.#release();
    this.#released = true;
  }

  protected override pinned(): number {
    if (this.#released) {
      throw new PackiceError("misuse/released", "the view was released: pin() gives another");
    }
    return this.version;
  }
}

/** The bounds of a range of keys. */
export function bounds(options: KeyRange): { start?: Uint8Array; end?: Uint8Array } {
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
