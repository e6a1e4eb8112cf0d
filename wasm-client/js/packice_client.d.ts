/** What wasm-bindgen makes of wasm-client/src/lib.rs, as far as the host uses it. */
import type { Events, Lookup, Proof, ProvenRecord, Status, SyncReport } from "./types.js";
import type { CheckOptions, HostOptions, Page } from "./rpc.js";
import type { WireError } from "./errors.js";

export type WasmSource = URL | Response | Promise<Response> | BufferSource | WebAssembly.Module;

/** Compiles and starts the module; further calls answer with the same instance. */
export default function init(options?: { module_or_path: WasmSource }): Promise<unknown>;

/** Calls back once, with what is known, before a panic ends the instance. */
export function onPanic(callback: (why: WireError) => void): void;

/** Deletes a database. */
export function destroy(database: string): Promise<void>;

/** Checks a full proof. */
export function verifyProof(proof: Uint8Array, options: CheckOptions): ProvenRecord;

export type Emit = <K extends keyof Events>(event: K, data: Events[K]) => void;

/** Reads a part of the seed's file; past its end there are fewer bytes. */
export type ReadSeed = (start: number, length: number) => Promise<Uint8Array>;

export class Client {
  private constructor();
  static open(
    options: HostOptions & { readSeed: ReadSeed | undefined },
    emit: Emit,
  ): Promise<Client>;
  get(
    id: number,
    collection: string,
    key: Uint8Array,
    version: number | undefined,
  ): Promise<Lookup>;
  page(
    id: number,
    collection: string,
    start: Uint8Array | undefined,
    end: Uint8Array | undefined,
    limit: number,
    at: Uint8Array | undefined,
    version: number | undefined,
    spare: Uint8Array | undefined,
  ): Promise<Page>;
  proof(
    id: number,
    collection: string,
    key: Uint8Array,
    version: number | undefined,
  ): Promise<Omit<Proof, "collection" | "key">>;
  pin(): Promise<number>;
  unpin(version: number): void;
  rollBack(version: number): Promise<number>;
  status(): Promise<Status>;
  /** What was recorded, where that was wanted. */
  trace(): Uint8Array | undefined;
  /** Of those that have it open, this one keeps it up to date, or no more. */
  lead(on: boolean): void;
  /** Goes on from the state that another page wrote, if one did. */
  renew(): Promise<void>;
  sync(id: number, withinMs: number | undefined): Promise<SyncReport>;
  /** Whether syncs yield to everything else. */
  yields(yields: boolean): void;
  /** Takes a call back; one that has ended already is nothing. */
  cancel(id: number): void;
  close(): Promise<void>;
  free(): void;
}
