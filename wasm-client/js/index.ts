/**
 * Packice: verified snapshots of large data sets for light clients.
 *
 * ```js
 * const tokens = await open({ dataset: "tokens", sources: ["https://edge.example"], trust });
 * const found = await tokens.get("tokens", "1/0xa0b8…");
 * if (found.state === "present") show(found.value);
 * ```
 */
import { destroyWith, openWith, verifyProofWith } from "./open.js";
import type {
  Dataset,
  DestroyOptions,
  OpenOptions,
  ProvenRecord,
  VerifyOptions,
} from "./types.js";

export type * from "./types.js";
export { PackiceError } from "./errors.js";

// Loaded only where it is used: with a worker the page itself needs neither host nor wasm.
const host = () => import("./host.js");

/** Opens the local store and returns at once; fetches nothing until a read or `sync()` asks. */
export async function open(options: OpenOptions): Promise<Dataset> {
  const run = options.run ?? (typeof Worker === "undefined" ? "in-place" : "worker");
  return openWith(options, host, run);
}

/** Deletes a data set's local database. */
export async function destroy(options: DestroyOptions): Promise<void> {
  return destroyWith(options, host);
}

/** Checks `Proof.full` offline: no store, no network, nothing but the trust root. */
export async function verifyProof(
  proof: Uint8Array,
  options: VerifyOptions,
): Promise<ProvenRecord> {
  return verifyProofWith(proof, options, host);
}
