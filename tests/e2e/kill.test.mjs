// Chromium killed at random moments of a sync: SIGKILL to all of its processes, and the same
// profile opened again. It goes on with what is stored, fetches none of it again, ends with the
// publisher's root, and no read before or after is wrong.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { records, startRandom } from '../harness/client.mjs';
import { startEdge } from '../harness/edge.mjs';
import { startKillable } from '../harness/killable.mjs';
import { makeProject, NPM } from '../harness/project.mjs';
import { startProxy } from '../harness/proxy.mjs';
import { startStatic } from '../harness/static.mjs';
import { publishKey } from '../harness/signer.mjs';

const HARNESS = join(dirname(fileURLToPath(import.meta.url)), '../harness');
const KEY = publishKey('a key of the kill test');
const DATASET = 'kill';
const KILLS = Number(process.env.PACKICE_KILLS ?? 12);
const SEED = 20261124;
/** About 11 MB on the wire, in about 12 bundles. */
const RECORDS = records(20_000, 1000);
const SOURCE = new Map(RECORDS);
/** Each bundle is held back for so long: a whole sync takes about a second. */
const BUNDLE_MS = 400;
/** A kill comes so long after the sync began, at most. */
const MOMENT_MS = 900;
const PAGE = '<!doctype html><title>kill</title><link rel="icon" href="data:,">';

const world = {};
const closers = [];
before(async () => {
  const edge = await startEdge({ publishKeys: KEY.entry() });
  closers.push(() => edge.close());
  const items = { name: 'items', priority: 1, lazy: true, records: RECORDS };
  items.settings = { dictionary: 'none' };
  const given = { dataset: DATASET, edge: edge.url, by: KEY, collections: [items] };
  world.project = await makeProject(given);
  closers.push(() => world.project.remove());
  const { build } = JSON.parse(await world.project.build());
  world.root = build.collections[0].root;
  await world.project.packice('publish', '--json');
  world.proxy = await startProxy({ target: edge.url });
  closers.push(() => world.proxy.close());
  world.proxy.setRules([{ kind: 'bundle', action: 'delay', ms: BUNDLE_MS }]);
  world.site = await startStatic({
    mounts: { '/packice/': NPM, '/harness/': HARNESS },
    pages: { '/': { type: 'text/html', body: PAGE } },
  });
  closers.push(() => world.site.close());
  world.profile = await mkdtemp(join(tmpdir(), 'packice-kill-'));
  closers.push(() => rm(world.profile, { recursive: true, force: true, maxRetries: 5 }));
});
after(async () => {
  for (const close of closers.reverse()) await close();
});

/** What the reads answered: `wrong` stays empty. */
const reads = { right: 0, unknown: 0, wrong: [] };
/** How often the browser refused to open a database that a killed one left. */
let refusals = 0;

function judge([key, state, text]) {
  if (state === 'unknown') reads.unknown += 1;
  else if (state === (SOURCE.has(key) ? 'present' : 'absent') && text === (SOURCE.get(key) ?? null))
    reads.right += 1;
  else reads.wrong.push([key, state, text?.slice(0, 40)]);
}

/** One life of the browser: the rows found, then a sync with reads beside it. */
async function live(random) {
  const chromium = await startKillable(world.profile);
  try {
    const page = await chromium.context.newPage();
    await page.exposeFunction('judge', judge);
    await page.goto(`${world.site.url}/`);
    const { found, refused } = await page.evaluate(async (name) => {
      const { keys } = await import('/harness/database.mjs');
      // What a killed browser left of its store may be refused at first, and opens after that.
      for (let refused = 0; ; refused += 1) {
        try {
          return { found: await keys(name), refused };
        } catch (error) {
          if (error.name !== 'UnknownError' || refused === 4) throw error;
          await new Promise((ok) => setTimeout(ok, 200));
        }
      }
    }, `packice/${DATASET}`);
    refusals += refused;
    const stored = new Set(found.filter((key) => key.startsWith('bundle/')));
    world.proxy.reset();
    const { url } = world.proxy;
    const given = { dataset: DATASET, sources: [url], trust: world.project.trust };
    const asked = Array.from({ length: 200 }, () => {
      const [key] = RECORDS[Math.floor(random() * RECORDS.length)];
      return random() < 0.8 ? key : `${key}x`;
    });
    await page.evaluate(begin, { given, asked });
    return { page, stored, kill: () => chromium.kill() };
  } catch (error) {
    await chromium.kill();
    throw error;
  }
}

/** Runs in the page: begins a sync, and reads one key after the other until told to stop. */
async function begin({ given, asked }) {
  const { open } = await import('/packice/index.js');
  const decode = new TextDecoder();
  const dataset = await open(given);
  window.dataset = dataset;
  window.synced = dataset.sync();
  window.synced.catch(() => {});
  window.read = async (key) => {
    const { state, value } = await dataset.get('items', key);
    await window.judge([key, state, value ? decode.decode(value) : null]);
  };
  window.stopped = false;
  window.reading = (async () => {
    for (let at = 0; !window.stopped; at += 1) {
      await window.read(asked[at % asked.length]);
      await new Promise((ok) => setTimeout(ok, 20));
    }
  })();
}

/** Runs in the page: waits for the sync's end, reads all that was asked for once more. */
async function finish(asked) {
  const report = await window.synced;
  window.stopped = true;
  await window.reading;
  for (const key of asked) await window.read(key);
  const { stored, collections } = await window.dataset.status();
  await window.dataset.close();
  return { report, stored, root: collections[0].root };
}

/** No bundle whose row was found is asked for again, whole or in part. */
function checkFetched(stored, moment) {
  const asked = world.proxy.log.filter(({ kind }) => kind === 'bundle');
  const again = asked.map(({ path }) => `bundle/${path.split('/').at(-1)}`);
  assert.deepEqual(again.filter((key) => stored.has(key)), [], `fetched again, ${moment}`);
}

async function complete(life, random) {
  const asked = Array.from({ length: 50 }, () => RECORDS[Math.floor(random() * RECORDS.length)][0]);
  const { report, stored, root } = await life.page.evaluate(finish, asked);
  assert.equal(root, world.root);
  assert.equal(stored, true);
  assert.equal(report.version, 1);
}

test(`a sync survives ${KILLS} kills at random moments`, async (t) => {
  const random = startRandom(SEED);
  const moments = [];
  let completed = 0;
  let resumed = 0;
  for (let at = 0; at < KILLS; at += 1) {
    const moment = Math.floor(random() * MOMENT_MS);
    const life = await live(random);
    await new Promise((ok) => setTimeout(ok, moment));
    await life.kill();
    moments.push(`${moment} ms (${life.stored.size} stored)`);
    checkFetched(life.stored, `kill ${at + 1} after ${moment} ms`);
    resumed += life.stored.size > 0 ? 1 : 0;
    if (at % 5 !== 4) continue;
    // To the end, and from nothing again.
    const last = await live(random);
    try {
      await complete(last, random);
      checkFetched(last.stored, 'in the life that ended well');
      completed += 1;
      await last.page.evaluate(async (dataset) => {
        const { destroy } = await import('/packice/index.js');
        await destroy({ dataset });
      }, DATASET);
    } finally {
      await last.kill();
    }
  }
  t.diagnostic(`seed ${SEED}, killed at: ${moments.join(', ')}`);
  t.diagnostic(`${resumed} lives found rows, ${completed} syncs ended`);
  t.diagnostic(`${reads.right} reads right, ${reads.unknown} unknown`);
  t.diagnostic(`${refusals} openings of the database were refused at first`);
  assert.deepEqual(reads.wrong, []);
  assert.ok(reads.right > 5 * KILLS, `${reads.right} reads are too few to say anything`);
  assert.ok(resumed >= KILLS / 5, `only ${resumed} lives found rows of the one before`);
});
