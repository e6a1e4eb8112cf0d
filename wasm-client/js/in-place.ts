/**
 * The same package for scopes that may not import code while they run, such as service workers:
 * the engine is imported with this module, and runs in place.
 */
import * as host from "./host.js";
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

/** Opens the local store and returns at once; fetches nothing until a read or `sync()` asks. */
export async function open(options: OpenOptions): Promise<Dataset> {
  return openWith(options, async () => host, "in-place");
}

/** Deletes a data set's local database. */
export async function destroy(options: DestroyOptions): Promise<void> {
  return destroyWith(options, async () => host);
}

/** Checks `Proof.full` offline: no store, no network, nothing but the trust root. */
export async function verifyProof(
  proof: Uint8Array,
  options: VerifyOptions,
): Promise<ProvenRecord> {
  return verifyProofWith(proof, options, async () => host);
}
