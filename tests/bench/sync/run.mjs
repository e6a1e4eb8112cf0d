// Drives the benchmark: one Chromium with a fresh profile for each measurement, contenders in
// turn, one loopback server for all. Input: a JSON file (see xtask/src/bench/sync.rs) with
// `{ npm, rounds, sets, warm, sizes }`, each set as xtask/src/bench/sets.rs describes it.
// Prints one JSON report on stdout; what it measures goes to stderr as it comes.

import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startBrowser } from '../../harness/browser.mjs';
import { readTree, startServer } from './server.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const PAGE = '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>bench';
const CONTENDERS = ['limit', 'today', 'packice'];

const config = JSON.parse(await readFile(process.argv[2], 'utf8'));
const files = new Map();
files.set('/', { body: Buffer.from(PAGE), headers: { 'content-type': 'text/html' } });
await readTree(files, '/packice', config.npm);
await readTree(files, '/bench', HERE);
for (const set of [...config.sets, ...config.sizes]) await load(set);

/** Everything of a set that is served, in memory. */
async function load({ name, build, head, parts_dir: parts }) {
  const base = `/v1/${name}`;
  for (const kind of ['manifest', 'layout', 'dictionary', 'bundle']) {
    await readTree(files, `${base}/${kind}`, join(build, kind));
  }
  for (const path of ['checkpoint', 'bootstrap/stable']) {
    files.set(`${base}/${path}`, { body: await readFile(join(head, path)), headers: {} });
  }
  if (parts) await readTree(files, `/plain/${name}`, parts, { 'content-encoding': 'zstd' });
}

const server = await startServer(files);
const url = (path) => server.url + path;

const options = ({ name, trust }) => ({ dataset: name, sources: [server.url], trust });

/** What a contender fetches of a set. */
async function work(contender, set) {
  if (contender === 'packice') return options(set);
  if (contender === 'today') {
    return set.parts.map(({ name }) => url(`/plain/${set.name}/${name}`));
  }
  const names = await readdir(join(set.build, 'bundle'));
  return names.map((name) => url(`/v1/${set.name}/bundle/${name}`));
}

/** Runs a function of page.mjs in a page of its own. */
async function inPage(browser, name, ...args) {
  const { page, errors } = await browser.page();
  await page.goto(url('/'));
  const result = await page.evaluate(
    async ({ name, args }) => {
      const module = await import('/bench/page.mjs');
      const [group, member] = name.split('.');
      return member ? module[group][member](...args) : module[group](...args);
    },
    { name, args },
  );
  await page.close();
  if (errors.length > 0) throw new Error(`the page said: ${errors.join('; ')}`);
  return result;
}

async function measure(contender, set) {
  const browser = await startBrowser();
  try {
    const [timed, warm] = [await work(contender, set), await work(contender, config.warm)];
    const result = await inPage(browser, `contenders.${contender}`, timed, warm);
    check(contender, set, result);
    return result;
  } finally {
    await browser.close();
  }
}

const plainBytes = ({ parts }) => parts.reduce((sum, { plain }) => sum + plain, 0);

/** A contender that lost something is not fast, it is wrong. */
function check(contender, set, { sync, scan }) {
  const fail = (what) => {
    throw new Error(`${set.name}, ${contender}: ${what}`);
  };
  if (contender === 'packice') {
    if (scan.records !== set.records || scan.bytes !== set.content_bytes) {
      fail(`${scan.records} records, ${scan.bytes} bytes`);
    }
  } else {
    const bytes = contender === 'today' ? plainBytes(set) : set.wire_bytes;
    if (sync.bytes !== bytes) fail(`${sync.bytes} bytes were fetched, not ${bytes}`);
    if (scan && scan.bytes !== bytes) fail(`${scan.bytes} bytes were read, not ${bytes}`);
  }
}

async function rounds(set) {
  const times = Object.fromEntries(CONTENDERS.map((name) => [name, []]));
  for (let round = 0; round < config.rounds; round += 1) {
    for (let at = 0; at < CONTENDERS.length; at += 1) {
      // Each goes first as often as the others.
      const contender = CONTENDERS[(round + at) % CONTENDERS.length];
      const { open, sync, scan, wasmMemoryBytes } = await measure(contender, set);
      const entry = { open: open.ms, sync: sync.ms, scan: scan?.ms, wasm: wasmMemoryBytes };
      times[contender].push(entry);
      const show = (ms) => (ms === undefined ? '' : ms.toFixed(0).padStart(6));
      console.error(
        `${set.name} ${round + 1} ${contender.padEnd(8)} open ${show(entry.open)}`,
        `sync ${show(entry.sync)} scan ${show(entry.scan)} ms`,
      );
    }
  }
  return times;
}

/** Everything that a first sync fetches, as the server counted it. */
async function size(set) {
  const browser = await startBrowser();
  try {
    server.reset();
    const { requests, bytesFetched } = await inPage(browser, 'fullSync', options(set));
    const seen = server.seen().filter(({ path }) => path.startsWith('/v1/'));
    const bytes = seen.reduce((sum, one) => sum + one.bytes, 0);
    if (requests !== seen.length || bytesFetched !== bytes) {
      throw new Error(`${set.name}: the client says ${requests} requests, ${bytesFetched} bytes`);
    }
    return { name: set.name, requests, bytes };
  } finally {
    await browser.close();
  }
}

/** Syncs a set, and opens it in a browser started anew on the same profile. */
async function warmOpen(set) {
  const first = await startBrowser();
  let second;
  try {
    await inPage(first, 'fullSync', options(set));
    await first.context.close();
    server.reset();
    second = await startBrowser({ profile: first.profile });
    const result = await inPage(second, 'warmOpen', options(set), set.some_key);
    const asked = server.seen().filter(({ path }) => path.startsWith('/v1/')).length;
    return { ...result, asked };
  } finally {
    await second?.close();
    await first.close();
  }
}

const report = { sizes: [], times: {} };
if (!config.only || config.only === 'sizes') {
  for (const set of [...config.sizes, ...config.sets]) report.sizes.push(await size(set));
}
if (!config.only || config.only === 'warm') {
  report.warm = await warmOpen(config.sets.at(-1));
}
if (!config.only || config.only === 'times') {
  for (const set of config.sets) report.times[set.name] = await rounds(set);
}
process.stdout.write(`${JSON.stringify(report)}\n`);
await server.close();
