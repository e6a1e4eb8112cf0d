// Chromium killed at random moments while three tabs of one database bring a new version, a delta
// is applied, the version takes over, and the old one is collected: SIGKILL to all its processes;
// in every third life the tab that leads is closed first, so that another one takes over. What the
// same profile holds afterwards is exactly the old version or the new one, record by record, under
// the publisher's root. After each life a newer version is out, so layers pile up, and are merged,
// from one life to the next.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { records, startRandom } from '../harness/client.mjs';
import { startEdge } from '../harness/edge.mjs';
import { startKillable } from '../harness/killable.mjs';
import { makeProject, NPM } from '../harness/project.mjs';
import { startProxy } from '../harness/proxy.mjs';
import { publishKey } from '../harness/signer.mjs';
import { startStatic } from '../harness/static.mjs';

const KEY = publishKey('a key of the kill-change test');
const DATASET = 'kill-change';
const KILLS = Number(process.env.PACKICE_KILLS ?? 12);
const TABS = 3;
const SEED = 20261125;
const NOWHERE = 'http://127.0.0.1:9';
const PAGE = '<!doctype html><title>kill</title><link rel="icon" href="data:,">';

const random = startRandom(SEED);
const below = (count) => Math.floor(random() * count);
/** Of each version, from 1: the publisher's root, and the digest of all records. */
const versions = [null];
const world = {};
const closers = [];

before(async () => {
  const edge = await startEdge({ publishKeys: KEY.entry() });
  closers.push(() => edge.close());
  const items = { name: 'items', priority: 1, lazy: true, records: records(8000, 200) };
  items.settings = { dictionary: 'none', leaf_target: '4 KiB', frame_target: '64 KiB' };
  world.items = items;
  const deltas = { depth: 2 };
  const given = { dataset: DATASET, edge: edge.url, by: KEY, collections: [items], deltas };
  world.project = await makeProject(given);
  closers.push(() => world.project.remove());
  world.proxy = await startProxy({ target: edge.url });
  closers.push(() => world.proxy.close());
  world.site = await startStatic({
    mounts: { '/packice/': NPM },
    pages: { '/': { type: 'text/html', body: PAGE } },
  });
  closers.push(() => world.site.close());
  world.profile = await mkdtemp(join(tmpdir(), 'packice-kill-change-'));
  closers.push(() => rm(world.profile, { recursive: true, force: true, maxRetries: 5 }));
  await publish();
});
after(async () => {
  for (const close of closers.reverse()) await close();
});

/** Publishes what the records are now, as the next version. */
async function publish() {
  const { build } = JSON.parse(await world.project.build());
  await world.project.packice('publish', '--json');
  const hash = createHash('sha256');
  for (const [key, value] of world.items.records) hash.update(`${key}\0${value}\n`);
  versions.push({ root: build.collections[0].root, digest: hash.digest('hex') });
}

/** Changes one record in twenty, adds and removes some, and publishes that. */
async function publishNext() {
  const all = new Map(world.items.records);
  const keys = [...all.keys()];
  const pick = () => keys[below(keys.length)];
  for (let at = 0; at < 400; at += 1) all.set(pick(), `${random()} ${random()} ${random()}`);
  for (let at = 0; at < 20; at += 1) {
    all.delete(pick());
    all.set(`${pick()}/${below(1e6)}`, `new ${random()}`);
  }
  world.items.records = [...all].sort(([a], [b]) => (a < b ? -1 : 1));
  await publish();
}

/** A life of the browser: pages that have the package. */
async function start() {
  const chromium = await startKillable(world.profile);
  try {
    const pages = [];
    while (pages.length < TABS) {
      const page = await chromium.context.newPage();
      await page.goto(`${world.site.url}/`);
      await page.evaluate(prepare, { dataset: DATASET, trust: world.project.trust });
      pages.push(page);
    }
    return { page: pages[0], pages, kill: () => chromium.kill() };
  } catch (error) {
    await chromium.kill();
    throw error;
  }
}

/** Runs in the page. */
async function prepare(given) {
  const { open } = await import('/packice/index.js');
  window.openAt = (url) => open({ ...given, sources: [url], keep: 1 });
  /** Which version a reader has, and the digest of all its records. */
  window.digestOf = async (reader) => {
    const parts = [];
    for await (const { key, value } of reader.range('items')) {
      parts.push(key, Uint8Array.of(0), value, Uint8Array.of(10));
    }
    const bytes = await new Blob(parts).arrayBuffer();
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
  };
  /** All that is held: nothing can be fetched. */
  window.held = async (url) => {
    const dataset = await window.openAt(url);
    const { version, stored, kept, collections } = await dataset.status();
    const [digest, root] = [await window.digestOf(dataset), collections[0]?.root];
    const older = [];
    for (const before of kept) {
      await dataset.rollBack(before);
      older.push({ version: before, digest: await window.digestOf(dataset) });
    }
    if (older.length > 0) await dataset.rollBack(version);
    await dataset.close();
    return { version, stored, digest, root, older };
  };
}

/** What a profile holds is one whole version, and so is what it keeps. */
async function check(page) {
  const held = await page.evaluate((url) => window.held(url), NOWHERE);
  const { root, digest } = versions[held.version];
  assert.deepEqual([held.root, held.digest], [root, digest], `version ${held.version}`);
  assert.equal(held.stored, true);
  for (const { version, digest } of held.older) {
    assert.equal(digest, versions[version].digest, `version ${version}, kept`);
  }
  return held.version;
}

const title = `${TABS} tabs survive ${KILLS} kills while a delta is applied and swapped in`;
test(title, async (t) => {
  let life = await start();
  try {
    await life.page.evaluate(async (url) => {
      const dataset = await window.openAt(url);
      await dataset.sync();
      await dataset.close();
    }, world.proxy.url);
    let version = await check(life.page);
    // About what a sync takes: longer after a kill that came before the swap, shorter after one
    // that came behind it, so that kills come close to it.
    let span = 400;
    const moments = [];
    const seen = { old: 0, new: 0 };
    for (let at = 0; at < KILLS; at += 1) {
      await publishNext();
      // One leads, the others ask it.
      for (const page of life.pages) {
        await page.evaluate(async (url) => {
          const dataset = await window.openAt(url);
          dataset.sync().catch(() => {});
        }, world.proxy.url);
      }
      const moment = below(2 * span);
      const closing = at % 3 === 2 ? below(moment + 1) : moment;
      await new Promise((ok) => setTimeout(ok, closing));
      if (closing < moment) await life.page.close();
      await new Promise((ok) => setTimeout(ok, moment - closing));
      await life.kill();
      life = await start();
      const now = await check(life.page);
      // A sync goes on with the version that the one before was killed at, then to the newest.
      assert.ok(now >= version, `${version}, then ${now}`);
      const kind = now === version ? 'old' : 'new';
      seen[kind] += 1;
      span *= kind === 'old' ? 1.3 : 0.8;
      moments.push(`${moment} ms: ${now}`);
      version = now;
    }
    t.diagnostic(`seed ${SEED}, killed at, and held then: ${moments.join(', ')}`);
    assert.ok(seen.old > 1 && seen.new > 1, `kills on one side of the swap: ${moments}`);
    // To the end: all of it by deltas, and back.
    const end = await life.page.evaluate(async (url) => {
      const dataset = await window.openAt(url);
      const { version } = await dataset.sync();
      const { deltas, collections } = await dataset.status();
      await dataset.close();
      return { version, deltas, layers: collections[0].layers };
    }, world.proxy.url);
    t.diagnostic(`at the end: ${JSON.stringify(end)}`);
    assert.equal(end.version, versions.length - 1);
    assert.equal(await check(life.page), end.version);
    const bundles = world.proxy.log.filter(({ kind }) => kind === 'bundle');
    t.diagnostic(`${bundles.length} requests for bundles, of ${world.proxy.log.length} in all`);
  } finally {
    await life.kill();
  }
});
