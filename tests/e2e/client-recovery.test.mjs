// What goes wrong with a browser's store: databases of other releases, emptied, busy and foreign
// ones, IndexedDB that is absent or denied, two tabs at once. Each ends in a named error or in
// recovery. A full disk and damaged rows: client.test.mjs.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { records, startWorld } from '../harness/client.mjs';

const COLLECTIONS = [
  { name: 'alerts', priority: 0, records: records(100, 40, 1) },
  { name: 'items', priority: 1, lazy: true, records: records(20_000, 150, 2) },
];
const [KEY, VALUE] = COLLECTIONS[1].records[12_345];

describe('recovery in Chromium', { concurrency: false }, () => {
  let world;
  let page;
  before(async () => {
    world = await startWorld({ dataset: 'recovered', collections: COLLECTIONS });
    ({ page } = await world.page());
    await page.evaluate(async () => {
      window.destroy = (await import('/packice/index.js')).destroy;
      /** Opens a database past the client. */
      window.raw = (name, version, upgrade = () => {}) => new Promise((ok, fail) => {
        const request = indexedDB.open(name, version);
        request.onupgradeneeded = () => upgrade(request.result);
        request.onsuccess = () => ok(request.result);
        request.onerror = () => fail(request.error);
      });
    });
  });
  after(() => world?.close());

  const given = () => ({ url: world.edge.url, key: KEY });

  test('a database of a newer release is refused by name, and destroy() helps', async () => {
    const seen = await page.evaluate(async ({ url, key }) => {
      const database = 'newer';
      (await raw(database, 99, (db) => db.createObjectStore('other'))).close();
      const refused = await failure(client([url], { database }));
      await destroy({ dataset: 'recovered', database });
      const { dataset } = await client([url], { database });
      await dataset.sync();
      const found = plain(await dataset.get('items', key));
      await dataset.close();
      return { refused, found };
    }, given());
    assert.equal(seen.refused.code, 'store/newer-format');
    assert.match(seen.refused.message, /destroy/);
    assert.equal(seen.found.text, VALUE);
  });

  test('under a newer release an open page reads on, and is refused once closed', async () => {
    const seen = await page.evaluate(async ({ url, key }) => {
      const database = 'outgrown';
      const { dataset } = await client([url], { database });
      await dataset.sync();
      const newer = await raw(database, 99);
      const found = plain(await dataset.get('items', key));
      newer.close();
      await dataset.close();
      const again = await failure(client([url], { database }));
      return { found, again };
    }, given());
    assert.equal(seen.found.text, VALUE, 'reads go on');
    assert.equal(seen.again.code, 'store/newer-format');
  });

  test('what an older release stored is given up, and fetched again', async () => {
    const seen = await page.evaluate(async ({ url, key }) => {
      const database = 'older';
      const old = await raw(database, 1, (db) => {
        for (const name of ['objects', 'state']) {
          db.createObjectStore(name).put(new Uint8Array([1, 2, 3]), 'state');
        }
      });
      old.close();
      const { dataset, faults } = await client([url], { database });
      const report = await dataset.sync();
      const found = plain(await dataset.get('items', key));
      const { stored } = await dataset.status();
      await dataset.close();
      const offline = await client(['http://127.0.0.1:9'], { database });
      const kept = plain(await offline.dataset.get('items', key));
      await offline.dataset.close();
      return { version: report.version, found, stored, kept, faults, keys: await keys(database) };
    }, given());
    assert.deepEqual([seen.version, seen.stored, seen.faults], [1, true, []]);
    assert.deepEqual([seen.found.text, seen.kept.text], [VALUE, VALUE]);
    assert.ok(!seen.keys.includes('state'), 'nothing of the older release is left');
  });

  test('a database that another connection keeps is said to be blocked, then opens', async () => {
    const seen = await page.evaluate(async ({ url, key }) => {
      const database = 'busy';
      // An older release's connection that does not give way.
      const old = await raw(database, 1, (db) => db.createObjectStore('objects'));
      const blocked = await failure(client([url], { database }));
      const kept = await failure(destroy({ dataset: 'recovered', database }));
      old.close();
      const { dataset } = await client([url], { database });
      await dataset.sync();
      const found = plain(await dataset.get('items', key));
      await dataset.close();
      return { blocked, kept, found };
    }, given());
    assert.equal(seen.blocked.code, 'store/blocked');
    assert.match(seen.blocked.message, /close it and open again/);
    assert.equal(seen.kept.code, 'store/blocked');
    assert.equal(seen.found.text, VALUE);
  });

  test('rows that were lost or emptied behind the client come back', async () => {
    const seen = await page.evaluate(async ({ url, key }) => {
      const outcomes = {};
      for (const lost of ['objects', 'state', 'both']) {
        const database = `lost-${lost}`;
        const first = await client([url], { database });
        await first.dataset.sync();
        await first.dataset.close();
        const db = await raw(database);
        const stores = lost === 'both' ? ['objects', 'state'] : [lost];
        const transaction = db.transaction(stores, 'readwrite');
        for (const name of stores) transaction.objectStore(name).clear();
        await new Promise((ok) => (transaction.oncomplete = ok));
        db.close();
        const { dataset } = await client([url], { database });
        const found = plain(await dataset.get('items', key));
        await dataset.sync();
        // What a read found missing comes back with the sync after it.
        await dataset.sync();
        const { stored } = await dataset.status();
        await dataset.close();
        const offline = await client(['http://127.0.0.1:9'], { database });
        const kept = plain(await offline.dataset.get('items', key));
        await offline.dataset.close();
        outcomes[lost] = { found, stored, kept };
      }
      return outcomes;
    }, given());
    for (const [lost, { found, stored, kept }] of Object.entries(seen)) {
      assert.equal(found.text, VALUE, lost);
      assert.equal(stored, true, lost);
      assert.equal(kept.text, VALUE, lost);
    }
  });

  test('two tabs that open and sync at once both end well', async () => {
    const second = await world.page();
    const run = ({ url, key }) => (async () => {
      const { dataset } = await client([url], { database: 'two-tabs' });
      const report = await dataset.sync();
      const found = plain(await dataset.get('items', key));
      const { stored } = await dataset.status();
      await dataset.close();
      return { version: report.version, found, stored };
    })();
    const both = await Promise.all([
      page.evaluate(run, given()), second.page.evaluate(run, given()),
    ]);
    await second.page.close();
    for (const { version, found, stored } of both) {
      assert.deepEqual([version, found.text, stored], [1, VALUE, true]);
    }
  });

  test('without IndexedDB the data is kept in memory, and is whole', async () => {
    const seen = await page.evaluate(async ({ url, key }) => {
      const { dataset } = await client([url], { database: 'none', store: 'memory' });
      const report = await dataset.sync();
      const found = plain(await dataset.get('items', key));
      await dataset.close();
      const names = (await indexedDB.databases()).map(({ name }) => name);
      return { report, found, names };
    }, given());
    assert.equal(seen.report.version, 1);
    assert.equal(seen.found.text, VALUE);
    assert.ok(!seen.names.includes('none'));
  });

  test('where there is no IndexedDB, memory takes its place', async () => {
    const seen = await page.evaluate(async ({ url, key }) => {
      const createWorker = () =>
        new Worker('/harness/odd-worker.mjs?indexeddb=none', { type: 'module' });
      const { dataset } = await client([url], { database: 'absent', createWorker });
      const report = await dataset.sync();
      const found = plain(await dataset.get('items', key));
      await dataset.close();
      const names = (await indexedDB.databases()).map(({ name }) => name);
      return { version: report.version, found, names };
    }, given());
    assert.deepEqual([seen.version, seen.found.text], [1, VALUE]);
    assert.ok(!seen.names.includes('absent'));
  });

  test('IndexedDB that the user denies is said by name, and memory still works', async () => {
    const denied = await world.freshPage({ preferences: {
      profile: { default_content_setting_values: { cookies: 2 } },
    } });
    const seen = await denied.page.evaluate(async ({ url, key }) => {
      const refused = await failure(client([url], { database: 'denied' }));
      const { dataset } = await client([url], { database: 'denied', store: 'memory' });
      await dataset.sync();
      const found = plain(await dataset.get('items', key));
      await dataset.close();
      return { refused, found };
    }, given());
    await denied.close();
    assert.equal(seen.refused.code, 'store/unavailable');
    assert.match(seen.refused.message, /memory/);
    assert.equal(seen.found.text, VALUE);
  });

  test('a database that is not ours is refused by name, and destroy() helps', async () => {
    const seen = await page.evaluate(async ({ url, key }) => {
      const database = 'foreign';
      (await raw(database, 2, (db) => db.createObjectStore('accounts'))).close();
      const { dataset } = await client([url], { database });
      const read = plain(await dataset.get('items', key));
      const refused = await failure(dataset.sync());
      const { stored } = await dataset.status();
      await dataset.close();
      await destroy({ dataset: 'recovered', database });
      const again = await client([url], { database });
      await again.dataset.sync();
      const status = await again.dataset.status();
      await again.dataset.close();
      return { read, refused, stored, after: status.stored };
    }, given());
    assert.equal(seen.read.text, VALUE, 'reads go on');
    assert.match(seen.refused.code, /^store\//);
    assert.deepEqual([seen.stored, seen.after], [false, true]);
  });
});
