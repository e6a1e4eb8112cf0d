// A source that lies, in Chromium: each kind of object, flipped, truncated, extended, swapped for
// another and replaced. Nothing unverified is stored or returned, the source is named, and with
// an honest source beside it the sync completes.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { records, startWorld } from '../harness/client.mjs';
import { startProxy } from '../harness/proxy.mjs';
import { startStripped } from '../harness/stripped.mjs';

const COLLECTIONS = [
  { name: 'alerts', priority: 0, records: records(100, 40, 1) },
  { name: 'items', priority: 1, lazy: true, records: records(20_000, 150, 2) },
  { name: 'more', priority: 2, lazy: true, records: records(20_000, 150, 3) },
];
const KINDS = ['bootstrap', 'manifest', 'layout', 'dictionary', 'bundle'];
const ACTIONS = ['flip', 'truncate', 'extend', 'swap', 'garbage'];
const BLAME = /^(peer|trust|format)\//;
const [KEY, VALUE] = COLLECTIONS[1].records[12_345];

describe('attacks on the client in Chromium', { concurrency: false }, () => {
  let world;
  let honest;
  let far;
  let hostile;
  let page;
  let roots;
  let fetched;
  let databases = 0;

  before(async () => {
    world = await startWorld({ dataset: 'attacked', collections: COLLECTIONS });
    honest = await startStripped({ target: world.edge.url });
    hostile = await startProxy({ target: honest.url });
    // Further away, so that each object is asked of the hostile one first.
    far = await startProxy({ target: honest.url });
    far.setRules([{ kind: '*', action: 'delay', ms: 70 }]);
    world.later(() => hostile.close());
    world.later(() => far.close());
    world.later(() => honest.close());
    ({ page } = await world.page());
    const clean = await run([hostile]);
    assert.equal(clean.failure, null);
    roots = clean.roots;
    fetched = hostile.log.map(({ path }) => path);
  });
  after(() => world?.close());

  /** A sync in a fresh database over some sources: how it ended, who was blamed, what is kept. */
  function run(sources, patience = 60_000) {
    const given = sources.map(({ url }) => ({ url, name: url === hostile.url ? 'bad' : 'good' }));
    return page.evaluate(async ({ sources, database, key, patience }) => {
      const { dataset, faults } = await client(sources, { database });
      const ended = await failure(dataset.sync({ signal: AbortSignal.timeout(patience) }));
      const { stored, collections } = await dataset.status();
      const answer = await dataset.get('items', key, { signal: AbortSignal.timeout(patience) })
        .then(plain, ({ code }) => ({ state: code }));
      await dataset.close();
      const roots = collections.map(({ name, root }) => `${name} ${root}`);
      return { failure: ended, stored, roots, faults, answer, ...await audit(database) };
    }, { sources: given, database: `attack-${databases += 1}`, key: KEY, patience });
  }

  /** What to put in an object's place: another of its kind, or of another where it is alone. */
  function stranger(kind) {
    const named = [...new Set(fetched.filter((path) => !path.includes('/bootstrap/')))];
    const same = named.filter((path) => path.includes(`/${kind}/`));
    return same.length > 1 ? same.at(-1) : named.find((path) => !path.includes(`/${kind}/`));
  }

  function rule(kind, action) {
    // The middle of a bootstrap is a trust root that the client has already, and does not read.
    const at = kind === 'bootstrap' ? 60 : undefined;
    return { kind, action, at, ...(action === 'swap' && { with: stranger(kind) }) };
  }

  test('the attacked objects are all fetched by name', () => {
    for (const kind of KINDS) {
      assert.ok(fetched.some((path) => path.includes(`/${kind}/`)), `no ${kind} was fetched`);
    }
  });

  for (const kind of KINDS) {
    for (const action of ACTIONS) {
      test(`${action} every ${kind}: blamed, and completed from the honest source`, async () => {
        hostile.setRules([rule(kind, action)]);
        hostile.reset();
        const both = await run([hostile, far]);
        const struck = hostile.log.filter((entry) => entry.struck);
        assert.ok(struck.length > 0, 'the hostile source was not asked');
        assert.equal(both.failure, null);
        assert.equal(both.stored, true);
        assert.deepEqual(both.roots, roots);
        assert.deepEqual(both.bad, []);
        assert.equal(both.answer.text, VALUE);
        const blamed = both.faults.filter(({ object }) => object.startsWith(`${kind}/`));
        assert.ok(blamed.length > 0, 'nobody was blamed');
        for (const { source, code, detail } of both.faults) {
          assert.equal(source, 'bad');
          assert.match(code, BLAME);
          assert.ok(detail.length > 0);
        }

        // A body that is too short is what broken connections make, too: it is tried again with
        // growing patience, longer than this test's.
        const alone = await run([hostile], 1500);
        const { code } = alone.failure;
        assert.ok(BLAME.test(code) || code === 'misuse/aborted', code);
        assert.equal(alone.stored, false);
        assert.deepEqual(alone.bad, []);
        assert.ok(alone.faults.some(({ source }) => source === 'bad'));
        assert.ok(alone.answer.state !== 'absent');
        assert.ok(alone.answer.state !== 'present' || alone.answer.text === VALUE);
      });
    }
  }

  for (const action of ACTIONS) {
    test(`${action} the frame of a lazy read: blamed, and answered by the honest source`,
      async () => {
        hostile.setRules([{ ...rule('bundle', action), times: 1 }]);
        hostile.reset();
        const sources = [{ url: hostile.url, name: 'bad' }, { url: honest.url, name: 'good' }];
        const read = await page.evaluate(async ({ sources, database, key }) => {
          const { dataset, faults } = await client(sources, { database });
          const answer = plain(await dataset.get('items', key));
          await dataset.close();
          return { answer, faults, ...await audit(database) };
        }, { sources, database: `lazy-${action}`, key: KEY });
        assert.ok(hostile.log.some(({ struck }) => struck), 'the hostile source was not asked');
        assert.equal(read.answer.text, VALUE);
        assert.deepEqual(read.bad, []);
        assert.ok(read.faults.some(({ source, code }) => source === 'bad' && BLAME.test(code)));
      });
  }

  for (const action of ['status', 'reset', 'cut', 'html', 'empty']) {
    test(`a source that fails by ${action} does not stop the sync`, async () => {
      hostile.setRules([{ kind: '*', action, after: 1 }]);
      hostile.reset();
      const both = await run([hostile, far]);
      assert.equal(both.failure, null);
      assert.equal(both.stored, true);
      assert.deepEqual(both.roots, roots);
      assert.deepEqual(both.bad, []);
      assert.ok(both.faults.every(({ source }) => source === 'bad'));
    });
  }

  describe('of an update', { concurrency: false }, () => {
    const cases = ['checkpoint', 'log'].flatMap((kind) => ACTIONS.map((action) => [kind, action]));
    const NEWER = `${VALUE} and newer`;

    /** A sync of a database that holds the first version. */
    function update(sources, database) {
      const given = sources.map(({ url }) => ({ url, name: url === hostile.url ? 'bad' : 'good' }));
      return page.evaluate(async ({ sources, database, key }) => {
        const { dataset, faults } = await client(sources, { database });
        const before = plain(await dataset.get('items', key));
        const report = await dataset.sync();
        const answer = plain(await dataset.get('items', key));
        await dataset.close();
        return { before, report, answer, faults, ...await audit(database) };
      }, { sources: given, database, key: KEY });
    }

    before(async () => {
      for (const name of ['clean', ...cases.map((of) => of.join('-'))]) {
        await page.evaluate(async ({ url, database }) => {
          const { dataset } = await client([url], { database });
          await dataset.sync();
          await dataset.close();
        }, { url: honest.url, database: `update-${name}` });
      }
      // Two versions on: from one entry to three, the log's growth cannot be seen without tiles.
      for (const text of [`${VALUE} and new`, NEWER]) {
        COLLECTIONS[1].records[12_345] = [KEY, text];
        await world.project.publish();
      }
      hostile.setRules([]);
      hostile.reset();
      const clean = await update([hostile], 'update-clean');
      assert.equal(clean.answer.text, NEWER);
      fetched.push(...hostile.log.map(({ path }) => path));
    });

    for (const [kind, action] of cases) {
      test(`${action} every ${kind}: the update comes from the honest source`, async () => {
        hostile.setRules([rule(kind, action)]);
        hostile.reset();
        const after = await update([hostile, honest], `update-${kind}-${action}`);
        assert.ok(hostile.log.some(({ struck }) => struck), 'the hostile source was not asked');
        assert.deepEqual(after.before, { state: 'present', text: VALUE, version: 1 });
        assert.deepEqual(after.answer, { state: 'present', text: NEWER, version: 3 });
        assert.equal(after.report.changed, true);
        assert.deepEqual(after.bad, []);
        for (const { source, code } of after.faults) {
          assert.equal(source, 'bad');
          assert.match(code, BLAME);
        }
        assert.ok(kind === 'checkpoint' || after.faults.length > 0, 'nobody was blamed');
      });
    }
  });
});
