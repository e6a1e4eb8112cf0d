// Chromium's part of `cargo xtask bench large`: a sync into IndexedDB, sample reads during and
// after it, a scan of every record, and the wasm memory at the end.
//
// Input: a JSON file with `{ npm, url, trust, dataset, collection, samples, profile }`, samples
// being `[key as hex, value as base64 or null]` as the generator has them. Prints one JSON report.

import { readFile } from 'node:fs/promises';
import { startBrowser } from '../harness/browser.mjs';
import { startStatic } from '../harness/static.mjs';

const config = JSON.parse(await readFile(process.argv[2], 'utf8'));
const site = await startStatic({
  mounts: { '/packice/': config.npm },
  pages: { '/': { type: 'text/html', body: '<!doctype html><title>large</title>' } },
});
const browser = await startBrowser({ profile: config.profile });
try {
  const { page, errors } = await browser.page();
  await page.goto(`${site.url}/`);
  const report = await page.evaluate(run, config);
  report.wrong.push(...errors.filter((text) => !text.startsWith('Failed to load')));
  process.stdout.write(`${JSON.stringify(report)}\n`);
} finally {
  await browser.close();
  await site.close();
}

/** Runs in the page. */
async function run({ url, trust, dataset: name, collection, samples }) {
  const { open } = await import('/packice/index.js');
  const bytes = (hex) => Uint8Array.from(hex.match(/../g), (digits) => parseInt(digits, 16));
  const base64 = (value) => btoa(String.fromCharCode(...value));
  const wrong = [];
  const dataset = await open({ dataset: name, sources: [url], trust });

  async function check([key, value]) {
    const found = await dataset.get(collection, bytes(key));
    const said = found.state === 'present' ? base64(found.value) : null;
    const right = value === null ? found.state === 'absent' : said === value;
    if (!right) wrong.push({ key, state: found.state, said, value });
  }

  const marks = { start: performance.now() };
  let syncing = true;
  const sync = dataset.sync().finally(() => {
    syncing = false;
  });
  let during = 0;
  const reading = (async () => {
    while (syncing) {
      await check(samples[(during * 7) % samples.length]);
      during += 1;
      // Seldom: a read that is not stored yet is fetched by itself.
      await new Promise((ok) => setTimeout(ok, 250));
    }
  })();
  const synced = await sync;
  await reading;
  marks.synced = performance.now();
  const afterSync = (await dataset.status()).wasmMemoryBytes;

  // All at once: as many reads as bundles, none of which may fill the memory.
  await Promise.all(samples.map(check));
  marks.sampled = performance.now();
  let scanned = 0;
  let last = null;
  for await (const { key, value } of dataset.range(collection)) {
    if (last && !isBefore(last, key)) wrong.push({ disorder: scanned });
    if (value.length < 40 || value.length > 100) wrong.push({ length: value.length });
    last = key;
    scanned += 1;
  }
  marks.scanned = performance.now();
  const status = await dataset.status();
  await dataset.close();
  const seconds = (from, to) => Math.round((marks[to] - marks[from]) / 100) / 10;
  return {
    root: status.collections[0].root,
    stored: status.stored,
    wasm_memory_bytes: status.wasmMemoryBytes,
    wasm_memory_after_sync: afterSync,
    requests: synced.requests,
    bytes_fetched: synced.bytesFetched,
    read_during: during,
    scanned,
    sync_seconds: seconds('start', 'synced'),
    scan_seconds: seconds('sampled', 'scanned'),
    wrong: wrong.slice(0, 100),
  };

  function isBefore(a, b) {
    for (let at = 0; at < a.length; at += 1) {
      if (a[at] !== b[at]) return a[at] < b[at];
    }
    return false;
  }
}
