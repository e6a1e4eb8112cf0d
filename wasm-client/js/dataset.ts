/** The public object of an open data set: calls and events. */
import { PackiceError } from "./errors.js";
import { bounds, ReaderHandle, ViewHandle } from "./reader.js";
import { Caller, type Connect, type HostOptions } from "./rpc.js";
import type {
  Changes,
  Dataset,
  Events,
  Status,
  SyncOptions,
  SyncReport,
  View,
  WatchOptions,
} from "./types.js";

type Listeners = Map<keyof Events, Set<(event: never) => void>>;

export class DatasetHandle extends ReaderHandle implements Dataset {
  readonly #caller: Caller;
  readonly #listeners: Listeners;
  #unwatch = () => {};

  private constructor(connect: Connect) {
    const listeners: Listeners = new Map();
    const caller = new Caller(connect, ({ event, data }) => emit(listeners, event, data));
    super(caller);
    [this.#caller, this.#listeners] = [caller, listeners];
  }

  /** Opens a data set over a link. */
  static async open(connect: Connect, options: HostOptions): Promise<DatasetHandle> {
    const handle = new DatasetHandle(connect);
    try {
      await handle.#caller.call("open", options);
      handle.#watchPage();
    } catch (error) {
      await handle.close();
      throw error;
    }
    return handle;
  }

  async pin(): Promise<View> {
    return new ViewHandle(this.#caller, await this.#caller.call("pin", undefined));
  }

  rollBack(version: number): Promise<number> {
    return this.#caller.call("rollBack", version);
  }

  watch(
    collection: string,
    range: WatchOptions,
    callback: (changes: Changes) => void,
  ): () => void {
    const { start, end } = bounds(range);
    return this.on("changed", (changes) => {
      const those = changes.collection === collection && within(changes, start, end);
      if (those) callback(those);
    });
  }

  status(): Promise<Status> {
    return this.#caller.call("status", undefined);
  }

  async trace(): Promise<Uint8Array> {
    const trace = await this.#caller.call("trace", undefined);
    if (trace) return trace;
    throw new PackiceError("misuse/trace", "trace: nothing is recorded: open with `trace`");
  }

  sync({ signal, deadline }: SyncOptions = {}): Promise<SyncReport> {
    const within = deadline === undefined ? undefined : Math.max(0, deadline - Date.now());
    if (Number.isNaN(within)) {
      const message = "deadline: it is a time in milliseconds, as Date.now() gives it";
      return Promise.reject(new PackiceError("misuse/deadline", message));
    }
    return this.#caller.call("sync", within, signal);
  }

  /** Syncs of a page that nobody sees yield to what somebody waits for. */
  #watchPage(): void {
    const { document } = globalThis;
    if (!document) return;
    const tell = () => this.#caller.hide(document.visibilityState === "hidden");
    document.addEventListener("visibilitychange", tell);
    this.#unwatch = () => document.removeEventListener("visibilitychange", tell);
    tell();
  }

  on<K extends keyof Events>(name: K, callback: (event: Events[K]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    // A copy, so that one function can listen twice and stop once.
    const listener = (event: Events[K]) => callback(event);
    if (listeners.size === 0) this.#caller.hear(name, true);
    listeners.add(listener);
    return () => {
      if (listeners.delete(listener) && listeners.size === 0) this.#caller.hear(name, false);
    };
  }

  async close(): Promise<void> {
    this.#unwatch();
    await this.#caller.close();
    this.#listeners.clear();
  }
}

function emit<K extends keyof Events>(listeners: Listeners, name: K, data: Events[K]): void {
  for (const listener of listeners.get(name) ?? []) {
    try {
      (listener as (event: Events[K]) => void)(data);
    } catch (error) {
      // A listener's failure is its owner's, and must not stop the others.
      if (typeof reportError === "function") reportError(error);
      else console.error(error);
    }
  }
}

/** Changes of other keys left out; none where nothing in the range may have changed. */
function within(changes: Changes, start?: Uint8Array, end?: Uint8Array): Changes | undefined {
  if (!changes.complete) return changes;
  const inside = (key: Uint8Array) =>
    !(start && compare(key, start) < 0) && !(end && compare(key, end) >= 0);
  const [added, updated, removed] = [changes.added, changes.updated, changes.removed].map((keys) =>
    keys.filter(inside),
  ) as [Uint8Array[], Uint8Array[], Uint8Array[]];
  const some = added.length + updated.length + removed.length > 0;
  return some ? { ...changes, added, updated, removed } : undefined;
}

/** The order of keys: byte by byte, the shorter first. */
function compare(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    if (a[at] !== b[at]) return a[at]! - b[at]!;
  }
  return a.length - b.length;
}
