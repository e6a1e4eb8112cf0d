// Chromium's part of `cargo xtask bench apply`: version after version is released, and a client
// that follows brings it, with reads beside.
//
// Input: a JSON file with `{ npm, url, trust, dataset, collection, profile, project, packice, keys,
// updates: [{ file, bytes, operations }] }`; the publish key is in PACKICE_PUBLISH_KEY. Prints one
// JSON report.
//
// Written bytes are counted where they are written: each value that the package puts into
// IndexedDB, in whatever scope. The first and the later updates run in a worker, as everywhere; the
// second in place, in a page opened anew, where one heap holds all of JavaScript, and the wasm
// memory has not grown with a sync.

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { startBrowser } from '../harness/browser.mjs';
import { startStatic } from '../harness/static.mjs';

const run = promisify(execFile);
const config = JSON.parse(await readFile(process.argv[2], 'utf8'));

/** Counts what is put into IndexedDB, and tells on a channel. */
const COUNT = `
let bytes = 0;
const size = (value) => {
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return value.byteLength;
  if (value instanceof Blob) return value.size;
  if (value && typeof value === 'object') {
    return Object.values(value).reduce((sum, part) => sum + size(part), 0);
  }
  return typeof value === 'string' ? value.length : 8;
};
const put = IDBObjectStore.prototype.put;
IDBObjectStore.prototype.put = function (value, ...key) {
  bytes += size(value);
  return put.call(this, value, ...key);
};
const channel = new BroadcastChannel('written');
channel.onmessage = ({ data }) => data === 'ask' && channel.postMessage({ bytes });
`;
const WORKER = `import '/count.js';\nimport '/packice/worker.js';\n`;
const script = (body) => ({ type: 'text/javascript', body });
const site = await startStatic({
  mounts: { '/packice/': config.npm },
  pages: {
    '/': { type: 'text/html', body: '<!doctype html><title>apply</title>' },
    '/count.js': script(COUNT),
    '/worker.js': script(WORKER),
  },
});
const args = ['--enable-precise-memory-info', '--js-flags=--expose-gc'];
const browser = await startBrowser({ profile: config.profile, args });

async function packice(...args) {
  return run(config.packice, args, { cwd: config.project, maxBuffer: 1 << 26 });
}

async function release({ file }) {
  await packice('apply', file, '--json');
  await packice('publish', '--json');
}

/** A page with the data set open; `inPlace` runs the engine in it. */
async function openPage(inPlace) {
  const { page } = await browser.page();
  await page.goto(`${site.url}/`);
  await page.evaluate(prepare, { ...config, updates: null, inPlace });
  return page;
}

/** Runs in the page. */
async function prepare({ dataset, url, trust, collection, keys, inPlace }) {
  const { open } = await import('/packice/index.js');
  if (inPlace) await import('/count.js');
  const worker = () => new Worker('/worker.js', { type: 'module' });
  const where = inPlace ? { run: 'in-place' } : { createWorker: worker };
  const opened = await open({ dataset, sources: [url], trust, audit: 'off', ...where });
  const roads = [];
  opened.on('road', ({ road }) => roads.push(road));
  const channel = new BroadcastChannel('written');
  const written = () => new Promise((ok) => {
    channel.onmessage = ({ data }) => ok(data.bytes);
    channel.postMessage('ask');
  });
  const bytesOf = (hex) => Uint8Array.from(hex.match(/../g), (digits) => parseInt(digits, 16));
  let at = 0;
  const read = async () => {
    const started = performance.now();
    await opened.get(collection, bytesOf(keys[at++ % keys.length]));
    return performance.now() - started;
  };
  const spread = (times) => {
    times.sort((a, b) => a - b);
    const part = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))];
    return { reads: times.length, p50_ms: part(0.5), p99_ms: part(0.99), max_ms: times.at(-1) };
  };
  const pause = (ms) => new Promise((ok) => setTimeout(ok, ms));

  /** Reads, one after the other, as long as something runs. */
  async function beside(running, least) {
    let over = false;
    const done = running.finally(() => (over = true));
    const times = [];
    while (!over || times.length < least) times.push(await read());
    await done;
    return spread(times);
  }

  /** Waits until idle time has nothing left to merge. */
  async function settled() {
    let last = -1;
    for (let quiet = 0; quiet < 6; ) {
      await pause(150);
      const now = await written();
      quiet = now === last ? quiet + 1 : 0;
      last = now;
    }
  }

  window.firstSync = async () => {
    await opened.sync();
    await settled();
  };

  /** Brings a version; what that cost, and what folding after it cost. */
  window.update = async (withReads) => {
    await settled();
    const heap = () => performance.memory.usedJSHeapSize;
    const idle = withReads ? await beside(pause(1500), 200) : null;
    window.gc?.();
    const before = { ...(await opened.status()), written: await written(), heap: heap() };
    roads.length = 0;
    let peak = before.heap;
    const watch = setInterval(() => (peak = Math.max(peak, heap())), 2);
    const started = performance.now();
    const sync = opened.sync().then((report) => ({ ...report, ms: performance.now() - started }));
    const reads = withReads ? await beside(sync, 1) : null;
    const report = await sync;
    clearInterval(watch);
    peak = Math.max(peak, heap());
    const after = { ...(await opened.status()), written: await written() };
    await settled();
    const end = { ...(await opened.status()), written: await written() };
    const decoded = (status) => status.decodedBytes + status.deltas.composedBytes;
    return {
      road: roads[0],
      version: report.version,
      ms: report.ms,
      fetched_bytes: after.bytesFetched - before.bytesFetched,
      requests: after.requests - before.requests,
      delta_bytes: after.deltas.bytes - before.deltas.bytes,
      layer_bytes: after.deltas.bytesWritten - before.deltas.bytesWritten,
      written_bytes: after.written - before.written,
      folded_bytes: end.written - after.written + end.bytesFetched - after.bytesFetched,
      decoded_bytes: decoded(after) - decoded(before),
      layers: end.collections[0].layers,
      wasm_bytes: after.wasmMemoryBytes - before.wasmMemoryBytes,
      wasm_memory_bytes: after.wasmMemoryBytes,
      heap_bytes: peak - before.heap,
      idle,
      beside: reads,
    };
  };
  window.end = () => opened.close();
}

try {
  const updates = [];
  let page = await openPage(false);
  await page.evaluate(() => firstSync());
  let heap = 0;
  for (const [at, update] of config.updates.entries()) {
    const started = performance.now();
    await release(update);
    const released = performance.now();
    // The second in a page of its own.
    if (at === 1 || at === 2) {
      await page.evaluate(() => end());
      await page.close();
      page = await openPage(at === 1);
    }
    const found = await page.evaluate((reads) => window.update(reads), at === 0);
    if (at === 1) heap = found.heap_bytes + found.wasm_bytes;
    updates.push({ ...found, changed_bytes: update.bytes, operations: update.operations });
    const seconds = ((released - started) / 1000).toFixed(1);
    process.stderr.write(`update ${at + 1}: released in ${seconds} s, ${JSON.stringify(found)}\n`);
  }
  process.stdout.write(`${JSON.stringify({ heap_bytes: heap, updates })}\n`);
} finally {
  await browser.close();
  await site.close();
}
