/** Checks what a caller gives to `open`, and fills in what it leaves out. */
import { PackiceError } from "./errors.js";
import { bounds } from "./reader.js";
import type { CheckOptions, HostOptions } from "./rpc.js";
import type { KeyRange, OpenOptions, Source, VerifyOptions } from "./types.js";

/** Seconds between two looks for a new version while nobody tells of one, with `live` alone. */
const LIVE_POLL = 300;
/** Most versions kept beside the one that serves: what the core takes. */
const MAX_KEEP = 16;
/** Most bytes of a trace: it is in wasm memory. */
const MAX_TRACE = 256 << 20;
/** A day. */
const MAX_POLL = 86_400;

const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;

export function hostOptions(options: OpenOptions): HostOptions {
  const { dataset, channel = "stable" } = options;
  checkName("dataset", dataset);
  checkName("channel", channel);
  if (!Array.isArray(options.sources) || options.sources.length === 0) {
    throw misuse("sources", "at least one URL to fetch from is needed");
  }
  const { whenExpired = "serve" } = options;
  if (whenExpired !== "serve" && whenExpired !== "refuse") {
    throw misuse("whenExpired", `it is "serve" or "refuse", not "${whenExpired as string}"`);
  }
  return {
    dataset,
    channel,
    sources: options.sources.map(source),
    trust: trustBytes(options.trust),
    database: databaseName(options),
    refuseExpired: whenExpired === "refuse",
    memory: options.store === "memory" || typeof indexedDB === "undefined",
    wasmUrl: wasmUrl(options.wasmUrl),
    seed: seedFile(options.seed),
    audit: options.audit !== "off",
    live: options.live === true,
    pollMs: pollMs(options),
    keep: keep(options),
    subscribe: subscribe(options),
    trace: trace(options),
  };
}

function keep({ keep = 0 }: OpenOptions): number {
  if (!Number.isInteger(keep) || keep < 0 || keep > MAX_KEEP) {
    throw misuse("keep", `it is a number of versions, from 0 to ${MAX_KEEP}, not ${keep}`);
  }
  return keep;
}

function subscribe({ subscribe = {} }: OpenOptions): HostOptions["subscribe"] {
  return Object.entries(subscribe).map(([collection, ranges]) => {
    checkName("subscribe", collection);
    if (!Array.isArray(ranges)) {
      throw misuse("subscribe", `"${collection}" has a list of key ranges`);
    }
    const whole = (range: KeyRange) => ({ start: new Uint8Array(0), ...bounds(range) });
    return { collection, ranges: ranges.map(whole) };
  });
}

function trace({ trace = 0 }: OpenOptions): number {
  if (Number.isInteger(trace) && trace >= 0 && trace <= MAX_TRACE) return trace;
  throw misuse("trace", `it is a number of bytes, up to ${MAX_TRACE}, not ${trace}`);
}

function pollMs({ live, poll = live === true ? LIVE_POLL : 0 }: OpenOptions): number {
  if (live !== undefined && typeof live !== "boolean") {
    throw misuse("live", "it is true or false");
  }
  if (poll !== 0 && !(poll >= 1 && poll <= MAX_POLL)) {
    throw misuse("poll", `it is seconds, from 1 to ${MAX_POLL}, not ${poll}`);
  }
  if (poll === 0 && live === true) {
    throw misuse("poll", "with `live` it says what to do while the connection is down: from 1 on");
  }
  return Math.round(poll * 1000);
}

export function checkOptions(options: VerifyOptions): CheckOptions {
  const { dataset, channel = "stable", now = Date.now() } = options;
  checkName("dataset", dataset);
  checkName("channel", channel);
  if (!(now >= 0)) throw misuse("now", "it is a time in milliseconds, as Date.now() gives it");
  const trust = trustBytes(options.trust);
  return { dataset, channel, trust, now, wasmUrl: wasmUrl(options.wasmUrl) };
}

function seedFile(given: OpenOptions["seed"]): Blob | string | undefined {
  if (given === undefined || given instanceof Blob) return given;
  // A blob is handed to the worker without a copy.
  if (given instanceof Uint8Array) return new Blob([new Uint8Array(given)]);
  try {
    return absolute(given as string | URL);
  } catch {
    throw misuse("seed", "the seed is a URL, a Blob or a Uint8Array");
  }
}

export function databaseName(options: { dataset: string; database?: string }): string {
  checkName("dataset", options.dataset);
  return options.database ?? `packice/${options.dataset}`;
}

function source(given: string | Source): { url: string; name: string } {
  const { url: text, name } = typeof given === "string" ? { url: given } : given;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw misuse("sources", `"${text}" is not an absolute URL`);
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw misuse("sources", `"${text}" is neither https nor http`);
  }
  if (url.search || url.hash) {
    throw misuse("sources", `"${text}" must end with its path: no query, no fragment`);
  }
  const path = url.pathname.replace(/\/+$/, "");
  return { url: url.origin + path, name: name ?? url.host + path };
}

function trustBytes(given: Uint8Array | string): Uint8Array {
  if (given instanceof Uint8Array) return new Uint8Array(given);
  if (typeof given !== "string") {
    throw misuse("trust", "the trust root is a Uint8Array or its base64 text");
  }
  try {
    const text = atob(given.trim().replaceAll("-", "+").replaceAll("_", "/"));
    return Uint8Array.from(text, (character) => character.charCodeAt(0));
  } catch {
    throw misuse("trust", "the trust root's text is not base64");
  }
}

/** Relative to the page, as people mean it; the worker would take it relative to itself. */
export function wasmUrl(given: string | URL | undefined): string | undefined {
  return given === undefined ? undefined : absolute(given);
}

function absolute(given: string | URL): string {
  const base = typeof location === "undefined" ? undefined : location.href;
  return new URL(given, base).href;
}

function checkName(field: string, name: string): void {
  if (typeof name !== "string" || !NAME.test(name)) {
    throw misuse(field, `"${name}" is not a name of 1 to 63 of a-z, 0-9 and "-"`);
  }
}

function misuse(field: string, message: string): PackiceError {
  return new PackiceError(`misuse/${field}`, `${field}: ${message}`);
}
