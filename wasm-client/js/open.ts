/** Starts a host where the options say, and opens a data set on it. */
import { DatasetHandle } from "./dataset.js";
import { PackiceError, type WireError } from "./errors.js";
import { checkOptions, databaseName, hostOptions, wasmUrl } from "./options.js";
import { Caller, type Connect, type Reply, type Request } from "./rpc.js";
import type {
  Dataset,
  DestroyOptions,
  OpenOptions,
  ProvenRecord,
  VerifyOptions,
  WorkerLike,
} from "./types.js";

/** Longest full proof, in bytes: what the core takes. */
const MAX_PROOF = 7_704_062;

/** The module that serves requests in place. */
export type HostModule = Pick<typeof import("./host.js"), "serve">;

export async function openWith(
  options: OpenOptions,
  host: () => Promise<HostModule>,
  run: "worker" | "in-place",
): Promise<Dataset> {
  const given = hostOptions(options);
  const connect = run === "worker" ? worker(options.createWorker) : inPlace(await host());
  return DatasetHandle.open(connect, given);
}

/** Deletes the local database of a data set; data sets that are open lose what they stored. */
export async function destroyWith(
  options: DestroyOptions,
  host: () => Promise<HostModule>,
): Promise<void> {
  const database = databaseName(options);
  const args = { database, wasmUrl: wasmUrl(options.wasmUrl) };
  await once(host, (caller) => caller.call("destroy", args));
}

/** Checks a full proof, on the caller's own thread. */
export async function verifyProofWith(
  proof: Uint8Array,
  options: VerifyOptions,
  host: () => Promise<HostModule>,
): Promise<ProvenRecord> {
  if (!(proof instanceof Uint8Array)) {
    throw new PackiceError("misuse/proof", "a proof is a Uint8Array: the `full` of a Proof");
  }
  // Others made it: what is too long is not even copied.
  if (proof.length > MAX_PROOF) {
    const message = `the proof has ${proof.length} bytes, the most is ${MAX_PROOF}`;
    throw new PackiceError("format/too-large", message);
  }
  const args = { proof, options: checkOptions(options) };
  return once(host, (caller) => caller.call("verifyProof", args));
}

/** One call to a host that holds no data set. */
async function once<T>(
  host: () => Promise<HostModule>,
  call: (caller: Caller) => Promise<T>,
): Promise<T> {
  const caller = new Caller(inPlace(await host()), () => undefined);
  try {
    return await call(caller);
  } finally {
    await caller.close();
  }
}

/** A dedicated worker. */
function worker(create: (() => WorkerLike) | undefined): Connect {
  return (receive, died) => {
    const worker = start(create);
    worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => receive(data));
    worker.addEventListener("error", (event: ErrorEvent) => {
      event.preventDefault();
      died(deadWorker(event.message));
    });
    worker.addEventListener("messageerror", () => died(deadWorker("a message could not be read")));
    return {
      send: (request) => {
        const spare = "method" in request && request.method === "page" && request.args.spare;
        worker.postMessage(request, spare ? [spare] : []);
      },
      end: () => worker.terminate(),
    };
  };
}

function start(create: (() => WorkerLike) | undefined): WorkerLike {
  try {
    if (create) return create();
    // Bundlers look for exactly this expression.
    return new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  } catch (cause) {
    const message = 'no worker can be started here: open with run: "in-place"';
    throw new PackiceError("internal/no-worker", message, { cause });
  }
}

function deadWorker(detail: string | undefined): WireError {
  const message = `the worker ended: ${detail || "its script could not be loaded"}`;
  return { code: "internal/worker-died", message };
}

/** The same host on the caller's own thread. */
function inPlace({ serve }: HostModule): Connect {
  return (receive) => {
    let ended = false;
    const request = serve((reply) => {
      if (!ended) receive(reply);
    });
    return {
      // A turn later, as a worker would: the caller has its promise before anything happens.
      send: (message: Request) => queueMicrotask(() => request(message)),
      end: () => {
        if (ended) return;
        ended = true;
        // Nobody listens to the answer: the call ends what still runs.
        request({ id: 0, method: "close", args: undefined });
      },
    };
  };
}
