/**
 * The engine's host: loads the wasm module and answers requests, in a worker or in place. It
 * decides nothing about data; that is done in wasm, behind `Client`.
 */
import init, {
  Client,
  destroy,
  onPanic,
  verifyProof,
  type ReadSeed,
  type WasmSource,
} from "./packice_client.js";
import { toWire, type WireError } from "./errors.js";
import type { EventReply, Method, Methods, Page, PageArgs, Reply, Request } from "./rpc.js";
import { Tabs } from "./tabs.js";
import type { Events } from "./types.js";

export type Send = (reply: Reply) => void;

let loading: Promise<unknown> | undefined;

/** Compiles the wasm module while it is fetched; once per scope. */
function load(wasmUrl: string | undefined): Promise<unknown> {
  loading ??= fetchWasm(wasmUrl).then((source) => init({ module_or_path: source }));
  // A failed load is tried again by the next call.
  loading.catch(() => (loading = undefined));
  return loading;
}

async function fetchWasm(wasmUrl: string | undefined): Promise<WasmSource> {
  // Bundlers look for exactly the second expression.
  const url = wasmUrl
    ? new URL(wasmUrl)
    : new URL("./packice_client_bg.wasm", import.meta.url);
  // Node does not fetch files. Asked for this way, no bundler looks for the module.
  const fs = url.protocol === "file:" && node.process?.getBuiltinModule?.("node:fs/promises");
  if (fs) return fs.readFile(url);
  const response = await fetch(url);
  if (!response.ok) {
    const message = `the wasm file answered ${response.status}: set wasmUrl to where it is`;
    throw { code: "internal/wasm-missing", message };
  }
  return response;
}

/** What the browser knows of the line, where it says so. */
function metered(): (EventTarget & { saveData?: boolean; type?: string }) | undefined {
  return (globalThis.navigator as { connection?: EventTarget } | undefined)?.connection;
}

/** What is used of Node, where this is Node. */
const node = globalThis as {
  process?: {
    getBuiltinModule?(name: string): { readFile(url: URL): Promise<BufferSource> };
  };
};

/**
 * Reads parts of the seed. A file behind a URL is fetched when it is first read, as a blob that
 * the browser keeps outside of this memory.
 */
function seedReader(seed: Blob | string): ReadSeed {
  let file: Promise<Blob> | undefined;
  const load = async () => {
    if (typeof seed !== "string") return seed;
    const response = await fetch(seed);
    if (!response.ok) throw new Error(`the seed answered ${response.status}`);
    return response.blob();
  };
  return async (start, length) => {
    file ??= load();
    const part = (await file).slice(start, start + length);
    return new Uint8Array(await part.arrayBuffer());
  };
}

/**
 * Events that come several times a second, each a message, and are sent only to who hears them. A
 * rare one is always sent: it may come between the opening and the page's word that it listens.
 */
const FREQUENT = new Set<unknown>(["bundle", "progress", "audit"] satisfies (keyof Events)[]);

/** Whether an event says that another version serves. */
function movesOn({ event, data }: EventReply): boolean {
  return event === "changed" || (event === "state" && data.phase === "complete");
}

/** How many pages of a range are begun before they are asked for. */
const PAGES_AHEAD = 2;

/** A page that a range will ask for next: its arguments, the engine's id and the answer. */
interface Ahead {
  args: PageArgs;
  engineId: number;
  page: Promise<Page>;
}

/** Whether two requests ask for one page. */
function samePage(a: PageArgs, b: PageArgs): boolean {
  const text = ({ collection, limit, version, ...keys }: PageArgs) =>
    [collection, limit, version, keys.start, keys.end, keys.at].join();
  return text(a) === text(b);
}

/** Serves one data set: the returned function takes requests, answers go to `send`. */
export function serve(send: Send): (request: Request) => void {
  let client: Client | undefined;
  let tabs: Tabs | undefined;
  /** The engine's ids of a request's reads: one, or one for each key. */
  const running = new Map<number, number[]>();
  let nextRead = 1;
  /** The pages after the one that was answered last: read while that one is looked at. */
  let ahead: Ahead[] = [];
  const spares: ArrayBuffer[] = [];
  const heard = new Set<unknown>();
  let hidden = false;

  /** Who pays for bytes, or sees nothing of them, is served slowly. */
  function pace(): void {
    const line = metered();
    client?.yields(hidden || line?.saveData === true || line?.type === "cellular");
  }

  /** Nothing may run on an instance after a trap: its state is unknown. */
  function die(why: WireError): void {
    client = undefined;
    tabs?.close();
    send({ died: why });
  }

  function opened(): Client {
    if (!client) throw { code: "misuse/closed", message: "the dataset is not open" };
    return client;
  }

  /** An id of the engine's for a part of a request, so that it can be taken back. */
  function read(id: number): number {
    const engineId = nextRead++;
    const ids = running.get(id);
    if (ids) ids.push(engineId);
    else running.set(id, [engineId]);
    return engineId;
  }

  function readPage(engineId: number, args: PageArgs): Promise<Page> {
    const { collection, start, end, limit, at, version, spare } = args;
    const bytes = spare && new Uint8Array(spare);
    return opened().page(engineId, collection, start, end, limit, at, version, bytes);
  }

  /** A page of a range. From its second page on, the next are begun before they are asked for. */
  async function page(id: number, args: PageArgs): Promise<Page> {
    const first = ahead[0];
    const ready = first && samePage(first.args, args) ? ahead.shift() : undefined;
    if (ready && args.spare) spares.push(args.spare);
    if (ready) running.set(id, [ready.engineId]);
    else forgetAhead();
    const answer = await (ready?.page ?? readPage(read(id), args));
    if (args.at && ahead.length === 0) lookAhead(args, answer);
    else continueAhead();
    return answer;
  }

  /** Begins the page after one that is here, and then the one after that. */
  function lookAhead(args: PageArgs, before: Page): void {
    if (!client || !before.next) return;
    // What a page that is ready was asked with is for the next one to be read.
    const spare = spares.pop();
    const next = { ...args, start: before.next.slice(), at: before.root.slice(), spare };
    const engineId = nextRead++;
    ahead.push({ args: next, engineId, page: readPage(engineId, next) });
    continueAhead();
  }

  /** Goes on after the last page that was begun, while there is room. */
  function continueAhead(): void {
    const last = ahead.at(-1);
    const goOn = (page: Page) => {
      if (last === ahead.at(-1) && ahead.length < PAGES_AHEAD) lookAhead(last!.args, page);
    };
    // A page is awaited when it is asked for; until then its failure is not unhandled.
    last?.page.then(goOn, () => undefined);
  }

  function forgetAhead(): void {
    for (const { engineId } of ahead) client?.cancel(engineId);
    ahead = [];
    spares.length = 0;
  }

  const methods: {
    [M in Method]: (
      id: number,
      args: Methods[M]["args"],
    ) => Promise<Methods[M]["result"]> | Methods[M]["result"];
  } = {
    async open(_id, options) {
      await load(options.wasmUrl);
      onPanic(die);
      const readSeed = options.seed === undefined ? undefined : seedReader(options.seed);
      const emit = (event: unknown, data: unknown) => {
        const said = { event, data } as EventReply;
        if (heard.has(event) || !FREQUENT.has(event)) send(said);
        if (tabs && movesOn(said)) tabs.tell(said);
      };
      if (!options.memory && Tabs.exist()) {
        tabs = new Tabs(options.database, {
          lead: (on) => client?.lead(on),
          renew: async () => client?.renew(),
          sync: async () => opened().sync(nextRead++, undefined),
          emit: send,
        });
      }
      try {
        client = await Client.open({ ...options, readSeed }, emit);
      } catch (error) {
        tabs?.close();
        throw error;
      }
      metered()?.addEventListener("change", pace);
      pace();
      if (tabs) tabs.begin();
      else client.lead(true);
    },
    async destroy(_id, { database, wasmUrl }) {
      await load(wasmUrl);
      await destroy(database);
    },
    async verifyProof(_id, { proof, options }) {
      await load(options.wasmUrl);
      return verifyProof(proof, options);
    },
    get: (id, { collection, key, version }) => opened().get(read(id), collection, key, version),
    getMany: (id, { collection, keys, version }) =>
      Promise.all(keys.map((key) => opened().get(read(id), collection, key, version))),
    page,
    proof: async (id, { collection, key, version }) => {
      const proof = await opened().proof(read(id), collection, key, version);
      return { collection, key, ...proof };
    },
    status: () => opened().status(),
    trace: () => opened().trace(),
    sync: (id, within) =>
      tabs?.leads === false ? tabs.sync() : opened().sync(read(id), within),
    pin: () => opened().pin(),
    unpin: (_id, version) => client?.unpin(version),
    rollBack: (_id, version) => opened().rollBack(version),
    async close() {
      const closing = client;
      client = undefined;
      ahead = [];
      metered()?.removeEventListener("change", pace);
      tabs?.close();
      await closing?.close();
    },
  };

  async function answer(id: number, method: Method, args: unknown): Promise<void> {
    try {
      const run = methods[method] as (id: number, args: unknown) => unknown;
      const result = await run(id, args);
      send({ id, result });
    } catch (thrown) {
      send({ id, error: toWire(thrown) });
      if (thrown instanceof WebAssembly.RuntimeError) {
        die({ code: "internal/worker-died", message: thrown.message });
      }
    } finally {
      running.delete(id);
    }
  }

  return (request) => {
    if ("cancel" in request) {
      for (const engineId of running.get(request.cancel) ?? []) client?.cancel(engineId);
    } else if ("hidden" in request) {
      hidden = request.hidden;
      pace();
    } else if ("hear" in request) {
      if (request.on) heard.add(request.hear);
      else heard.delete(request.hear);
    } else {
      void answer(request.id, request.method, request.args);
    }
  };
}
