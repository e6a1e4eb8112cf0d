/**
 * Several pages on one database: one leads, which means that it syncs; the others read, ask it for
 * syncs, and see what it commits.
 *
 * The lead is a Web Lock, so a page that ends, however it ends, hands it over at once. A page that
 * is frozen keeps its lock and says nothing: who waits for it takes the lead. Should it wake, its
 * commit finds another state than it knows in the database, and does not happen; that comparison,
 * in the transaction of the commit, is what keeps the data whole. The lead only saves work.
 */
import { toWire, type WireError } from "./errors.js";
import type { EventReply } from "./rpc.js";
import type { SyncReport } from "./types.js";

/** How often the leader says that a sync goes on, and how long nothing may be heard of it. */
const ALIVE_MS = 1000;
const PATIENCE_MS = 4000;

/** What pages of one database tell each other; a sync is named by who asked for it. */
type Message =
  | { ask: string }
  | { alive: string }
  | { done: string; report: SyncReport }
  | { done: string; error: WireError }
  | { said: EventReply };

/** What a page does for the others, and is told by them. */
export interface Page {
  /** It leads from now on, or no more. */
  lead(on: boolean): void;
  /** Reads the state anew, where another page moved it. */
  renew(): Promise<void>;
  sync(): Promise<SyncReport>;
  emit(event: EventReply): void;
}

interface Waiting {
  resolve(report: SyncReport | Promise<SyncReport>): void;
  reject(error: unknown): void;
  timer: ReturnType<typeof setTimeout> | undefined;
}

export class Tabs {
  readonly #page: Page;
  readonly #lock: string;
  readonly #channel: BroadcastChannel;
  readonly #name = crypto.randomUUID();
  readonly #waiting = new Map<string, Waiting>();
  /** Whether this page is the one that syncs. */
  leads = false;
  #queued = new AbortController();
  #release: (() => void) | undefined;
  #begin = () => {};
  /** Before it, nothing that another page wrote was missed. */
  readonly #begun = new Promise<void>((begin) => (this.#begin = begin));
  #missed = false;
  #renewed: Promise<void> = Promise.resolve();
  #asked = 0;
  #closed = false;

  /** Whether pages can know of each other here. */
  static exist(): boolean {
    const { navigator, BroadcastChannel, indexedDB } = globalThis;
    return Boolean(navigator?.locks && BroadcastChannel && indexedDB);
  }

  /** Gets in line for the lead. */
  constructor(database: string, page: Page) {
    this.#page = page;
    this.#lock = `packice ${database}`;
    this.#channel = new BroadcastChannel(this.#lock);
    this.#channel.onmessage = ({ data }: MessageEvent<Message>) => this.#hear(data);
    this.#queue();
  }

  /** The page has the database open. */
  begin(): void {
    this.#missed = true;
    this.#begin();
  }

  /** Has the leader sync. */
  sync(): Promise<SyncReport> {
    const id = `${this.#name} ${(this.#asked += 1)}`;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, timer: undefined });
      this.#channel.postMessage({ ask: id } satisfies Message);
      this.#wait(id);
    });
  }

  /** Tells the others that another version serves, and of what. */
  tell(said: EventReply): void {
    if (!this.#closed) this.#channel.postMessage({ said } satisfies Message);
  }

  close(): void {
    this.#closed = true;
    this.#begin();
    this.#queued.abort();
    this.#release?.();
    this.#channel.close();
    for (const { timer } of this.#waiting.values()) clearTimeout(timer);
    this.#waiting.clear();
  }

  /** Waits in line for the lead. */
  #queue(): void {
    this.#queued = new AbortController();
    this.#hold({ signal: this.#queued.signal });
  }

  #hold(options: LockOptions): void {
    const until = new Promise<void>((release) => (this.#release = release));
    const granted = async () => {
      const missed = this.#missed;
      await this.#begun;
      if (missed) await this.#renew();
      if (this.#closed) return;
      this.leads = true;
      this.#page.lead(true);
      for (const [id, waiting] of this.#waiting) {
        clearTimeout(waiting.timer);
        this.#waiting.delete(id);
        waiting.resolve(this.#page.sync());
      }
      return until;
    };
    navigator.locks.request(this.#lock, options, granted).catch(() => this.#lost(options));
  }

  /** The lock was taken away, or cannot be had. */
  #lost({ signal, steal }: LockOptions): void {
    if (this.#closed || (signal?.aborted && !this.leads)) return;
    if (!this.leads && !steal) return this.#page.lead(true);
    this.leads = false;
    this.#page.lead(false);
    this.#queue();
  }

  #wait(id: string): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    clearTimeout(waiting.timer);
    waiting.timer = setTimeout(() => {
      // It sleeps with the lock in its hand.
      this.#queued.abort();
      this.#hold({ steal: true });
    }, PATIENCE_MS);
  }

  #hear(message: Message): void {
    if ("said" in message) {
      void this.#renew().then(() => this.#page.emit(message.said));
    } else if ("ask" in message) {
      if (this.leads) void this.#serve(message.ask);
    } else if ("alive" in message) {
      this.#wait(message.alive);
    } else {
      const waiting = this.#waiting.get(message.done);
      if (!waiting) return;
      clearTimeout(waiting.timer);
      this.#waiting.delete(message.done);
      if ("error" in message) return waiting.reject(message.error);
      void this.#renew().then(() => waiting.resolve(message.report));
    }
  }

  /** One after the other: each reads what the one before may have read. */
  #renew(): Promise<void> {
    this.#renewed = this.#renewed.then(() => this.#page.renew()).catch(() => undefined);
    return this.#renewed;
  }

  async #serve(id: string): Promise<void> {
    const say = (message: Message) => {
      if (!this.#closed) this.#channel.postMessage(message);
    };
    say({ alive: id });
    const beat = setInterval(() => say({ alive: id }), ALIVE_MS);
    try {
      say({ done: id, report: await this.#page.sync() });
    } catch (thrown) {
      say({ done: id, error: toWire(thrown) });
    } finally {
      clearInterval(beat);
    }
  }
}
