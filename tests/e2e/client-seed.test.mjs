// The seed in Chromium: a first run without a network, from a URL, bytes and a blob; a newer
// version over it; a seed that is damaged.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { records, startWorld } from '../harness/client.mjs';
import { startProxy } from '../harness/proxy.mjs';
import { startStatic } from '../harness/static.mjs';

const COLLECTIONS = [
  { name: 'alerts', priority: 0, records: records(100, 40, 1) },
  { name: 'items', priority: 1, lazy: true, records: records(20_000, 150, 2) },
  { name: 'sealed', priority: 2, records: records(8_000, 100, 3) },
];
const TOTAL = COLLECTIONS.reduce((sum, { records }) => sum + records.length, 0);
const [KEY, VALUE] = COLLECTIONS[1].records[12_345];
const NOWHERE = 'http://127.0.0.1:9';

describe('a seed in Chromium', { concurrency: false }, () => {
  let world;
  let proxy;
  let files;
  let seed;
  let page;
  before(async () => {
    world = await startWorld({ dataset: 'seeded', collections: COLLECTIONS });
    await world.project.packice('seed', 'first.seed');
    seed = await readFile(join(world.project.dir, 'first.seed'));
    const mounts = { '/': world.project.dir };
    files = await startStatic({ mounts, headers: { 'access-control-allow-origin': '*' } });
    world.later(() => files.close());
    proxy = await startProxy({ target: world.edge.url });
    world.later(() => proxy.close());
    ({ page } = await world.page());
  });
  after(() => world?.close());

  const first = () => `${files.url}/first.seed`;

  test('the first run without a network reads at once, and syncs', async () => {
    const seen = await page.evaluate(async ({ seed, nowhere, key }) => {
      const { dataset, faults } = await client([nowhere], { database: 'offline', seed });
      const one = plain(await dataset.get('items', key));
      // No lazy reads are allowed here: but a file tells nobody what is read.
      const sealed = plain(await dataset.get('sealed', 'key/0000777'));
      const absent = plain(await dataset.get('sealed', 'zzz'));
      const before = await dataset.status();
      const report = await dataset.sync();
      const status = await dataset.status();
      let count = 0;
      for (const { name } of status.collections) {
        for await (const entry of dataset.range(name)) count += entry.key.length > 0 ? 1 : 0;
      }
      await dataset.close();
      const later = await client([nowhere], { database: 'offline' });
      const kept = plain(await later.dataset.get('items', key));
      await later.dataset.close();
      return { one, sealed, absent, before, report, status, count, kept, faults };
    }, { seed: first(), nowhere: NOWHERE, key: KEY });
    assert.deepEqual(seen.one, { state: 'present', text: VALUE, version: 1 });
    assert.equal(seen.sealed.text, COLLECTIONS[2].records[777][1]);
    assert.equal(seen.absent.state, 'absent');
    assert.deepEqual([seen.before.stored, seen.before.requests], [false, 0]);
    assert.deepEqual([seen.report.version, seen.report.changed], [1, true]);
    assert.equal(seen.report.bytesFetched, 0);
    assert.equal(seen.status.stored, true);
    assert.equal(seen.status.sources.at(-1).name, 'seed');
    assert.equal(seen.count, TOTAL);
    assert.deepEqual(seen.kept, seen.one);
    assert.ok(seen.faults.every(({ source }) => source !== 'seed'));
  });

  for (const form of ['bytes', 'blob']) {
    test(`a seed can be given as ${form}, and in place`, async () => {
      const seen = await page.evaluate(async ({ url, form, nowhere, key }) => {
        const response = await fetch(url);
        const seed = form === 'blob' ? await response.blob()
          : new Uint8Array(await response.arrayBuffer());
        const run = form === 'blob' ? 'in-place' : 'worker';
        const { dataset } = await client([nowhere], { database: `by-${form}`, seed, run });
        const report = await dataset.sync();
        const found = plain(await dataset.get('items', key));
        await dataset.close();
        return { report, found };
      }, { url: first(), form, nowhere: NOWHERE, key: KEY });
      assert.equal(seen.report.version, 1);
      assert.equal(seen.found.text, VALUE);
    });
  }

  test('a damaged seed is blamed by name, and the network serves', async () => {
    proxy.reset();
    for (const name of ['truncated', 'flipped', 'page']) {
      const seen = await page.evaluate(async ({ url, name, first, key }) => {
        const file = await fetch(first);
        const whole = new Uint8Array(await file.arrayBuffer());
        const html = new TextEncoder().encode('<!doctype html><title>404</title>');
        const truncated = whole.slice(0, whole.length / 2);
        const seed = { truncated, flipped: whole, page: html };
        whole[Math.floor(whole.length * 0.7)] ^= 1;
        const options = { database: `bad-${name}`, seed: seed[name] };
        const { dataset, faults } = await client([url], options);
        const report = await dataset.sync();
        const found = plain(await dataset.get('items', key));
        await dataset.close();
        return { report, found, faults, ...await audit(`bad-${name}`) };
      }, { url: proxy.url, name, first: first(), key: KEY });
      assert.equal(seen.found.text, VALUE);
      assert.deepEqual(seen.bad, []);
      assert.ok(seen.faults.length > 0, `${name}: nobody was blamed`);
      for (const { source, code } of seen.faults) {
        assert.equal(source, 'seed');
        assert.match(code, /^(peer|format|trust)\//);
      }
    }
    const missing = await page.evaluate(async ({ url, seed, key }) => {
      const { dataset, faults } = await client([url], { database: 'no-seed', seed });
      const found = plain(await dataset.get('items', key));
      await dataset.close();
      return { found, faults };
    }, { url: proxy.url, seed: `${files.url}/nothing.seed`, key: KEY });
    assert.equal(missing.found.text, VALUE);
    assert.deepEqual([missing.faults[0].source, missing.faults[0].code], ['seed', 'peer/network']);
  });

  test('a newer version wins, and only what the seed lacks is fetched', async () => {
    COLLECTIONS[1].records[12_345] = [KEY, `${VALUE} and newer`];
    await world.project.publish();
    proxy.setRules([]);
    proxy.reset();
    const seen = await page.evaluate(async ({ url, seed, key }) => {
      const { dataset, faults } = await client([url], { database: 'newer', seed });
      const old = plain(await dataset.get('items', key));
      const report = await dataset.sync();
      const found = plain(await dataset.get('items', key));
      await dataset.close();
      return { old, report, found, faults };
    }, { url: proxy.url, seed: first(), key: KEY });
    assert.equal(seen.old.text, VALUE);
    assert.deepEqual(seen.found, { state: 'present', text: `${VALUE} and newer`, version: 2 });
    assert.deepEqual(seen.faults, []);
    const text = seed.toString('latin1');
    const named = proxy.log.map(({ path }) => path.split('/seeded/')[1])
      .filter((path) => !/^(checkpoint|bootstrap|head)/.test(path));
    // A delta or an overlay, which the bootstrap may hold, over the seed's bundles.
    assert.ok(!named.some((path) => path.startsWith('bundle/')), named.join());
    for (const path of named) assert.ok(!text.includes(path), `${path} stands in the seed`);
  });
});
