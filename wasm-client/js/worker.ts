/** The entry of the dedicated worker: one data set, served over `postMessage`. */
import { serve } from "./host.js";
import { transferable, type Reply, type Request } from "./rpc.js";

/** The part of a dedicated worker's scope that is used here; its types exclude the window's. */
interface WorkerScope {
  postMessage(message: Reply, transfer: Transferable[]): void;
  onmessage: ((event: MessageEvent<Request>) => void) | null;
  addEventListener(name: "unhandledrejection", on: (event: PromiseRejectionEvent) => void): void;
}

const scope = globalThis as unknown as WorkerScope;

const receive = serve((reply) => {
  scope.postMessage(reply, "result" in reply ? transferable(reply.result) : []);
});

scope.onmessage = (event) => receive(event.data);

// A trap outside a call ends as a rejection that nobody handles, or as an error event, which the
// page sees by itself.
scope.addEventListener("unhandledrejection", ({ reason }) => {
  if (!(reason instanceof WebAssembly.RuntimeError)) return;
  const message = `the engine stopped: ${reason.message}`;
  scope.postMessage({ died: { code: "internal/worker-died", message } }, []);
});
