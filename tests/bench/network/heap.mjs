// The memory of a large sync: the JavaScript heaps of page and worker by the browser's own
// figures, sampled all through it, and the wasm memory, which those figures leave out.

import { filesOf, startOrigin } from './origin.mjs';
import { inBrowser, say, verify } from './stage.mjs';

const EVERY_MS = 25;

/** Objects, what the browser holds for them, and the buffers behind them. */
const sum = ({ usedSize, embedderHeapUsedSize, backingStorageSize }) =>
  usedSize + embedderHeapUsedSize + backingStorageSize;

/** A session with a page, and one inside it with each of its workers. */
async function sessions(browser, page) {
  const devtools = await browser.context.newCDPSession(page);
  const waiting = new Map();
  const workers = new Set();
  let last = 0;
  devtools.on('Target.attachedToTarget', ({ sessionId, targetInfo }) => {
    if (targetInfo.type === 'worker') workers.add(sessionId);
  });
  devtools.on('Target.detachedFromTarget', ({ sessionId }) => workers.delete(sessionId));
  devtools.on('Target.receivedMessageFromTarget', ({ message }) => {
    const { id, result } = JSON.parse(message);
    waiting.get(id)?.(result);
    waiting.delete(id);
  });
  const attach = { autoAttach: true, waitForDebuggerOnStart: false, flatten: false };
  await devtools.send('Target.setAutoAttach', attach);
  const inWorker = async (sessionId, method) => {
    const id = (last += 1);
    const answer = new Promise((done) => waiting.set(id, done));
    const message = JSON.stringify({ id, method });
    await devtools.send('Target.sendMessageToTarget', { sessionId, message });
    return answer;
  };
  return {
    page: (method) => devtools.send(method),
    /** The answers of all workers. */
    workers: (method) => Promise.all([...workers].map((id) => inWorker(id, method))),
  };
}

export async function heap({ site, config }) {
  const set = config.heap;
  const origin = await startOrigin(await filesOf(set), {});
  try {
    const detail = await inBrowser(site, (stage) => measure(stage, set, origin));
    return { figures: { 'd5.heap_mib': detail.mib }, detail: { set: set.name, ...detail } };
  } finally {
    origin.close();
  }
}

async function measure({ page, call, browser }, set, origin) {
  const devtools = await sessions(browser, page);
  await devtools.page('HeapProfiler.collectGarbage');
  const empty = sum(await devtools.page('Runtime.getHeapUsage'));
  await call('prepare', { dataset: set.name, sources: [origin.url], trust: set.trust });
  const peak = { bytes: 0 };
  let samples = 0;
  const look = async () => {
    const inPage = await devtools.page('Runtime.getHeapUsage');
    const inWorkers = await devtools.workers('Runtime.getHeapUsage');
    if (inWorkers.length !== 1) throw new Error(`${inWorkers.length} workers run, not one`);
    const bytes = sum(inPage) + sum(inWorkers[0]) - empty;
    samples += 1;
    if (bytes > peak.bytes) Object.assign(peak, { bytes, page: inPage, worker: inWorkers[0] });
  };
  let over = false;
  const syncing = call('sync').finally(() => (over = true));
  // A failure is thrown where it is awaited.
  syncing.catch(() => {});
  while (!over) {
    await look();
    await new Promise((done) => setTimeout(done, EVERY_MS));
  }
  const { ms } = await syncing;
  await look();
  // It never shrinks: at its end it is as large as it was at any time of the sync.
  const { wasmMemoryBytes } = await call('standing');
  verify(set, await call('check'));
  const mib = (peak.bytes + wasmMemoryBytes) / (1 << 20);
  say(`${set.name}: ${mib.toFixed(1)} MiB, ${samples} samples in ${ms.toFixed(0)} ms`);
  return { mib, wasm_bytes: wasmMemoryBytes, heap: peak, empty_bytes: empty, samples, ms };
}
