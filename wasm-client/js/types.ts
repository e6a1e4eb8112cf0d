/** The public shapes of the `packice` package. All lengths are bytes, all times milliseconds. */

/** A place to fetch from: the base URL in front of `/v1/{dataset}/…`. */
export interface Source {
  /** Absolute http(s) URL, with or without a trailing slash. */
  url: string;
  /** A short name for events and errors; the URL's host when left out. */
  name?: string;
}

/** What is used of a worker: a `Worker` is one. Of its own, so that types need no DOM. */
export interface WorkerLike {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  terminate(): void;
  addEventListener(name: string, listener: (event: any) => void): void;
}

/** What is used of a `Blob`. */
export interface BlobLike {
  readonly size: number;
  slice(start?: number, end?: number): BlobLike;
  arrayBuffer(): Promise<ArrayBuffer>;
}

export interface OpenOptions {
  /** The data set's name, as its trust root has it. */
  dataset: string;
  /** Where to fetch from, best first. None of them is trusted. */
  sources: (string | Source)[];
  /** The trust root the wallet embeds: the bytes, or their base64 text. */
  trust: Uint8Array | string;
  /**
   * A file that `packice seed` wrote, bundled with your application: its URL, or the file itself.
   * The first run then needs no network. It is trusted no more than a source is, asked before
   * them for what it holds, and opened only when something is missing here.
   */
  seed?: string | URL | Uint8Array | BlobLike;
  /**
   * `"idle"` (the default): what a sync stored is decoded in idle time and compared with the signed
   * root; `status().audited` says so, and a `mismatch` event names what does not hold. Reads are
   * verified in any case; this finds a lie before somebody asks for it. `"off"` leaves it.
   */
  audit?: "idle" | "off";
  /** The release channel; `"stable"` when left out. */
  channel?: string;
  /**
   * Where the engine runs: `"worker"` (a dedicated worker, the default where there is one) or
   * `"in-place"` (the default where there is none, such as Node). A service worker may not
   * import code when it runs: there, import `open` from `packice/in-place`.
   */
  run?: "worker" | "in-place";
  /** For bundlers that move files: starts the worker from `packice/worker`. */
  createWorker?: () => WorkerLike;
  /** Where the wasm file is, when it is not beside the module. */
  wasmUrl?: string | URL;
  /** The database's name; `"packice/{dataset}"` when left out. */
  database?: string;
  /**
   * Where verified objects are kept: `"indexeddb"` (the default where there is one) or
   * `"memory"` (gone on close).
   */
  store?: "indexeddb" | "memory";
  /**
   * What reads do while the newest data to be had is expired (see `Freshness`): `"serve"` it, the
   * default, or `"refuse"` with `trust/expired`.
   */
  whenExpired?: "serve" | "refuse";
  /**
   * Whether to listen to a source over a WebSocket and bring each new version when it is told of
   * one, beginning with a sync; what is told is verified like anything fetched. Off by default: an
   * open connection is a choice, since it tells the source when your application runs, and keeps a
   * service worker awake. While it is down, or where there is no WebSocket, `poll` finds versions.
   */
  live?: boolean;
  /**
   * Look for a new version every so many seconds, spread by chance, beginning with a sync. Left
   * out, nothing is looked for but by `sync()`; with `live` it is 300, and rests while the
   * connection is up and the data fresh.
   */
  poll?: number;
  /**
   * How many versions that served reads before stay here beside the newest, up to 16: `rollBack()`
   * goes back to one of them. They share what did not change, and readers that pinned one need no
   * `keep`. Left out, or 0: none.
   */
  keep?: number;
  /**
   * What to hold of collections: these key ranges alone, or nothing for an empty list; all of those
   * that are not named. A sync fetches the bundles that the ranges meet; whatever lies outside is
   * read lazily, where its collection allows that, or is `unknown`. What is held is verified up to
   * the signed root as ever, and proofs hold. All who share a database say the same.
   */
  subscribe?: Record<string, KeyRange[]>;
  /**
   * Records all that the engine is told, up to so many bytes of memory, for `trace()`. Bodies are
   * in it: it is as private as the data. Left out, or 0: nothing is recorded.
   */
  trace?: number;
}

/** What a read can answer. `unknown` means: not held here, and not to be had right now. */
export type Lookup =
  | { state: "present"; value: Uint8Array; version: number }
  | { state: "absent"; version: number }
  | { state: "unknown"; reason: "no-snapshot" | "not-synced" | "unreachable" };

/** A record of a range: views of a buffer that its neighbours share. Copy what you transfer. */
export interface Entry {
  key: Uint8Array;
  value: Uint8Array;
}

/** A range of keys; without any of these, all of them. */
export interface KeyRange {
  /** First key, inclusive; the collection's first when left out. */
  start?: string | Uint8Array;
  /** Last key, exclusive; past the collection's last when left out. */
  end?: string | Uint8Array;
  /** Only keys that begin with this; instead of start and end. */
  prefix?: string | Uint8Array;
}

export interface RangeOptions extends KeyRange {
  /** At most so many entries. */
  limit?: number;
  signal?: AbortSignal;
}

export interface ReadOptions {
  signal?: AbortSignal;
}

export interface EventOptions {
  /** The number of the event that was replayed last; 0, the default, replays all. */
  after?: number;
  signal?: AbortSignal;
}

/** An event of an event log. */
export interface LoggedEvent {
  /** Its number: from 1, without a gap. */
  sequence: number;
  /** `schema`, `revocation`, `parameters`, or what the application agreed on. */
  kind: string;
  /** Seconds since 1970, by the publisher's clock. */
  at: number;
  data: unknown;
}

/** A proof that a record is, or is not, in a signed collection. */
export interface Proof {
  collection: string;
  key: Uint8Array;
  /** The value, or null where the proof shows absence. */
  value: Uint8Array | null;
  version: number;
  /** Hex of the collection's root that the proof leads to. */
  root: string;
  /** From the root down to the leaf: level, identity (hex) and length of each block. */
  path: { level: number; identity: string; length: number }[];
  /** The proof up to that root, as docs/spec/proof.md has it. */
  bytes: Uint8Array;
  /** The proof up to the trust root, for others: `verifyProof` checks it with nothing else. */
  full: Uint8Array;
}

/** How old the data is, by the time that a quorum of the data set's witnesses signed. */
export interface Freshness {
  /** By the bounds of the trust root; `"unknown"` where it names no witnesses. */
  level: "fresh" | "stale" | "expired" | "unknown";
  /** When the witnesses signed; null where there are none. */
  at: number | null;
  /** How long ago that is; a local clock that is behind the witnesses counts as theirs. */
  ageMs: number | null;
}

export interface VerifyOptions {
  /** The data set's name, as its trust root has it. */
  dataset: string;
  /** The trust root: the bytes, or their base64 text. */
  trust: Uint8Array | string;
  /** The release channel; `"stable"` when left out. */
  channel?: string;
  /** The time to tell the proof's age at; `Date.now()` when left out. */
  now?: number;
  /** Where the wasm file is, when it is not beside the module. */
  wasmUrl?: string | URL;
}

/** What a full proof proves: compare collection and key with what you asked for. */
export interface ProvenRecord {
  collection: string;
  key: Uint8Array;
  /** The value, or null where the proof shows absence. */
  value: Uint8Array | null;
  version: number;
  /** Hex of the collection's root. */
  root: string;
  freshness: Freshness;
}

export interface CollectionStatus {
  name: string;
  priority: number;
  lazy: boolean;
  records: number;
  /** Hex of the collection's root identity. */
  root: string;
  plainBytes: number;
  wireBytes: number;
  bundles: number;
  bundlesStored: number;
  framesStored: number;
  /** What updates left over the bundles, to be merged in idle time. */
  layers: number;
  layerBytes: number;
  complete: boolean;
}

/**
 * Why a collection comes by its road: it is held, no other leads there, too much lies over the
 * base that is held, it has fewer bytes, or it takes less time.
 */
export type RoadReason = "held" | "only" | "outgrown" | "bytes" | "time";

export type Phase =
  | "idle"
  | "trust"
  | "bootstrap"
  | "collections"
  | "commit"
  | "complete"
  | "failed";

export interface Status {
  dataset: string;
  channel: string;
  phase: Phase;
  /** The version that serves reads, once there is a verified manifest. */
  version: number | null;
  /** True once every object of that version is stored and committed. */
  stored: boolean;
  /** True once all that is stored was decoded and is what the signed roots say. */
  audited: boolean;
  audit: AuditProgress;
  /** How old that version is. */
  freshness: Freshness;
  collections: CollectionStatus[];
  sources: SourceStatus[];
  /** Since open(). */
  bytesFetched: number;
  requests: number;
  /** Plain bytes of the frames and dictionaries decoded since the data set was opened. */
  decodedBytes: number;
  /** Versions kept beside it, newest first: for `rollBack()`, or because they are pinned. */
  kept: number[];
  /** What deltas cost and brought since the data set was opened. */
  deltas: DeltaStatus;
  /** How long things took since the data set was opened. */
  timings: Timings;
  /** Size of the wasm memory now; it never shrinks, so this is its peak too. */
  wasmMemoryBytes: number;
}

export interface Timings {
  /** From a request to its first bytes. */
  answers: Histogram;
  /** From a request to its last byte, verified. */
  transfers: Histogram;
  /** From a transaction's begin to its end. */
  transactions: Histogram;
  /** From a read to its answer, in the worker. */
  reads: Histogram;
}

/** Spans by powers of two. */
export interface Histogram {
  /** Milliseconds in all. */
  sumMs: number;
  /** How many took less than 1 ms, then 2 ms, 4 ms and so on; the last, 16,384 ms or more. */
  buckets: number[];
}

export interface DeltaStatus {
  /** Bytes of deltas on the wire that were opened. */
  bytes: number;
  /** Records that they added, updated or removed. */
  operations: number;
  /** Bytes of layers written here, merging included. */
  bytesWritten: number;
  /** Plain bytes of the frames that were put together from layers, to verify and to read. */
  composedBytes: number;
}

/** A verified object that does not lead to the signed root: the publisher's own fault. */
export interface Mismatch {
  collection: string;
  /** The object's path under `/v1/{dataset}/`. */
  object: string;
  /** Which of a bundle's frames; null for another object. */
  frame: number | null;
}

/** How far the audit is. */
export interface AuditProgress {
  bundlesDone: number;
  bundlesTotal: number;
  /** What was found, by the audit or by a read: the first places of each collection. */
  mismatches: Mismatch[];
}

export interface SourceStatus {
  name: string;
  url: string;
  state: "unused" | "ok" | "backing-off" | "banned" | "removed";
  bytes: number;
  requests: number;
  faults: number;
  lastFault: string | null;
  /** What it gives while it gives anything, once that is known. */
  bytesPerSecond: number | null;
  /** From a request to its first bytes, as short as it lately was. */
  latencyMs: number | null;
}

export interface SyncOptions {
  signal?: AbortSignal;
  /**
   * When it should be over, as `Date.now()` counts: a `condition` event tells as soon as it is
   * seen that it will not be, and why; the sync goes on. Where another tab leads, it is not told.
   */
  deadline?: number;
}

export interface SyncReport {
  version: number;
  /** True when this call brought a version that was not here before. */
  changed: boolean;
  bytesFetched: number;
  requests: number;
  /** The longest chain of requests, each possible only when the one before had ended. */
  roundTrips: number;
  /** Bundles that were stored already and were not fetched again. */
  bundlesReused: number;
  ms: number;
}

/** What another version does to a collection: its keys, in order. */
export interface Changes {
  collection: string;
  /** The version that served reads before, and the one that does now. */
  from: number;
  to: number;
  /**
   * True where these are all the keys. False where a version came without a delta, after a
   * `rollBack()`, or with more than 10,000 keys: none is told then, any may have changed.
   */
  complete: boolean;
  added: Uint8Array[];
  updated: Uint8Array[];
  removed: Uint8Array[];
}

/** Which keys to watch; all of the collection where nothing is said. */
export type WatchOptions = KeyRange;

/** Events by name; `on(name, callback)` returns the function that ends it. */
export interface Events {
  /** What it is doing changed, or which version serves reads. */
  state: { phase: Phase; version: number | null };
  /** How far a sync is, a few times a second; its bytes are those on the wire. */
  progress: {
    bytesDone: number;
    bytesTotal: number;
    bundlesDone: number;
    bundlesTotal: number;
    /** Bytes per second over the last seconds. */
    rate: number;
    /** Null while unknown. */
    etaMs: number | null;
  };
  /** A bundle's state changed: what a map of the data set is drawn from. */
  bundle: { collection: string; index: number; total: number; state: "fetching" | "stored" };
  /**
   * A version came so far, in this order, each told once: `trusted`: it is proven to be the newest;
   * `bootstrap`: all collections of priority 0 are stored, verified; `collection`: this one is;
   * `complete`: it serves reads, which need no network any more.
   */
  milestone: {
    name: "trusted" | "bootstrap" | "collection" | "complete";
    version: number;
    collection: string | null;
  };
  /**
   * Something stands in a sync's way, or does so no more. `late`: it will end after its deadline;
   * `store-slow`: the database takes less than the network gives, so it gets larger pieces;
   * `behind`: releases come faster than they are brought. A sync that is late or behind hurries,
   * also in a hidden page or over a metered line, where others have one transfer under way.
   */
  condition: {
    name: "late" | "store-slow" | "behind";
    holds: boolean;
    /** Where it comes from, and so what would help. */
    because: "network" | "store" | "sources" | "releases";
    /** What the rest will take, where that tells it. */
    etaMs: number | null;
  };
  /** A source misbehaved or failed: its name, what it did, and with which object. */
  fault: { source: string; code: string; object: string; detail: string };
  /** What serves reads has another level of age than before; noticed at the next call. */
  freshness: Freshness;
  /** A row of the local database is not what its name says; it counts as missing. */
  damaged: { object: string };
  /** What the publisher signed does not lead to the root it signed: the publisher's own fault. */
  mismatch: Mismatch;
  /** The audit went on by a bundle. */
  audit: AuditProgress;
  /** Another version of a collection serves reads: what `watch()` is made of. */
  changed: Changes;
  /** How a collection of a new version comes: not at all, by a delta, by its bundles; and why. */
  road: { collection: string; road: "keep" | "delta" | "base"; why: RoadReason };
  /** A delta did not lead to the signed root, so the collection comes by its bundles. */
  refused: { collection: string; from: number; fromRoot: string; toRoot: string; code: string };
  /** With `live`: a source is listened to, or no more. */
  live: { source: string; connected: boolean };
}

/** What can be read from: the data set as it is now, or one version of it. */
export interface Reader {
  /** Reads one key; text is its UTF-8. Present and absent are proven, each time. */
  get(collection: string, key: string | Uint8Array, options?: ReadOptions): Promise<Lookup>;
  /** Reads several keys at once; the answers stand in the order of the keys. */
  getMany(
    collection: string,
    keys: (string | Uint8Array)[],
    options?: ReadOptions,
  ): Promise<Lookup[]>;
  /**
   * Entries in key order, of one version, read a page at a time and one page ahead of the loop.
   * On a data set that is not pinned, throws `read/version-changed` where a newer version takes
   * over: begin again.
   */
  range(collection: string, options?: RangeOptions): AsyncIterableIterator<Entry>;
  /**
   * Replays a collection that is an event log: its events after a number, in order and without a
   * gap. Throws `events/rolled-back` where the log ends before that number, `events/gap` and
   * `events/malformed` where it is no log; nothing else of the version is to be used then. Replay
   * from a pinned view, keep the last number, and then read from that view.
   */
  events(
    collection: string,
    options?: EventOptions,
  ): AsyncGenerator<LoggedEvent, void, undefined>;
  /** Proves that a key is there with its value, or that it is not there. */
  proof(collection: string, key: string | Uint8Array, options?: ReadOptions): Promise<Proof>;
}

/**
 * One version, whatever comes after it. It throws `read/version-gone` where that version is not
 * here any more: a new trust root ends what was released under the one before, and another tab
 * knows nothing of this one's pins, so open all with `keep` where several commit.
 */
export interface View extends Reader {
  /** The version that is read from. */
  readonly version: number;
  /** Lets go of the version, so that its space can be used; further reads throw. */
  release(): void;
}

/** One data set, open. Every rejection is a `PackiceError`. */
export interface Dataset extends Reader {
  /**
   * A view of the version that serves reads now. It stays as long as the view is not released,
   * while newer ones come; without any, `read/no-version`.
   */
  pin(): Promise<View>;
  /**
   * Makes a version of `status().kept` serve reads again, in one transaction, and resolves with
   * its number; the one that served is kept in its place, and `rollBack` to that one goes forward
   * again. A sync, also one of `live` or `poll`, stays there until there is a version newer than
   * all that were here.
   */
  rollBack(version: number): Promise<number>;
  /**
   * Calls back when another version of a collection serves reads that may change a key of the
   * range (`{}` is all of it), with these keys; returns the function that ends it. Versions that
   * another tab brought are not told.
   */
  watch(
    collection: string,
    range: WatchOptions,
    callback: (changes: Changes) => void,
  ): () => void;
  /** What is held, what it is doing, and how its sources did. */
  status(): Promise<Status>;
  /**
   * What was recorded since `open()`, with the option `trace`: `packice replay FILE` leads the
   * same engine through it and tells each decision. Without the option, `misuse/trace`.
   */
  trace(): Promise<Uint8Array>;
  /** Brings the newest version; resolves when it is committed. */
  sync(options?: SyncOptions): Promise<SyncReport>;
  /** Calls back at each event of a name; returns the function that ends it. */
  on<K extends keyof Events>(name: K, callback: (event: Events[K]) => void): () => void;
  /**
   * Stops all work, stores what is verified, and frees the worker; pending calls reject with
   * `misuse/closed`.
   */
  close(): Promise<void>;
}

export interface DestroyOptions {
  /** The data set's name. */
  dataset: string;
  /** The database's name; `"packice/{dataset}"` when left out. */
  database?: string;
  /** Where the wasm file is, when it is not beside the module. */
  wasmUrl?: string | URL;
}

/** Checks `Proof.full` offline: no store, no network, nothing but the trust root. */
export type VerifyProof = (proof: Uint8Array, options: VerifyOptions) => Promise<ProvenRecord>;

/** Opens the local store and returns at once; fetches nothing until a read or `sync()` asks. */
export type Open = (options: OpenOptions) => Promise<Dataset>;
