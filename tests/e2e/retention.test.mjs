// Retention on workerd: what nothing needs goes, step by step and not before its time; what
// something needs stays, also while releases and collections run at the same time.

import assert from 'node:assert/strict';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { records } from '../harness/client.mjs';
import { startEdge } from '../harness/edge.mjs';
import { makeProject } from '../harness/project.mjs';
import { publishKey } from '../harness/signer.mjs';

const KEY = publishKey('a key of the retention tests');
const later = (ms) => new Promise((done) => setTimeout(done, ms));
/** Grace, move and removal, in seconds: as short as the edge takes them. */
const RULES = '4/1/1';

let edge;
before(async () => {
  edge = await startEdge({ publishKeys: KEY.entry(), bindings: { KEEP_RULES: RULES } });
});
after(() => edge.close());

async function project(t, dataset, { keepVersions }) {
  const collections = [{ name: 'items', priority: 1, records: [] }];
  const made = await makeProject({ dataset, edge: edge.url, by: KEY, collections });
  t.after(() => made.remove());
  const policy = `\n[policy]\nkeep_versions = ${keepVersions}\nkeep_days = 0\n`;
  await appendFile(join(made.dir, 'packice.toml'), policy);
  return {
    ...made,
    /** Publishes the records of a seed. */
    async release(seed, count = 300) {
      collections[0].records = records(count, 80, seed);
      return JSON.parse(await made.publish());
    },
    gc: async (...args) => JSON.parse(await made.packice('gc', '--json', ...args)),
    verify: () => made.packice('verify', '--clean', '--json'),
    objects: () => listed(dataset),
  };
}

/** The objects that the bucket holds of a data set. */
async function listed(dataset) {
  const bucket = await edge.miniflare.getR2Bucket('OBJECTS', 'packice-edge');
  const found = [];
  for (let cursor; ;) {
    const page = await bucket.list({ prefix: `${dataset}/`, cursor });
    found.push(...page.objects.map(({ key }) => key.slice(dataset.length + 1)));
    if (!page.truncated) break;
    cursor = page.cursor;
  }
  const other = /^(bootstrap|log|trust-root)\//;
  return found.filter((key) => !other.test(key)).sort();
}

test('what no version needs goes in time, and comes back with a release', async (t) => {
  const own = await project(t, 'collected', { keepVersions: 1 });
  await own.release(1);
  const first = await own.objects();
  await own.release(2);
  const both = await own.objects();
  const dry = await own.gc('--dry-run');
  assert.equal(dry.objects, both.length);
  assert.equal(dry.unneeded, 1, 'the manifest alone: what it leads to outlives it');
  assert.equal(dry.removed, 0);
  assert.deepEqual(await own.objects(), both, 'a dry run changes nothing');
  const rounds = [];
  for (let round = 0; round < 5; round++) {
    await later(round === 0 ? 1500 : 4500);
    rounds.push(await own.gc());
  }
  assert.deepEqual(rounds.map(({ removed }) => removed > 0), [false, true, false, true, false]);
  const left = await own.objects();
  assert.ok(first.every((key) => !left.includes(key)), 'nothing of the first version is left');
  await own.verify();
  // The same records again: their objects are gone, and are uploaded anew.
  await own.release(1);
  await own.verify();
});

test('versions that are promised stay', async (t) => {
  const own = await project(t, 'promised', { keepVersions: 2 });
  for (const seed of [1, 2, 3]) await own.release(seed);
  const before = await own.objects();
  await later(1500);
  const found = await own.gc('--dry-run');
  assert.equal(found.unneeded, 1, 'of three versions the oldest');
  assert.deepEqual(await own.objects(), before);
});

test('collections and releases at the same time lose nothing', async (t) => {
  const own = await project(t, 'raced', { keepVersions: 1 });
  await own.release(1);
  let running = true;
  let collections = 0;
  let refused = 0;
  const collector = (async () => {
    while (running) {
      try {
        await own.gc();
        collections += 1;
      } catch (error) {
        // A release was under way: nothing was changed.
        assert.match(String(error.stdout ?? '') + String(error.stderr ?? ''), /409|release/);
        refused += 1;
      }
      await later(300);
    }
  })();
  for (let round = 0; round < 5; round++) {
    // Each content comes back after what only it needs was condemned, or removed.
    await own.release(1 + (round % 3), 120);
    await own.verify();
    await later(round % 2 === 0 ? 2500 : 5000);
  }
  running = false;
  await collector;
  await own.verify();
  assert.ok(collections > 0 && refused >= 0, `${collections} collections, ${refused} refused`);
});
