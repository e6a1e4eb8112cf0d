// `packice export`: a folder that a plain static host serves is a source as good as the edge, for
// the native client and in Chromium; and what must not become visible when copying breaks off.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { records, startWorld } from '../harness/client.mjs';
import { PACKICE } from '../harness/project.mjs';
import { startProxy } from '../harness/proxy.mjs';
import { startStatic } from '../harness/static.mjs';
import { strip } from '../harness/stripped.mjs';

const DATASET = 'export-test';
const ITEMS = records(12_000, 150, 5);
const COLLECTIONS = [
  { name: 'alerts', priority: 0, records: records(50, 40, 4) },
  { name: 'items', priority: 1, lazy: true, records: ITEMS, settings: { dictionary: '16 KiB' } },
];
const TOTAL = COLLECTIONS.reduce((sum, { records }) => sum + records.length, 0);
/** What _headers says of CORS, as a host sends it. */
const CORS = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers': 'ETag, Content-Range, Content-Length, Accept-Ranges',
};

let world;
let proxy;
before(async () => {
  world = await startWorld({ dataset: DATASET, collections: COLLECTIONS });
  proxy = await startProxy({ target: world.edge.url });
  world.later(() => proxy.close());
});
after(() => world?.close());

async function temporary(t) {
  const dir = await mkdtemp(join(tmpdir(), 'packice-export-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Runs a verb of a client that has nothing but the trust root. */
function packice(dir, ...args) {
  const trust = ['--trust', join(world.project.dir, 'trust/1.bin'), '--json'];
  return new Promise((done) => {
    const options = { cwd: dir, maxBuffer: 1 << 26, timeout: 60_000 };
    execFile(PACKICE, [...args, ...trust], options, (error, stdout, stderr) => {
      done({ code: error ? error.code : 0, stdout, stderr });
    });
  });
}

async function json(dir, ...args) {
  const { code, stdout, stderr } = await packice(dir, ...args);
  assert.equal(code, 0, `packice ${args.join(' ')}: ${stderr}`);
  return JSON.parse(stdout);
}

const exportFrom = (dir, source, ...args) =>
  json(dir, 'export', 'out', '--source', source, ...args);

/** Serves an exported folder as a host does; `close` is left to the test's end. */
async function host(t, dir) {
  const server = await startStatic({ mounts: { '/': join(dir, 'out') }, headers: CORS });
  t.after(() => server.close());
  return server;
}

/** The files of an exported folder by path, with their bytes. */
async function files(dir) {
  const root = join(dir, 'out/v1', DATASET);
  const found = new Map();
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    found.set(path.slice(root.length + 1), await readFile(path));
  }
  return found;
}

test('a static host serves an exported folder to the native client and to Chromium', async (t) => {
  proxy.setRules([]);
  const dir = await temporary(t);
  const done = await exportFrom(dir, proxy.url);
  assert.equal(done.moved, true);
  assert.equal(done.objects_added, done.objects);
  assert.equal(done.objects_fetched, done.objects);
  const exported = await files(dir);
  assert.ok(exported.get('head/stable').length < exported.get('bootstrap/stable').length);
  assert.deepEqual(strip(exported.get('head/stable')), strip(exported.get('bootstrap/stable')));
  const again = await exportFrom(dir, proxy.url);
  assert.deepEqual([again.moved, again.objects_added, again.files_removed], [false, 0, 0]);

  const server = await host(t, dir);
  const cold = ['get', 'items', ITEMS[777][0], '--store', 'lazy'];
  const lazy = await packice(dir, ...cold, '--source', server.url);
  assert.match(lazy.stdout, new RegExp(ITEMS[777][1].slice(0, 30)));
  const synced = await json(dir, 'sync', '--source', server.url);
  assert.deepEqual([synced.version, synced.records, synced.faults], [1, TOTAL, []]);
  assert.equal((await json(dir, 'verify')).records, TOTAL);

  const { page, errors } = await world.page();
  const seen = await page.evaluate(async ({ url, key }) => {
    const { dataset, faults } = await client([url], { database: 'exported' });
    const cold = plain(await dataset.get('items', key));
    const report = await dataset.sync();
    let count = 0;
    for (const name of ['alerts', 'items']) for await (const _ of dataset.range(name)) count += 1;
    await dataset.close();
    return { cold, version: report.version, count, faults };
  }, { url: server.url, key: ITEMS[4321][0] });
  await page.close();
  assert.deepEqual(errors.filter((text) => !text.startsWith('Failed to load')), []);
  assert.deepEqual(seen.cold, { state: 'present', text: ITEMS[4321][1], version: 1 });
  assert.deepEqual([seen.version, seen.count, seen.faults], [1, TOTAL, []]);
});

test('a copy that breaks off serves nothing new, and goes on where it was', async (t) => {
  const dir = await temporary(t);
  proxy.setRules([{ kind: 'bundle', action: 'status', status: 404, after: 1 }]);
  const broken = await packice(dir, 'export', 'out', '--source', proxy.url);
  assert.equal(broken.code, 5, broken.stderr);
  assert.match(broken.stderr, /bundle\/[0-9a-f]{64} does not exist, and is signed/);
  const before = await files(dir);
  const pointers = /^(bootstrap|head|checkpoint|log)/;
  const visible = [...before.keys()].filter((path) => pointers.test(path));
  assert.deepEqual(visible, []);
  assert.ok([...before.keys()].some((path) => path.startsWith('bundle/')));

  proxy.setRules([]);
  const done = await exportFrom(dir, proxy.url);
  assert.equal(done.objects_fetched + before.size, done.objects, 'what was there is not fetched');
  const synced = await json(dir, 'sync', '--source', (await host(t, dir)).url);
  assert.equal(synced.records, TOTAL);
});

test('nothing that is not signed is copied, and who served it is named', async (t) => {
  const cases = [
    ['bundle', 'flip', 4, /bundle\/[0-9a-f]{64}: not the bytes that are signed/],
    ['bundle', 'html', 4, /an HTML page stands in its place/],
    ['bootstrap', 'html', 4, /bootstrap\/stable does not hold: an HTML page stands in its place/],
    ['layout', 'truncate', 4, /layout\/[0-9a-f]{64}: not the bytes/],
    ['manifest', 'garbage', 4, /manifest\/[0-9a-f]{64}: not the bytes/],
    ['log', 'flip', 4, /log\/tile\//],
  ];
  for (const [kind, action, code, says] of cases) {
    const dir = await temporary(t);
    proxy.setRules([{ kind, action }]);
    const lied = await packice(dir, 'export', 'out', '--source', proxy.url);
    assert.equal(lied.code, code, `${kind} ${action}: ${lied.stderr}`);
    assert.match(lied.stderr, says);
    assert.match(lied.stderr, /"next": "/);
    assert.equal((await files(dir)).has('bootstrap/stable'), false);
    // Beside an honest source the liar is named, and nothing of it stays.
    const done = await exportFrom(dir, proxy.url, '--source', world.edge.url);
    assert.ok(done.faults.length > 0 && done.faults.every((fault) => fault.startsWith(proxy.url)));
    assert.equal(done.moved, true);
  }
});

test('a host that shows people a page for missing files is named by the client', async (t) => {
  const page = { type: 'text/html', body: '<!doctype html><title>home</title>' };
  const paths = ['bootstrap/stable', 'checkpoint'].map((path) => `/v1/${DATASET}/${path}`);
  const pages = Object.fromEntries(paths.map((path) => [path, page]));
  const server = await startStatic({ pages });
  t.after(() => server.close());
  const ended = await packice(await temporary(t), 'sync', '--source', server.url);
  assert.equal(ended.code, 4, ended.stderr);
  const { error } = JSON.parse(ended.stderr);
  assert.match(error.code, /^format\//);
  assert.match(error.message, new RegExp(server.url));
  assert.ok(error.next);
});

test('later exports add what is new, and drop what is asked for', async (t) => {
  proxy.setRules([]);
  const dir = await temporary(t);
  const first = await exportFrom(dir, proxy.url);
  const old = await files(dir);
  const changed = COLLECTIONS[1].records;
  changed[100] = [changed[100][0], 'changed'];
  await world.project.publish();
  // Within the project its own build has every object.
  const own = await world.project.packice('export', join(dir, 'own'), '--json');
  assert.equal(JSON.parse(own).objects_fetched, 0);

  const second = await exportFrom(dir, proxy.url);
  assert.equal(second.version, first.version + 1);
  const { objects, objects_added: added } = second;
  assert.ok(added > 0 && added < objects, `${added} of ${objects}`);
  const both = await files(dir);
  for (const path of old.keys()) assert.ok(both.has(path), `${path} stays`);

  const server = await host(t, dir);
  const kept = await exportFrom(dir, proxy.url, '--keep', '1');
  assert.ok(kept.files_removed > 0);
  const left = await files(dir);
  assert.equal(left.size, both.size - kept.files_removed);
  const synced = await json(dir, 'sync', '--source', server.url);
  assert.deepEqual([synced.version, synced.records], [second.version, TOTAL]);
  assert.equal((await json(dir, 'verify')).records, TOTAL);
  const clean = await exportFrom(await temporary(t), proxy.url);
  assert.equal(left.size, (await files(dir)).size);
  assert.equal(clean.objects, kept.objects);

  // An edge that stands behind the folder takes it nowhere.
  const pointer = { type: 'application/octet-stream', body: old.get('bootstrap/stable') };
  const pages = { [`/v1/${DATASET}/bootstrap/stable`]: pointer };
  const behind = await startStatic({ pages });
  t.after(() => behind.close());
  const refused = await packice(dir, 'export', 'out', '--source', behind.url);
  assert.equal(refused.code, 4, refused.stderr);
  assert.equal(JSON.parse(refused.stderr).error.code, 'trust/rollback');
  assert.deepEqual((await files(dir)).get('bootstrap/stable'), left.get('bootstrap/stable'));
});
