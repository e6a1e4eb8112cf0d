// What the package's types promise, compiled against the packed tarball under several settings
// (tests/e2e/kit.test.mjs). Each `@ts-expect-error` is a mistake that the types must catch: where
// they no longer do, the compiler says so.

import { PackiceError, destroy, open, verifyProof } from "packice";
import type {
  Changes,
  Dataset,
  Entry,
  Events,
  Lookup,
  Open,
  Proof,
  Status,
  SyncReport,
  View,
} from "packice";
import { open as openInPlace } from "packice/in-place";

type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_: Same<A, B>): void {}

// Both entries have one shape.
same<typeof open, typeof openInPlace>(true);
const opener: Open = open;
same<ReturnType<typeof opener>, Promise<Dataset>>(true);

export async function opens(trust: Uint8Array): Promise<Dataset> {
  await open({ dataset: "a", sources: ["https://edge.example"], trust });
  await open({ dataset: "a", sources: [{ url: "https://edge.example" }], trust: "AAAA" });
  const seed = new URL("./a.seed", import.meta.url);
  await open({ dataset: "a", sources: ["https://edge.example"], trust, seed });
  await open({ dataset: "a", sources: [], trust, seed: new Blob([]), whenExpired: "refuse" });
  await open({ dataset: "a", sources: [], trust, live: true, poll: 60 });
  // @ts-expect-error an expired release is served or refused
  await open({ dataset: "a", sources: [], trust, whenExpired: "ignore" });
  // @ts-expect-error without a trust root nothing can be believed
  await open({ dataset: "a", sources: ["https://edge.example"] });
  // @ts-expect-error a source that is an object has a URL
  await open({ dataset: "a", sources: [{ name: "edge" }], trust });
  // @ts-expect-error the engine runs in a worker or in place
  await open({ dataset: "a", sources: [], trust, run: "thread" });
  // @ts-expect-error there is no such store
  await open({ dataset: "a", sources: [], trust, store: "disk" });
  // @ts-expect-error an option that is misspelt is not passed over
  await open({ dataset: "a", sources: [], trust, chanel: "beta" });
  return open({ dataset: "a", sources: [], trust, store: "memory", run: "in-place" });
}

export async function reads(dataset: Dataset): Promise<string> {
  const found = await dataset.get("items", "key");
  same<typeof found, Lookup>(true);
  // @ts-expect-error a value is there once the answer is known to be `present`
  found.value;
  switch (found.state) {
    case "present":
      same<typeof found.version, number>(true);
      return new TextDecoder().decode(found.value);
    case "absent":
      // @ts-expect-error what is absent has no value
      found.value;
      return String(found.version);
    case "unknown":
      same<typeof found.reason, "no-snapshot" | "not-synced" | "unreachable">(true);
      return found.reason;
    default:
      same<typeof found, never>(true);
      return found;
  }
}

export async function lists(dataset: Dataset): Promise<void> {
  for await (const entry of dataset.range("items", { prefix: "a/", limit: 10 })) {
    same<typeof entry, Entry>(true);
  }
  // @ts-expect-error keys are text or bytes
  dataset.get("items", 1);
  same<Awaited<ReturnType<Dataset["getMany"]>>, Lookup[]>(true);
  const proof: Proof = await dataset.proof("items", new Uint8Array([1]));
  same<typeof proof.value, Uint8Array | null>(true);
  const status: Status = await dataset.status();
  same<typeof status.version, number | null>(true);
  const report: SyncReport = await dataset.sync({ signal: AbortSignal.timeout(1000) });
  same<typeof report.changed, boolean>(true);
}

export async function follows(dataset: Dataset): Promise<void> {
  const view: View = await dataset.pin();
  same<typeof view.version, number>(true);
  same<Awaited<ReturnType<typeof view.get>>, Lookup>(true);
  view.release();
  // @ts-expect-error a view is of one version: it syncs nothing
  view.sync();
  const stop = dataset.watch("items", { prefix: "a/" }, (changes) => {
    same<typeof changes, Changes>(true);
    same<typeof changes.added, Uint8Array[]>(true);
  });
  same<typeof stop, () => void>(true);
  const { kept, deltas } = await dataset.status();
  same<typeof deltas.bytesWritten, number>(true);
  same<Awaited<ReturnType<Dataset["rollBack"]>>, number>(true);
  if (kept[0] !== undefined) await dataset.rollBack(kept[0]);
  // @ts-expect-error which version?
  await dataset.rollBack();
}

export async function proves(full: Uint8Array): Promise<boolean> {
  const proven = await verifyProof(full, { dataset: "a", trust: "AAAA" });
  same<typeof proven.value, Uint8Array | null>(true);
  // @ts-expect-error a proof is checked against a trust root
  await verifyProof(full, { dataset: "a" });
  return proven.freshness.level === "fresh";
}

export function listens(dataset: Dataset): void {
  const stop = dataset.on("fault", ({ source, code }) => console.warn(source, code));
  same<typeof stop, () => void>(true);
  dataset.on("progress", (event) => same<typeof event, Events["progress"]>(true));
  // @ts-expect-error there is no such event
  dataset.on("finished", () => undefined);
  // @ts-expect-error faults name their source, not their URL
  dataset.on("fault", ({ url }) => console.warn(url));
}

export async function fails(): Promise<string> {
  try {
    await destroy({ dataset: "a" });
    // @ts-expect-error which data set?
    await destroy({});
    return "";
  } catch (error) {
    if (error instanceof PackiceError) {
      same<typeof error.code, string>(true);
      // @ts-expect-error the code is not to be changed
      error.code = "";
      return error.code;
    }
    throw error;
  }
}
