// Several pages on one database: one syncs for all, all read. The leader closes, and the next one
// goes on with what is stored; the leader is frozen, and who waits takes the lead from it; what one
// commits serves reads in all, without a request.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { records, startWorld } from '../harness/client.mjs';
import { startProxy } from '../harness/proxy.mjs';

/** About 5 MB on the wire, in six bundles. */
const RECORDS = records(10_000, 1000);
const [KEY, VALUE] = RECORDS[4321];
/** Longer than a leader may be silent while somebody waits. */
const FROZEN_MS = 9000;

describe('several tabs of one database', { concurrency: false }, () => {
  let world;
  let proxy;
  let collection;
  let databases = 0;
  let pages = [];

  before(async () => {
    collection = { name: 'items', priority: 1, lazy: true, records: RECORDS };
    collection.settings = { dictionary: 'none' };
    world = await startWorld({ dataset: 'tabs', collections: [collection] });
    proxy = await startProxy({ target: world.edge.url });
    world.later(() => proxy.close());
  });
  after(() => world?.close());
  afterEach(async () => {
    for (const page of pages) if (!page.isClosed()) await page.close();
    pages = [];
  });

  /** Pages with the data set open, one after the other. */
  async function tabs(count, options = {}) {
    const database = `tabs-${databases += 1}`;
    for (let at = 0; at < count; at += 1) {
      const { page } = await world.page();
      pages.push(page);
      await page.evaluate(async ({ url, options }) => {
        const { dataset } = await client([url], options);
        window.dataset = dataset;
        window.told = [];
        dataset.on('changed', ({ collection }) => window.told.push(collection));
        window.begin = () => {
          window.ended = dataset.sync().then(({ version }) => version, ({ code }) => code);
        };
        window.look = async (key) => {
          const { version, stored } = await dataset.status();
          return { version, stored, ...plain(await dataset.get('items', key)) };
        };
      }, { url: proxy.url, options: { database, ...options } });
    }
    return pages;
  }

  const begin = (page) => page.evaluate(() => window.begin());
  const ended = (page) => page.evaluate(() => window.ended);
  const look = (page, key = KEY) => page.evaluate((key) => window.look(key), key);
  const bundles = () => proxy.log.filter(({ path }) => path.includes('/bundle/'));

  test('three sync at once: each bundle is fetched once, all stand at the version', async () => {
    const [one, two, three] = await tabs(3);
    proxy.setRules([{ kind: 'bundle', action: 'delay', ms: 300 }]);
    proxy.reset();
    await Promise.all([begin(three), begin(one), begin(two)]);
    assert.deepEqual(await Promise.all([one, two, three].map(ended)), [1, 1, 1]);
    const fetched = bundles().map(({ path }) => path);
    assert.ok(fetched.length >= 4, `${fetched.length} bundles`);
    assert.equal(new Set(fetched).size, fetched.length, 'a bundle was fetched twice');
    const before = proxy.log.length;
    for (const page of [one, two, three]) {
      const { version, stored, text } = await look(page);
      assert.deepEqual([version, stored, text], [1, true, VALUE]);
    }
    assert.equal(proxy.log.length, before, 'a read was a request');
  });

  test('the leader closes in the middle: the next one goes on with what is stored', async () => {
    const [one, two] = await tabs(2);
    proxy.setRules([{ kind: 'bundle', action: 'delay', ms: 800, after: 3 }]);
    proxy.reset();
    await begin(two);
    // The first page leads, though the second one asked.
    await one.evaluate(() => new Promise((stored) => {
      let count = 0;
      window.dataset.on('bundle', ({ state }) => {
        if (state === 'stored' && (count += 1) === 2) stored();
      });
    }));
    await one.close();
    assert.equal(await ended(two), 1);
    const { version, stored, text } = await look(two);
    assert.deepEqual([version, stored, text], [1, true, VALUE]);
    // Two were stored; those under way when the page ended are asked for again.
    const times = new Map();
    for (const { path } of bundles()) times.set(path, (times.get(path) ?? 0) + 1);
    const once = [...times.values()].filter((count) => count === 1).length;
    assert.ok(once >= 2, `all but ${once} bundles were fetched twice`);
  });

  test('a leader that is frozen loses its lead, and loses nothing when it wakes', async () => {
    const [one, two] = await tabs(2, { run: 'in-place' });
    proxy.setRules([]);
    // Its thread, and with it the engine, stands still with the lock in its hand.
    const frozen = one.evaluate((ms) => {
      for (const end = performance.now() + ms; performance.now() < end;);
      window.begin();
      return window.ended;
    }, FROZEN_MS);
    await begin(two);
    assert.equal(await ended(two), 1);
    assert.equal((await look(two)).text, VALUE);
    assert.equal(await frozen, 1);
    for (const page of [one, two]) {
      const { version, stored, text } = await look(page);
      assert.deepEqual([version, stored, text], [1, true, VALUE]);
    }
  });

  test('what one commits serves reads in all, and all are told of it', async () => {
    const [one, two] = await tabs(2);
    proxy.setRules([]);
    await begin(one);
    assert.equal(await ended(one), 1);
    const edit = ([key, value]) => [key, key === KEY ? 'another' : value];
    collection.records = RECORDS.map(edit);
    await world.project.publish();
    await begin(one);
    assert.equal(await ended(one), 2);
    const before = proxy.log.length;
    await two.waitForFunction(() => window.told.length > 0);
    const { version, text } = await look(two);
    assert.deepEqual([version, text], [2, 'another']);
    assert.equal(proxy.log.length, before, 'a read was a request');
  });
});
