/**
 * The same package for scopes that may not import code while they run, such as service workers:
 * the engine is imported with this module, and runs in place.
 */
import * as host from "./host.js";
import { destroyWith, openWith } from "./open.js";
import type { Dataset, DestroyOptions, OpenOptions } from "./types.js";

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
