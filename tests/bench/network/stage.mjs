// What the parts of the network benchmark share: a site with the package and the page's module, a
// Chromium with a fresh profile for each measurement, and the check of what was synced.

import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startBrowser } from '../../harness/browser.mjs';
import { startStatic } from '../../harness/static.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const PAGE = '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>bench';

/** Serves the page and the package, on a line that nothing shapes. */
export async function startSite(npm) {
  const worker = await readFile(join(HERE, 'service-worker.mjs'), 'utf8');
  return startStatic({
    mounts: { '/packice/': npm, '/bench/': HERE },
    pages: {
      '/': { type: 'text/html', body: PAGE },
      '/service-worker.js': { type: 'text/javascript', body: worker },
    },
  });
}

/** Runs `work({ page, call, browser })` in a fresh profile; `call` is a function of page.mjs. */
export async function inBrowser(site, work) {
  const browser = await startBrowser();
  try {
    const { page, errors } = await browser.page();
    await page.goto(`${site.url}/`);
    const call = (name, ...args) =>
      page.evaluate(
        async ({ name, args }) => (await import('/bench/page.mjs'))[name](...args),
        { name, args },
      );
    const result = await work({ page, call, browser });
    // The browser itself complains of every connection that a bad source breaks.
    const own = errors.filter((text) => !text.startsWith('Failed to load'));
    if (own.length > 0) throw new Error(`the page said: ${own.join('; ')}`);
    return result;
  } finally {
    await browser.close();
  }
}

/** A sync that lost something is not fast, it is wrong. */
export function verify(set, { records, bytes, root, stored }) {
  const right =
    records === set.records && bytes === set.content_bytes && root === set.root && stored;
  if (!right) {
    const said = JSON.stringify({ records, bytes, root, stored });
    throw new Error(`${set.name} was synced wrong: ${said}`);
  }
}

export function median(numbers) {
  const all = [...numbers].sort((a, b) => a - b);
  return (all[(all.length - 1) >> 1] + all[all.length >> 1]) / 2;
}

/** A line on stderr for whoever waits. */
export const say = (text) => void process.stderr.write(`${text}\n`);
