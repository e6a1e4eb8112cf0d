// Versions in Chromium, published by the real publisher through the real edge: a client that
// follows comes by deltas, tells which keys changed, keeps what is pinned, goes back and forth.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { records, startWorld } from '../harness/client.mjs';
import { startProxy } from '../harness/proxy.mjs';

const ITEMS = {
  name: 'items',
  priority: 1,
  lazy: true,
  settings: { leaf_target: '4 KiB', frame_target: '64 KiB', dictionary: 'none' },
  records: records(20_000, 150, 2),
};
const ALERTS = { name: 'alerts', priority: 0, records: records(50, 40, 1) };
const event = (sequence, kind, data) => ({ sequence, kind, at: 1_790_000_000 + sequence, data });
const EVENTS = {
  name: 'events',
  events: true,
  records: [event(1, 'schema', { collection: 'items' }), event(2, 'parameters', { limit: 5 })],
};
const UNTOUCHED = 'key/0010001';
/** What a step changes: an update, an insert, a removal. */
const UPDATED = 'key/0001234';
const textOf = (version) => `what version ${version} says`;

describe('change, in Chromium', { concurrency: false }, () => {
  let world;
  let proxy;
  /** Each version's records, from 1. */
  const versions = [null];
  before(async () => {
    world = await startWorld({ dataset: 'change-test', collections: [ALERTS, EVENTS, ITEMS] });
    versions.push(new Map(ITEMS.records));
    proxy = await startProxy({ target: world.edge.url });
    world.later(() => proxy.close());
  });
  after(() => world?.close());

  /** Publishes a version: one key updated, one added, one removed, and 20 more updated. */
  async function publishNext() {
    const version = versions.length;
    const all = new Map(versions.at(-1));
    all.set(UPDATED, textOf(version));
    all.set(`new/${version}`, textOf(version));
    all.delete(`key/${String(15_000 + version).padStart(7, '0')}`);
    for (let at = 0; at < 20; at += 1) {
      all.set(`key/${String(at * 900).padStart(7, '0')}`, `${textOf(version)}, ${at}`);
    }
    ITEMS.records = [...all].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    versions.push(all);
    const { version: published } = JSON.parse(await world.project.publish());
    assert.equal(published ?? version, version);
    return version;
  }

  /** A page with the data set open at the newest version there is. */
  async function openPage(database, options = {}) {
    const { page, errors } = await world.page();
    await page.evaluate(async ({ url, database, options }) => {
      const { dataset, faults } = await client([url], { database, ...options });
      const text = (key) => new TextDecoder().decode(key);
      Object.assign(window, { dataset, faults, text, told: [], roads: [] });
      dataset.watch('items', {}, ({ added, updated, removed, ...rest }) => {
        const keys = { added, updated, removed };
        for (const kind in keys) keys[kind] = keys[kind].map(text);
        told.push({ ...rest, ...keys });
      });
      dataset.on('road', (road) => roads.push(road));
      await dataset.sync();
    }, { url: proxy.url, database, options });
    return {
      page,
      async end() {
        await page.evaluate(() => dataset.close());
        assert.deepEqual(errors.filter((text) => !text.startsWith('Failed to load')), []);
        await page.close();
      },
    };
  }

  const readAll = (page, from) =>
    page.evaluate(async (from) => {
      const all = [];
      for await (const { key, value } of window[from].range('items')) {
        all.push([text(key), text(value)]);
      }
      return all;
    }, from);

  const sorted = (version) =>
    [...versions[version]].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));

  test('a following client comes by the delta, and is told the keys', async () => {
    const { page, end } = await openPage('follow');
    const to = await publishNext();
    proxy.reset();
    const seen = await page.evaluate(async (key) => {
      told.length = roads.length = 0;
      const answers = new Set();
      let stopped = false;
      const reading = (async () => {
        while (!stopped) answers.add(JSON.stringify(plain(await dataset.get('items', key))));
      })();
      const report = await dataset.sync();
      stopped = true;
      await reading;
      answers.add(JSON.stringify(plain(await dataset.get('items', key))));
      const { deltas, collections, version, stored } = await dataset.status();
      const { layers, layerBytes } = collections.find(({ name }) => name === 'items');
      answers.delete('');
      const read = [...answers].map((text) => JSON.parse(text));
      return { report, told, roads, deltas, layers, layerBytes, version, stored, read };
    }, UPDATED);
    assert.equal(seen.version, to);
    assert.equal(seen.stored, true);
    assert.deepEqual(seen.roads.find(({ collection }) => collection === 'items'), {
      collection: 'items',
      road: 'delta',
      why: 'bytes',
    });
    assert.ok(!proxy.log.some(({ kind }) => kind === 'bundle'), 'no bundle was asked for');
    const { bytes } = proxy.totals();
    assert.ok(bytes < 16_384, `${bytes} bytes for 23 records`);
    assert.equal(seen.deltas.operations, 23);
    assert.ok(seen.deltas.bytes > 0 && seen.deltas.bytes < bytes);
    assert.ok(seen.deltas.bytesWritten > 0 && seen.layers === 1);
    assert.equal(seen.told.length, 1);
    const [change] = seen.told;
    assert.deepEqual([change.from, change.to, change.complete], [to - 1, to, true]);
    assert.deepEqual(change.added, [`new/${to}`]);
    assert.deepEqual(change.removed, [`key/${String(15_000 + to).padStart(7, '0')}`]);
    assert.equal(change.updated.length, 21);
    assert.ok(change.updated.includes(UPDATED));
    const allowed = [to - 1, to].map((version) => {
      return { state: 'present', version, text: versions[version].get(UPDATED) };
    });
    for (const answer of seen.read) assert.ok(allowed.some((a) => a.text === answer.text));
    assert.equal(seen.read.at(-1).text, textOf(to));
    assert.deepEqual(await readAll(page, 'dataset'), sorted(to));
    await end();
  });

  test('an event log is replayed in order, from where it was', async () => {
    const { page, end } = await openPage('events');
    const replay = (after, collection = 'events') =>
      page.evaluate(async ({ after, collection }) => {
        const view = await dataset.pin();
        const seen = [];
        try {
          for await (const event of view.events(collection, { after })) seen.push(event);
          return { seen };
        } catch ({ code }) {
          return { seen, code };
        } finally {
          view.release();
        }
      }, { after, collection });
    assert.deepEqual(await replay(0), { seen: EVENTS.records });
    assert.deepEqual(await replay(2), { seen: [] });
    EVENTS.records.push(event(3, 'revocation', { keys: [UNTOUCHED] }));
    await publishNext();
    await page.evaluate(() => dataset.sync());
    assert.deepEqual(await replay(2), { seen: EVENTS.records.slice(2) });
    assert.deepEqual(await replay(4), { seen: [], code: 'events/rolled-back' });
    assert.deepEqual(await replay(-1), { seen: [], code: 'misuse/after' });
    assert.deepEqual(await replay(0, 'items'), { seen: [], code: 'events/gap' });
    await end();
  });

  test('watch tells of a range alone, and nothing after it ended', async () => {
    const { page, end } = await openPage('watch');
    await page.evaluate(() => {
      window.seen = { new: [], none: [], ended: [] };
      const watch = (name, options) => dataset.watch('items', options, ({ added, updated }) => {
        window.seen[name].push([...added, ...updated].map(text));
      });
      watch('new', { prefix: 'new/' });
      watch('none', { start: 'key/0010001', end: 'key/0010800' });
      watch('ended', {})();
    });
    const to = await publishNext();
    const seen = await page.evaluate(() => dataset.sync().then(() => window.seen));
    assert.deepEqual(seen, { new: [[`new/${to}`]], none: [], ended: [] });
    await end();
  });

  test('a pin keeps its version while newer ones come, until it is released', async () => {
    const { page, end } = await openPage('pin');
    const at = versions.length - 1;
    await page.evaluate(async () => (window.view = await dataset.pin()));
    await publishNext();
    await page.evaluate(() => dataset.sync());
    const to = await publishNext();
    await page.evaluate(() => dataset.sync());
    const seen = await page.evaluate(async ({ key, added }) => ({
      version: view.version,
      old: plain(await view.get('items', key)),
      now: plain(await dataset.get('items', key)),
      many: (await view.getMany('items', [key, added])).map(plain),
      proof: await view.proof('items', key).then(({ version, value }) => [version, text(value)]),
      kept: (await dataset.status()).kept,
    }), { key: UPDATED, added: `new/${to}` });
    assert.equal(seen.version, at);
    assert.deepEqual(seen.old, { state: 'present', text: textOf(at), version: at });
    assert.deepEqual(seen.now, { state: 'present', text: textOf(to), version: to });
    assert.deepEqual(seen.many.map(({ state }) => state), ['present', 'absent']);
    assert.deepEqual(seen.proof, [at, textOf(at)]);
    assert.deepEqual(seen.kept, [at]);
    assert.deepEqual(await readAll(page, 'view'), sorted(at));
    assert.deepEqual(await readAll(page, 'dataset'), sorted(to));
    const released = await page.evaluate(async (key) => {
      const other = await dataset.pin();
      view.release();
      view.release();
      const gone = await failure(view.get('items', key));
      const range = await failure(view.range('items').next());
      const still = plain(await other.get('items', key));
      other.release();
      return { gone, range, still, kept: (await dataset.status()).kept };
    }, UPDATED);
    assert.equal(released.gone.code, 'misuse/released');
    assert.equal(released.range.code, 'misuse/released');
    assert.equal(released.still.version, to);
    assert.deepEqual(released.kept, []);
    await end();
  });

  test('rolls back to a kept version and forward again', async () => {
    const { page, end } = await openPage('back', { keep: 2 });
    const first = versions.length - 1;
    for (let step = 0; step < 3; step += 1) {
      await publishNext();
      await page.evaluate(() => dataset.sync());
    }
    const seen = await page.evaluate(async ({ to, gone }) => {
      told.length = 0;
      const before = (await dataset.status()).kept;
      const failed = await failure(dataset.rollBack(gone));
      const version = await dataset.rollBack(to);
      const { kept, version: serves } = await dataset.status();
      return { before, failed, version, serves, kept, told: [...told] };
    }, { to: first + 1, gone: first });
    assert.deepEqual(seen.before, [first + 2, first + 1]);
    assert.equal(seen.failed.code, 'read/version-gone');
    assert.deepEqual([seen.version, seen.serves], [first + 1, first + 1]);
    assert.deepEqual(seen.kept, [first + 3, first + 2]);
    assert.deepEqual(seen.told.map(({ from, to, complete }) => [from, to, complete]), [
      [first + 3, first + 1, false],
    ]);
    assert.deepEqual(await readAll(page, 'dataset'), sorted(first + 1));
    // What was gone back from does not come by itself; what is newer does.
    const stays = await page.evaluate(() => dataset.sync());
    assert.equal(stays.version, first + 1);
    await page.evaluate((to) => dataset.rollBack(to), first + 3);
    assert.deepEqual(await readAll(page, 'dataset'), sorted(first + 3));
    await page.evaluate((to) => dataset.rollBack(to), first + 2);
    await publishNext();
    const forward = await page.evaluate(() => dataset.sync());
    assert.equal(forward.version, first + 4);
    assert.deepEqual(await readAll(page, 'dataset'), sorted(first + 4));
    await end();
    // What was kept is kept over a restart, too.
    const again = await openPage('back', { keep: 2 });
    await again.page.evaluate((to) => dataset.rollBack(to), first + 2);
    assert.deepEqual(await readAll(again.page, 'dataset'), sorted(first + 2));
    await again.end();
  });

  test('a pin outlives what another tab commits, where both keep versions', async () => {
    const one = await openPage('tabs', { keep: 2 });
    const at = versions.length - 1;
    await one.page.evaluate(async () => (window.view = await dataset.pin()));
    const two = await openPage('tabs', { keep: 2 });
    const to = await publishNext();
    await two.page.evaluate(() => dataset.sync());
    assert.deepEqual(await readAll(one.page, 'view'), sorted(at));
    await one.page.evaluate(() => dataset.sync());
    assert.deepEqual(await readAll(one.page, 'view'), sorted(at));
    assert.deepEqual(await readAll(one.page, 'dataset'), sorted(to));
    await one.end();
    await two.end();
  });

  test('refuses what cannot be', async () => {
    const { page } = await world.page();
    const codes = await page.evaluate(async ({ url, key }) => {
      const { dataset } = await client([url], { database: 'none' });
      const nothing = await failure(dataset.pin());
      const nowhere = await failure(dataset.rollBack(1));
      const fresh = plain(await dataset.get('items', key)).state;
      const keep = await failure(client([url], { keep: 17 }));
      const range = (() => {
        try {
          dataset.watch('items', { prefix: 'a', end: 'b' }, () => {});
        } catch ({ code }) {
          return code;
        }
      })();
      await dataset.close();
      return [nothing.code, nowhere.code, fresh, keep.code, range];
    }, { url: proxy.url, key: UNTOUCHED });
    assert.deepEqual(codes, [
      'read/no-version', 'read/version-gone', 'present', 'misuse/keep', 'misuse/range',
    ]);
    await page.close();
  });
});
