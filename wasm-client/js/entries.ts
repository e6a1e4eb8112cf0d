/**
 * A range as an iterator: entries are cut out of packed pages as the loop comes to them, and the
 * next page is on its way meanwhile. Written by hand, because an async generator takes three turns
 * of the microtask queue for each entry, and a range has millions.
 */
import { aborted } from "./errors.js";
import type { Page } from "./rpc.js";
import type { Entry, RangeOptions } from "./types.js";

type Result = IteratorResult<Entry, undefined>;

/** Asks for a page: from which key, of which root, how many entries at most. */
export type FetchPage = (
  from: Uint8Array | undefined,
  at: Uint8Array | undefined,
  left: number,
  signal: AbortSignal,
  spare: ArrayBuffer | undefined,
) => Promise<Page>;

/**
 * Entries are views of blocks of about so many bytes. An array of its own for each key and each
 * value would cost several times as much to make and to collect; views of whole pages would keep
 * up to a megabyte alive for one value.
 */
const BLOCK_BYTES = 16 << 10;

const END: Result = { done: true, value: undefined };

export class Entries implements AsyncIterableIterator<Entry> {
  readonly #fetchPage: FetchPage;
  readonly #signal: AbortSignal | undefined;
  readonly #start: Uint8Array | undefined;
  /** Takes back what is under way, for the caller's signal and for a loop that is left. */
  readonly #stop = new AbortController();
  readonly #abort = () => this.#stop.abort();
  #page: Page | undefined;
  #ahead: Promise<Page> | undefined;
  /** The next entry's place in the page's `lengths`. */
  #index = 0;
  /** What entries are cut out of: a part of the page from `#byte` on; the next one is at `#at`. */
  #block = new ArrayBuffer(0);
  #byte = 0;
  #at = 0;
  #left: number;
  /** The answer to the last call that had to wait; later ones come after it. */
  #waiting: Promise<unknown> | undefined;
  #over = false;

  constructor(options: RangeOptions, start: Uint8Array | undefined, fetchPage: FetchPage) {
    this.#fetchPage = fetchPage;
    this.#start = start;
    this.#signal = options.signal;
    this.#left = options.limit ?? Infinity;
    this.#signal?.addEventListener("abort", this.#abort, { once: true });
    if (this.#signal?.aborted) this.#abort();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    if (this.#waiting) return this.#later(() => this.#step());
    const entry = this.#over || this.#signal?.aborted ? undefined : this.#take();
    if (entry) return Promise.resolve({ done: false, value: entry });
    return this.#later(() => this.#step());
  }

  /** Ends a loop that is left. */
  return(): Promise<Result> {
    this.#end();
    return Promise.resolve(END);
  }

  /** Answers after the calls before. */
  #later(answer: () => Promise<Result>): Promise<Result> {
    const before = this.#waiting?.catch(() => undefined);
    const mine = before ? before.then(answer) : answer();
    this.#waiting = mine;
    const done = () => {
      if (this.#waiting === mine) this.#waiting = undefined;
    };
    mine.then(done, done);
    return mine;
  }

  async #step(): Promise<Result> {
    try {
      for (;;) {
        if (this.#over) return END;
        if (this.#signal?.aborted) throw aborted(this.#signal);
        const entry = this.#take();
        if (entry) return { done: false, value: entry };
        if (!(await this.#turn())) {
          this.#end();
          return END;
        }
      }
    } catch (error) {
      this.#end();
      throw this.#signal?.aborted ? aborted(this.#signal) : error;
    }
  }

  /** The next entry of the page that is here. */
  #take(): Entry | undefined {
    const page = this.#page;
    if (!page || this.#index >= page.lengths.length) return undefined;
    const keyLength = page.lengths[this.#index]!;
    const length = keyLength + page.lengths[this.#index + 1]!;
    if (this.#at + length > this.#block.byteLength) this.#cut(page.bytes, length);
    const from = this.#at;
    this.#index += 2;
    this.#at += length;
    return {
      key: new Uint8Array(this.#block, from, keyLength),
      value: new Uint8Array(this.#block, from + keyLength, length - keyLength),
    };
  }

  /** Copies the next block out of the page: it ends where an entry does not fit any more. */
  #cut(bytes: Uint8Array, length: number): void {
    this.#byte += this.#at;
    const block = bytes.slice(this.#byte, this.#byte + Math.max(BLOCK_BYTES, length));
    [this.#block, this.#at] = [block.buffer, 0];
  }

  /** Goes on to the next page, and asks for the one after it; false after the last. */
  async #turn(): Promise<boolean> {
    let ahead = this.#ahead;
    if (!this.#page) ahead = this.#left > 0 ? this.#ask(this.#start) : undefined;
    if (!ahead) return false;
    const page = await ahead;
    this.#left -= page.lengths.length / 2;
    // Nobody looks at the page before any more: entries are views of copies.
    const spare = this.#page?.bytes.buffer as ArrayBuffer | undefined;
    const more = page.next !== null && this.#left > 0;
    this.#ahead = more ? this.#ask(page.next!, page.root, spare) : undefined;
    [this.#page, this.#index, this.#byte] = [page, 0, 0];
    [this.#block, this.#at] = [new ArrayBuffer(0), 0];
    return true;
  }

  #ask(from?: Uint8Array, at?: Uint8Array, spare?: ArrayBuffer): Promise<Page> {
    const page = this.#fetchPage(from, at, this.#left, this.#stop.signal, spare);
    // It is awaited a page later; until then its failure is not unhandled.
    page.catch(() => undefined);
    return page;
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#page = undefined;
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#stop.abort();
  }
}
