// The page's side: starts a contender, warms it up, and holds the clock. Every contender is timed
// here, on the page: from the message that starts it to the one that says that all is durable.

/** Calls a hand-written worker. */
function worker(url) {
  const worker = new Worker(url, { type: 'module' });
  const call = (message) =>
    new Promise((ok, fail) => {
      worker.onmessage = ({ data }) => (data.error ? fail(new Error(data.error)) : ok(data));
      worker.onerror = ({ message }) => fail(new Error(message));
      worker.postMessage(message);
    });
  return { call, end: () => worker.terminate() };
}

async function timed(run) {
  const from = performance.now();
  const result = await run();
  return { ms: performance.now() - from, ...result };
}

function handWritten(url, scans) {
  return async (set, warm) => {
    const { call, end } = worker(url);
    await call({ open: 'warm' });
    await call({ run: { urls: warm } });
    if (scans) await call({ scan: true });
    await settle();
    const open = await timed(() => call({ open: 'timed' }));
    const sync = await timed(() => call({ run: { urls: set } }));
    const scan = scans ? await timed(() => call({ scan: true })) : undefined;
    end();
    return { open, sync, scan };
  };
}

/** Lets what the warm-up began in the background come to its end. */
const settle = () => new Promise((done) => setTimeout(done, 400));

async function scanned(dataset) {
  let [records, bytes] = [0, 0];
  for await (const { key, value } of dataset.range('records')) {
    records += 1;
    bytes += key.length + value.length;
  }
  return { records, bytes };
}

async function packice(set, warm) {
  const { open } = await import('/packice/index.js');
  const warmed = await open(warm);
  await warmed.sync();
  for await (const { key } of warmed.range('tokens')) if (key.length === 0) break;
  await settle();
  let dataset;
  const opening = await timed(async () => void (dataset = await open(set)));
  const sync = await timed(() => dataset.sync());
  const scan = await timed(() => scanned(dataset));
  const { wasmMemoryBytes } = await dataset.status();
  await dataset.close();
  await warmed.close();
  return { open: opening, sync, scan, wasmMemoryBytes };
}

export const contenders = {
  limit: handWritten('/bench/limit-worker.mjs', false),
  today: handWritten('/bench/today-worker.mjs', true),
  packice,
};

/** A full sync from nothing, for its bytes and requests. */
export async function fullSync(options) {
  const { open } = await import('/packice/index.js');
  const dataset = await open(options);
  const report = await dataset.sync();
  await dataset.close();
  return report;
}

/** What a stored set costs to open, and to read one key of. */
export async function warmOpen(options, key) {
  const { open } = await import('/packice/index.js');
  const createWorker = () => new Worker('/bench/counting-worker.mjs', { type: 'module' });
  const channel = new BroadcastChannel('transactions');
  const asked = new Promise((ok) => (channel.onmessage = ({ data }) => ok(data.opened)));
  const from = performance.now();
  const dataset = await open({ ...options, createWorker });
  const found = await dataset.get('records', new Uint8Array(key));
  const ms = performance.now() - from;
  channel.postMessage('ask');
  const transactions = await asked;
  const { requests, decodedBytes, stored } = await dataset.status();
  await dataset.close();
  return { ms, state: found.state, transactions, requests, decodedBytes, stored };
}
