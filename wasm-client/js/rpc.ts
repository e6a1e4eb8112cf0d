/**
 * Calls from a page to the host of the engine: typed messages with an id, one answer each, and
 * events. The same messages go to a worker by `postMessage` and to a host in place by function.
 */
import { aborted, closed, fromWire, PackiceError, type WireError } from "./errors.js";
import type { Events, Lookup, Proof, ProvenRecord, Status, SyncReport } from "./types.js";

/** What the host needs to open a data set: options without functions, and with defaults set. */
export interface HostOptions {
  dataset: string;
  channel: string;
  sources: { url: string; name: string }[];
  trust: Uint8Array;
  database: string;
  memory: boolean;
  refuseExpired: boolean;
  /** The seed's file, or where it is. */
  seed: Blob | string | undefined;
  /** Whether idle time is spent on the audit. */
  audit: boolean;
  /** Whether to listen to a source. */
  live: boolean;
  /** How often to look for a new version; 0 is never. */
  pollMs: number;
  /** How many versions to keep that served reads before. */
  keep: number;
  /** What to hold of collections: key ranges. */
  subscribe: { collection: string; ranges: { start: Uint8Array; end?: Uint8Array }[] }[];
  /** The most bytes of a trace; 0 records none. */
  trace: number;
  wasmUrl: string | undefined;
}

/** What a full proof is checked against, with defaults set. */
export interface CheckOptions {
  dataset: string;
  channel: string;
  trust: Uint8Array;
  now: number;
  wasmUrl: string | undefined;
}

/** A run of entries in one buffer: keys and values one after the other, with their lengths. */
export interface Page {
  bytes: Uint8Array;
  /** Key length, value length, key length, … */
  lengths: Uint32Array;
  /** Where the next page starts; null after the last. */
  next: Uint8Array | null;
  /** The root that was read from: all pages of one iteration come from one. */
  root: Uint8Array;
  version: number;
}

/** The version to read from: a pinned one, or the one that serves. */
export type Pinned = number | undefined;

export interface PageArgs {
  collection: string;
  start: Uint8Array | undefined;
  end: Uint8Array | undefined;
  limit: number;
  /** The root of the page before. */
  at: Uint8Array | undefined;
  version: Pinned;
  /** The memory of a page that nobody looks at any more, for another one. */
  spare: ArrayBuffer | undefined;
}

/** The host's methods: arguments and answer by name. */
export interface Methods {
  open: { args: HostOptions; result: void };
  destroy: { args: { database: string; wasmUrl: string | undefined }; result: void };
  verifyProof: { args: { proof: Uint8Array; options: CheckOptions }; result: ProvenRecord };
  get: { args: { collection: string; key: Uint8Array; version: Pinned }; result: Lookup };
  getMany: {
    args: { collection: string; keys: Uint8Array[]; version: Pinned };
    result: Lookup[];
  };
  page: { args: PageArgs; result: Page };
  proof: { args: { collection: string; key: Uint8Array; version: Pinned }; result: Proof };
  status: { args: undefined; result: Status };
  trace: { args: undefined; result: Uint8Array | undefined };
  sync: { args: number | undefined; result: SyncReport };
  pin: { args: undefined; result: number };
  unpin: { args: number; result: void };
  rollBack: { args: number; result: number };
  close: { args: undefined; result: void };
}

export type Method = keyof Methods;

/** A page's message to the host. */
export type Request =
  | { [M in Method]: { id: number; method: M; args: Methods[M]["args"] } }[Method]
  | { cancel: number }
  /** Whether a page hears an event; of those that come often the host sends no other. */
  | { hear: keyof Events; on: boolean }
  /** Whether nobody sees the page. */
  | { hidden: boolean };

/** The host's message to a page. */
export type Reply =
  | { id: number; result: unknown }
  | { id: number; error: WireError }
  | { [K in keyof Events]: { event: K; data: Events[K] } }[keyof Events]
  | { died: WireError };

/** An event of any name. */
export type EventReply = Extract<Reply, { event: unknown }>;

/** The page's end of the way to a host. */
export interface Link {
  send(request: Request): void;
  /** Ends the host, whatever it is doing. */
  end(): void;
}

/** Opens the way: the host's messages go to `receive`, its unannounced end to `died`. */
export type Connect = (receive: (reply: Reply) => void, died: (why: WireError) => void) => Link;

interface Pending {
  resolve(value: unknown): void;
  reject(error: PackiceError): void;
}

/** The page's side: turns calls into messages and answers into settled promises. */
export class Caller {
  readonly #link: Link;
  readonly #pending = new Map<number, Pending>();
  readonly #onEvent: (reply: EventReply) => void;
  #next = 1;
  /** Why no more calls are possible. */
  #over: PackiceError | undefined;

  constructor(connect: Connect, onEvent: (reply: EventReply) => void) {
    this.#onEvent = onEvent;
    this.#link = connect(
      (reply) => this.#receive(reply),
      (why) => this.#finish(fromWire(why)),
    );
  }

  /** Calls a method; an abort takes the call back at the host, too. */
  call<M extends Method>(
    method: M,
    args: Methods[M]["args"],
    signal?: AbortSignal,
  ): Promise<Methods[M]["result"]> {
    return new Promise((resolve, reject) => {
      if (this.#over) return reject(this.#over);
      if (signal?.aborted) return reject(aborted(signal));
      const id = this.#next++;
      const abort = () => {
        this.#pending.delete(id);
        this.#link.send({ cancel: id });
        reject(aborted(signal!));
      };
      const settle = () => signal?.removeEventListener("abort", abort);
      this.#pending.set(id, {
        resolve: (value) => (settle(), resolve(value as Methods[M]["result"])),
        reject: (error) => (settle(), reject(error)),
      });
      signal?.addEventListener("abort", abort, { once: true });
      this.#link.send({ id, method, args } as Request);
    });
  }

  /** Says whether anybody hears an event. */
  hear(event: keyof Events, on: boolean): void {
    if (!this.#over) this.#link.send({ hear: event, on });
  }

  /** Says whether anybody sees the page. */
  hide(hidden: boolean): void {
    if (!this.#over) this.#link.send({ hidden });
  }

  /** Rejects all calls, lets the host finish what it must, and ends it. */
  async close(): Promise<void> {
    if (this.#over) return;
    const ended = this.call("close", undefined);
    const last = this.#next - 1;
    this.#over = closed();
    for (const [id, pending] of this.#pending) {
      if (id === last) continue;
      this.#pending.delete(id);
      pending.reject(this.#over);
    }
    let timer: ReturnType<typeof setTimeout> | undefined;
    const patience = new Promise<void>((done) => {
      timer = setTimeout(done, CLOSE_PATIENCE_MS);
    });
    // A host that has died, or does not answer, is closed all the same.
    await Promise.race([ended.catch(() => undefined), patience]);
    clearTimeout(timer);
    this.#finish(this.#over);
  }

  #receive(reply: Reply): void {
    if ("event" in reply) return this.#onEvent(reply);
    if ("died" in reply) return this.#finish(fromWire(reply.died));
    const pending = this.#pending.get(reply.id);
    // An answer can cross the abort of its call.
    if (!pending) return;
    this.#pending.delete(reply.id);
    if ("error" in reply) pending.reject(fromWire(reply.error));
    else pending.resolve(reply.result);
  }

  #finish(why: PackiceError): void {
    this.#over ??= why;
    this.#link.end();
    for (const pending of this.#pending.values()) pending.reject(why);
    this.#pending.clear();
  }
}

const CLOSE_PATIENCE_MS = 2000;

/** The buffers of an answer that can move to the page instead of being copied. */
export function transferable(result: unknown): ArrayBuffer[] {
  const found = new Set<ArrayBuffer>();
  const visit = (value: unknown): void => {
    if (ArrayBuffer.isView(value)) {
      if (value.buffer instanceof ArrayBuffer) found.add(value.buffer);
    } else if (typeof value === "object" && value !== null) {
      for (const part of Object.values(value)) visit(part);
    }
  };
  visit(result);
  return [...found];
}
