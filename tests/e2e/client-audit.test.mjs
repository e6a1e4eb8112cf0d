// The audit in idle time, in Chromium: an honest set goes from stored to audited by itself; a
// publisher who signs one root and lays out another content is found out, named, and never read.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startAttacker } from '../harness/attacker.mjs';
import { startBrowser } from '../harness/browser.mjs';
import { NPM } from '../harness/project.mjs';
import { startStatic } from '../harness/static.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const OBJECTS = process.env.PACKICE_ATTACKS ?? resolve(HERE, '../../target/attacks/objects');
const PAGE = '<!doctype html><title>audit</title>';

describe('the audit in Chromium', { concurrency: false }, () => {
  let index;
  let attacker;
  let page;
  const closers = [];
  before(async () => {
    const file = join(OBJECTS, 'index.json');
    assert.ok(existsSync(file), `${file} is missing: see tests/attacks/README.md`);
    index = JSON.parse(readFileSync(file, 'utf8'));
    const site = await startStatic({
      mounts: { '/packice/': NPM, '/harness/': join(HERE, '../harness') },
      pages: { '/': { type: 'text/html', body: PAGE } },
    });
    closers.push(() => site.close());
    attacker = await startAttacker({ folder: OBJECTS });
    closers.push(() => attacker.close());
    const browser = await startBrowser();
    closers.unshift(() => browser.close());
    ({ page } = await browser.page());
    await page.goto(`${site.url}/`);
    const trust = readFileSync(join(OBJECTS, index.honest.roots.root)).toString('base64');
    await page.evaluate(async (trust) => {
      const { open } = await import('/packice/index.js');
      window.start = async (sources, options) => {
        const dataset = await open({ dataset: 'test-set', sources, trust, ...options });
        const heard = { mismatches: [], audits: [] };
        dataset.on('mismatch', (found) => heard.mismatches.push(found));
        dataset.on('audit', (done) => heard.audits.push(done));
        return { dataset, heard };
      };
      /** Waits until nothing is left to audit. */
      window.audited = async (dataset) => {
        for (;;) {
          const { audit, audited } = await dataset.status();
          if (audit.bundlesDone === audit.bundlesTotal) return audited;
          await new Promise((ok) => setTimeout(ok, 20));
        }
      };
    }, trust);
  });
  after(async () => {
    for (const close of closers) await close();
  });

  for (const run of ['worker', 'in-place']) {
    test(`an honest set becomes audited by itself, ${run}, and is so after a restart`, async () => {
      const url = attacker.mount(`honest-${run}`, index.honest.sets.v2);
      const seen = await page.evaluate(async ({ url, run }) => {
        const database = `honest-${run}`;
        const { dataset, heard } = await start([url], { database, run });
        await dataset.sync();
        const synced = await dataset.status();
        const audited = await window.audited(dataset);
        const { requests } = await dataset.status();
        await dataset.close();
        const again = await start(['http://127.0.0.1:9'], { database, run });
        const status = await again.dataset.status();
        await again.dataset.close();
        const off = await start([url], { database: `off-${run}`, run, audit: 'off' });
        await off.dataset.sync();
        await new Promise((ok) => setTimeout(ok, 600));
        const left = await off.dataset.status();
        await off.dataset.close();
        return { synced, audited, requests, heard, status, left };
      }, { url, run });
      assert.equal(seen.synced.stored, true);
      assert.equal(seen.audited, true);
      assert.equal(seen.requests, seen.synced.requests, 'the audit asks nobody');
      assert.deepEqual(seen.heard.mismatches, []);
      const last = seen.heard.audits.at(-1);
      assert.equal(last.bundlesDone, last.bundlesTotal);
      assert.deepEqual([seen.status.stored, seen.status.audited], [true, true]);
      assert.deepEqual([seen.left.stored, seen.left.audited], [true, false]);
      assert.equal(seen.left.audit.bundlesDone, 0);
    });
  }

  for (const name of ['frame-of-another-content', 'layout-with-frames-in-another-order']) {
    test(`a lying publisher is found out: ${name}`, async () => {
      const url = attacker.mount(name, index[name].sets.evil);
      const seen = await page.evaluate(async ({ url, database }) => {
        const { dataset, heard } = await start([url], { database });
        const report = await dataset.sync();
        const audited = await window.audited(dataset);
        const status = await dataset.status();
        const code = (promise) => promise.then(({ state }) => state, (error) => error.code);
        const read = await code(dataset.get('tokens', 'key/00000005'));
        const honest = await code(dataset.get('config', 'release'));
        await dataset.close();
        const again = await start(['http://127.0.0.1:9'], { database });
        const later = await again.dataset.status();
        await again.dataset.close();
        return { report, audited, status, heard, read, honest, later };
      }, { url, database: name });
      assert.equal(seen.report.changed, true);
      assert.deepEqual([seen.status.stored, seen.audited], [true, false]);
      assert.ok(seen.heard.mismatches.length > 0, 'nothing was found');
      for (const { collection, object, frame } of seen.heard.mismatches) {
        assert.equal(collection, 'tokens');
        assert.match(object, /^bundle\/[0-9a-f]{64}$/);
        assert.ok(frame >= 0);
      }
      assert.deepEqual(seen.status.audit.mismatches[0], seen.heard.mismatches[0]);
      assert.match(seen.read, /^(trust\/layout-mismatch|format\/frame)$/);
      assert.equal(seen.honest, 'present');
      assert.deepEqual([seen.later.stored, seen.later.audited], [true, false]);
      assert.deepEqual(seen.later.audit.mismatches, seen.status.audit.mismatches);
    });
  }
});
