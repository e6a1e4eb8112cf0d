// Serves the demo's page and, with --headless, drives Chromium through it for every data set:
// sync, screenshots, reading every record back, and the cold read of one key.
//
// Input: a JSON file (see `cargo xtask demo`) with
// `{ www, npm, shots, port, packice, projects, sets: [{ name, url, trust }] }`; the publish key is
// in PACKICE_PUBLISH_KEY.
// With --headless prints one JSON report on stdout; else one line with the page's URL.

import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startBrowser } from './browser.mjs';
import { startChanges } from './changes.mjs';
import { asChild } from './child.mjs';
import { DATASETS, matches } from './datasets.mjs';
import { startProxy } from './proxy.mjs';
import { startStatic } from './static.mjs';

const SYNC_MS_MAX = 120_000;
/** For everything that is done with one set. */
const SET_MS_MAX = 240_000;
/** The cold read: one key in the middle of the 20 MB set. */
const COLD = { set: 'browser-compat', collection: 'compat', key: 'api.IDBFactory' };
const COLD_LATENCY_MS = 100;
/** The set that a change is published to. */
const CHANGED = 'eth-phishing';
const BLANK =
  '<!doctype html><meta charset="utf-8"><title>harness</title><link rel="icon" href="data:,">';

/** The page's demo.json: what it shows of each set, where from, under which trust root. */
function demoJson(sets, { live }) {
  const datasets = sets.map(({ name, url, trust }) => {
    const { title, about, collections, samples } = DATASETS[name];
    const sources = [{ name: 'edge', url }];
    const shown = { id: name, title, about, dataset: name, sources, trust, collections, samples };
    return live ? { ...shown, live, publish: '/publish' } : shown;
  });
  return JSON.stringify({ datasets });
}

/** Serves the page; with `live` it is told of versions, and can have a change published. */
function servePage(config, sets, { live = false } = {}) {
  const publish = startChanges({ ...config, key: process.env.PACKICE_PUBLISH_KEY });
  return startStatic({
    mounts: { '/': config.www, '/packice/': config.npm },
    pages: {
      '/demo.json': { type: 'application/json', body: demoJson(sets, { live }) },
      '/blank.html': { type: 'text/html; charset=utf-8', body: BLANK },
    },
    posts: live ? { '/publish': (url) => publish(url.searchParams.get('set')) } : {},
    port: config.port ?? 0,
  });
}

/**
 * Waits until the page says that a sync ended well; throws with its own words if it fails. A page
 * that opens a stored set is complete before its sync begins, so its end is what is waited for.
 */
async function synced(page, errors) {
  const ended = () => {
    const { running, synced, error } = document.documentElement.dataset;
    if (error) return { error };
    return running === 'false' && synced === 'true' ? {} : null;
  };
  const words = async () => {
    const log = await page.locator('#log').innerText();
    return [...errors, log.replaceAll('\n', ' ')].join('; ');
  };
  const waited = page.waitForFunction(ended, null, { timeout: SYNC_MS_MAX });
  const end = await waited.catch(async (error) => {
    throw new Error(`the sync did not end: ${error.message}; the page says: ${await words()}`);
  });
  const { error } = await end.jsonValue();
  if (error) throw new Error(`the sync failed: ${error}: ${await words()}`);
}

/** Looks the first sample up as a visitor does, with its proof; throws unless it is found. */
async function lookUp(page) {
  await page.click('#lookup .chips button');
  await page.waitForSelector('#lookup-result[data-answer="present"]', { timeout: 10_000 });
  await page.click('#show-proof');
  await page.waitForSelector('#proof-card:not([hidden]) #proof *', { timeout: 10_000 });
}

/** The sets as the page lists them, one of them behind a proxy. */
const behind = (proxy, set, sets) =>
  sets.map((other) => (other.name === set.name ? { ...set, url: proxy.url } : other));

const rounded = (ms) => (ms === null ? null : Math.round(ms * 10) / 10);

/** Light, dark and phone, of the page as it stands. */
async function screenshots(page, name, folder) {
  const shots = [
    ['light', 'light', { width: 1280, height: 900 }],
    ['dark', 'dark', { width: 1280, height: 900 }],
    ['phone', 'light', { width: 390, height: 844 }],
  ];
  const files = [];
  for (const [label, colorScheme, size] of shots) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize(size);
    await page.waitForTimeout(300);
    const file = `${name}-${label}.png`;
    await page.screenshot({ path: join(folder, file), fullPage: true });
    files.push(file);
  }
  return files;
}

/**
 * Reads a collection through the package's `range()` inside the page and hands the records over
 * in batches of `[key, value]` texts. Keys and values of these sets are UTF-8; a value that is
 * not would throw here rather than compare equal by accident.
 */
async function readAll(page, id, collection, take) {
  await page.evaluate(
    async ({ id, collection }) => {
      const { dataset } = await window.packiceDemo.dataset(id, { sync: false });
      const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
      let batch = [];
      let size = 0;
      for await (const { key, value } of dataset.range(collection)) {
        batch.push([text.decode(key), text.decode(value)]);
        size += key.length + value.length;
        if (size < 1 << 20) continue;
        await window.takeRecords(collection, batch);
        batch = [];
        size = 0;
      }
      await window.takeRecords(collection, batch);
    },
    { id, collection },
  );
}

/** Compares every record of a set, and their order, with the npm source. */
async function compare(page, id, source) {
  const left = new Map();
  for (const [name, records] of Object.entries(source.collections)) {
    left.set(name, new Map(records));
  }
  const result = { records: 0, missing: 0, extra: 0, different: 0, disorder: 0, examples: [] };
  const last = new Map();
  const note = (what, collection, key) => {
    result[what] += 1;
    if (result.examples.length < 10) result.examples.push(`${what}: ${collection} ${key}`);
  };
  await page.exposeFunction('takeRecords', (collection, batch) => {
    const expected = left.get(collection);
    for (const [key, value] of batch) {
      result.records += 1;
      if (!expected.has(key)) note('extra', collection, key);
      else if (!matches(expected.get(key), value)) note('different', collection, key);
      expected.delete(key);
      const before = last.get(collection);
      const bytes = Buffer.from(key);
      if (before && Buffer.compare(before, bytes) >= 0) note('disorder', collection, key);
      last.set(collection, bytes);
    }
  });
  for (const name of left.keys()) await readAll(page, id, name);
  for (const [name, rest] of left) for (const key of rest.keys()) note('missing', name, key);
  result.mismatches = result.missing + result.extra + result.different + result.disorder;
  return result;
}

const state = (page, id) =>
  page.evaluate(async (name) => {
    const { dataset, marks } = await window.packiceDemo.dataset(name, { sync: false });
    return { marks, status: await dataset.status() };
  }, id);

/** The page again, as a returning visitor sees it: what a reload fetches, and how long it takes. */
async function reload(page, id, proxy, errors) {
  proxy.reset();
  await page.reload();
  await synced(page, errors);
  const { marks } = await state(page, id);
  const { requests, bytes } = proxy.totals();
  return {
    ms_to_open: rounded(marks.opened),
    ms_to_complete: rounded(marks.complete),
    requests,
    bytes,
  };
}

/** One set: a fresh profile, a sync through the page, screenshots, and the full comparison. */
async function driveSet(set, config, report) {
  const proxy = await startProxy({ target: set.url });
  const server = await servePage(config, behind(proxy, set, config.sets));
  const browser = await startBrowser();
  try {
    const { page, errors } = await browser.page();
    await page.setViewportSize({ width: 1280, height: 900 });
    await page.goto(`${server.url}/?set=${set.name}&auto=1`);
    await synced(page, errors);
    const network = proxy.totals();
    const after = await state(page, set.name);
    await lookUp(page);
    const shots = await screenshots(page, set.name, config.shots);
    const source = await DATASETS[set.name].load();
    const compared = await compare(page, set.name, source);
    const end = await state(page, set.name);
    const again = await reload(page, set.name, proxy, errors);
    report.sets.push({
      set: set.name,
      source: source.npm,
      version: after.status.version,
      records: compared.records,
      mismatches: compared.mismatches,
      mismatch_examples: compared.examples,
      bytes_fetched: network.bytes,
      bytes_fetched_with_headers: network.wireBytes,
      client_bytes_fetched: after.status.bytesFetched,
      requests: network.requests,
      client_requests: after.status.requests,
      ms_to_first_verified_record: rounded(after.marks.firstVerified),
      ms_to_complete: rounded(after.marks.complete),
      wasm_memory_peak_bytes: end.status.wasmMemoryBytes,
      plain_bytes: after.status.collections.reduce((sum, c) => sum + c.plainBytes, 0),
      reload: again,
      page_errors: errors,
      screenshots: shots,
    });
  } finally {
    await browser.close();
    await server.close();
    await proxy.close();
  }
}

/**
 * A fresh profile, `open()` and at once `get()` of one key: what had to be fetched for it. Every
 * answer is held back for a while: on loopback one could end before a request that was made at
 * the same time has arrived, and would look as if that had waited for it.
 */
async function driveCold(set, config, report) {
  const rules = [{ kind: '*', action: 'delay', ms: COLD_LATENCY_MS }];
  const proxy = await startProxy({ target: set.url, rules });
  const server = await servePage(config, behind(proxy, set, config.sets));
  const browser = await startBrowser();
  try {
    const { page, errors } = await browser.page();
    await page.goto(`${server.url}/blank.html`);
    const cold = await page.evaluate(
      async ({ dataset, url, trust, collection, key }) => {
        const { open } = await import('/packice/index.js');
        const started = performance.now();
        const opened = await open({ dataset, sources: [{ name: 'edge', url }], trust });
        const found = await opened.get(collection, key);
        const ms = performance.now() - started;
        const value = found.state === 'present' ? new TextDecoder().decode(found.value) : null;
        await opened.close();
        return { state: found.state, reason: found.reason ?? null, value, ms };
      },
      { dataset: set.name, url: proxy.url, trust: set.trust, ...COLD },
    );
    // What was still under way when the answer came counts too.
    await page.waitForTimeout(500);
    const source = await DATASETS[set.name].load();
    const expected = source.collections[COLD.collection].get(COLD.key);
    const network = proxy.totals();
    report.cold_get = {
      ...COLD,
      state: cold.state,
      reason: cold.reason,
      right: cold.value !== null && matches(expected, cold.value),
      latency_ms: COLD_LATENCY_MS,
      ms: rounded(cold.ms),
      requests: network.requests,
      dependent_requests: network.dependent,
      bytes: network.bytes,
      bytes_with_headers: network.wireBytes,
      fetched: proxy.log.map(({ path, range, status, bytes, depth }) => {
        return { path, range, status, bytes, depth };
      }),
      page_errors: errors,
    };
  } finally {
    await browser.close();
    await server.close();
    await proxy.close();
  }
}

/** The page as it shows a version that came: its number, what flipped, what is written beside. */
function shown(page, to) {
  return page.waitForFunction((to) => {
    const step = document.querySelector(`#change [data-to="${to}"]`);
    if (!step || document.documentElement.dataset.version !== String(to)) return null;
    const flips = [...step.querySelectorAll('.flips li')].map((li) => {
      const [kind, code] = [li.dataset.kind, li.querySelector('code').innerText];
      return `${kind} ${code}`;
    });
    return { flips, notes: [...step.querySelectorAll('.note')].map((note) => note.innerText) };
  }, to, { timeout: 60_000 }).then((found) => found.jsonValue());
}

/** A change through the page: published, seen to flip, gone back from, and published again. */
async function driveChange(set, config, report) {
  const server = await servePage(config, config.sets, { live: true });
  const browser = await startBrowser();
  try {
    const { page, errors } = await browser.page();
    await page.setViewportSize({ width: 1280, height: 900 });
    await page.goto(`${server.url}/?set=${set.name}&auto=1`);
    await synced(page, errors);
    const { version } = (await state(page, set.name)).status;
    const before = (await state(page, set.name)).status;
    await page.click('#publish-change');
    const first = await shown(page, version + 1);
    const after = (await state(page, set.name)).status;
    await page.click('#roll-back');
    const back = await shown(page, version);
    const end = (await state(page, set.name)).status;
    const file = `${set.name}-change.png`;
    await page.screenshot({ path: join(config.shots, file), fullPage: true });
    report.change = {
      set: set.name,
      from: version,
      first,
      back,
      right: first.flips.includes('added domains: blacklist/change-1.example') &&
        back.flips.includes('removed domains: blacklist/change-1.example'),
      bytes_fetched: after.bytesFetched - before.bytesFetched,
      requests: after.requests - before.requests,
      bytes_written: after.deltas.bytesWritten,
      bytes_fetched_back: end.bytesFetched - after.bytesFetched,
      page_errors: errors,
      screenshot: file,
    };
  } finally {
    await browser.close();
    await server.close();
  }
}

/** Fails after a time; what was under way is left to the end of the process. */
function within(ms, work) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`not done after ${ms / 1000} s`)), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

async function headless(config) {
  await mkdir(config.shots, { recursive: true });
  const report = { sets: [], cold_get: null, failures: [] };
  const attempt = async (what, work) => {
    const started = performance.now();
    try {
      await within(SET_MS_MAX, work());
    } catch (error) {
      report.failures.push(`${what}: ${error.message}`);
    }
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    process.stderr.write(`demo: ${what} in ${seconds} s\n`);
  };
  for (const set of config.sets) {
    await attempt(`browser ${set.name}`, () => driveSet(set, config, report));
  }
  const cold = config.sets.find((set) => set.name === COLD.set);
  if (cold) await attempt(`cold get ${COLD.key}`, () => driveCold(cold, config, report));
  // Last: what is compared above is the first version.
  const changed = config.sets.find((set) => set.name === CHANGED);
  if (changed) await attempt(`change ${CHANGED}`, () => driveChange(changed, config, report));
  process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { headless: { type: 'boolean', default: false } },
});
const config = JSON.parse(await readFile(positionals[0], 'utf8'));
if (values.headless) {
  await headless(config);
} else {
  asChild(await servePage(config, config.sets, { live: true }));
}
