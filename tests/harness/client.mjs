// One edge with published data, a page with the npm package, and proxies in between: what every
// browser test of the client starts from.

import { startBrowser } from './browser.mjs';
import { startEdge } from './edge.mjs';
import { makeProject, NPM } from './project.mjs';
import { publishKey } from './signer.mjs';
import { startStatic } from './static.mjs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const KEY = publishKey('a token of the tests');

/** Numbers in [0, 1), the same for the same seed. */
export function startRandom(seed) {
  const word = words(seed);
  return () => parseInt(word.next().value.slice(0, 8), 16) / 2 ** 32;
}

/** Text that compresses by about a half, the same for the same seed. */
export function* words(seed) {
  let state = BigInt(seed) * 0x9e3779b97f4a7c15n;
  for (;;) {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    let mixed = BigInt.asUintN(64, (state ^ (state >> 30n)) * 0xbf58476d1ce4e5b9n);
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn);
    yield (mixed ^ (mixed >> 31n)).toString(16).padStart(16, '0');
  }
}

/** `count` records with keys in order, values of about `length` characters. */
export function records(count, length, seed = 1) {
  const word = words(seed);
  return Array.from({ length: count }, (_, i) => {
    let value = `item ${i} `;
    while (value.length < length) value += word.next().value;
    return [`key/${String(i).padStart(7, '0')}`, value];
  });
}

/** A page as strict as an extension's: no eval, no inline script, wasm allowed. */
const PAGE = `<!doctype html><title>test</title>
<meta http-equiv="Content-Security-Policy"
  content="script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:">`;

/** A service worker that opens a data set, syncs it, and answers with one lookup. */
const SERVICE_WORKER = `
import { open } from '/packice/in-place.js';
self.onmessage = async ({ data, source }) => {
  try {
    const dataset = await open(data.options);
    const report = await dataset.sync();
    const found = await dataset.get(data.collection, data.key);
    await dataset.close();
    source.postMessage({ report, found });
  } catch ({ code, message }) {
    source.postMessage({ code, message });
  }
};`;

/** Starts all of it; `collections` as in `makeProject`. */
export async function startWorld({ dataset, collections }) {
  const edge = await startEdge({ publishKeys: KEY.entry() });
  const closers = [() => edge.close()];
  try {
    const project = await makeProject({ dataset, edge: edge.url, by: KEY, collections });
    closers.unshift(() => project.remove());
    await project.publish();
    const site = await startStatic({
      mounts: { '/packice/': NPM, '/harness/': HERE },
      pages: {
        '/': { type: 'text/html', body: PAGE },
        '/sw.js': { type: 'text/javascript', body: SERVICE_WORKER },
      },
    });
    closers.unshift(() => site.close());
    const browser = await startBrowser();
    closers.unshift(() => browser.close());
    return { edge, project, site, browser, ...world({ dataset, site, browser, project, closers }) };
  } catch (error) {
    for (const close of closers) await close();
    throw error;
  }
}

function world({ dataset, site, browser, project, closers }) {
  return {
    /** A page on which `window.client(sources, options)` opens the data set. */
    async page() {
      const { page, errors } = await browser.page();
      await page.goto(`${site.url}/`);
      await prepare(page, { dataset, trust: project.trust });
      return { page, errors };
    },
    /** The same in a browser of its own, which `close` ends. */
    async freshPage(options) {
      const fresh = await startBrowser(options);
      closers.unshift(() => fresh.close());
      const { page } = await fresh.page();
      await page.goto(`${site.url}/`);
      await prepare(page, { dataset, trust: project.trust });
      return { page, close: () => fresh.close() };
    },
    /** After a reload the page's own functions are gone. */
    async reload(page) {
      await page.reload();
      await prepare(page, { dataset, trust: project.trust });
    },
    later: (close) => closers.unshift(close),
    async close() {
      for (const close of closers) await close();
    },
  };
}

function prepare(page, given) {
  return page.evaluate(async (given) => {
    const { open } = await import('/packice/index.js');
    const database = await import('/harness/database.mjs');
    const decode = new TextDecoder();
    window.client = async (sources, options = {}) => {
      const dataset = await open({ ...given, sources, ...options });
      const faults = [];
      dataset.on('fault', (fault) => faults.push(fault));
      return { dataset, faults };
    };
    /** A lookup as plain data. */
    window.plain = ({ value, ...rest }) => (value ? { ...rest, text: decode.decode(value) } : rest);
    window.failure = (promise) =>
      promise.then(() => null, ({ code, name, message }) => ({ code, name, message }));
    Object.assign(window, database);
  }, given);
}
