// Faults of a network of regions on real workerd: the origin goes away, a region's store is wiped,
// clocks differ. Nothing that was acknowledged is lost, what cannot be done is refused by name, and
// all of it comes back by itself. (Faults of one edge: edge-faults.test.mjs.)

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { blake3 } from '../harness/blake3.mjs';
import { startNetwork } from '../harness/network.mjs';
import { Client, assertProblem } from '../harness/raw-client.mjs';
import { publishKey } from '../harness/signer.mjs';

const KEY = publishKey('faults of a network');
const STABLE = '/v1/alpha/bootstrap/stable';
const log = JSON.parse(await readFile(new URL('../vectors/edge-log.json', import.meta.url)));
const bytes = (hex) => Buffer.from(hex, 'hex');
const bootstrap = (name) => bytes(log.releases[name].bootstrap);
let network;
let clients;

before(async () => {
  const bindings = { PUBLISH_KEYS: KEY.entry() };
  network = await startNetwork({ regions: ['weur', 'enam'], bindings, faulty: true });
  clients = network.edges.map((edge) => new Client(edge, { mayFail: true }));
});

after(async () => {
  for (const client of clients ?? []) await client.close();
  await network?.close();
});

function object() {
  const body = randomBytes(20_000);
  const key = `alpha/bundle/${blake3(body)}`;
  return { body, key, path: `/v1/${key}` };
}

const put = (client, path, body, headers = {}) =>
  client.call('PUT', path, { body, headers, by: KEY });
const faults = (query) => Promise.all(network.edges.map((edge) => edge.fault(query)));

async function taken(client, path, body, headers) {
  const { status, body: said, headers: given } = await put(client, path, body, headers);
  assert.ok([201, 204].includes(status), `${path}: ${status} ${said}`);
  return given.etag;
}

async function upload(client, name) {
  const { tiles, objects } = log.releases[name];
  for (const { path, bytes: hex } of [...tiles, ...objects]) {
    await taken(client, `/v1/alpha/${path}`, bytes(hex));
  }
}

async function holds(client, { path, body }) {
  const got = await client.call('GET', path);
  assert.equal(got.status, 200, `${path}: ${got.body.subarray(0, 200)}`);
  assert.ok(got.body.equals(body), path);
}

test('the origin is gone: regions serve what they hold, and it all comes back', async () => {
  const [near, far] = clients;
  const [held, lacked, refused] = [object(), object(), object()];
  for (const { path, body } of [held, lacked]) await taken(near, path, body);
  await holds(near, held);
  await faults('origin=away');
  // From its own store, and from there into the other region's.
  await holds(near, held);
  await holds(far, held);
  assertProblem(await near.call('GET', lacked.path), 503, 'store-unavailable');
  assertProblem(await put(near, refused.path, refused.body), 503, 'store-unavailable');
  assert.equal((await near.call('GET', '/readyz')).status, 503);
  assert.equal((await near.call('GET', '/healthz')).status, 200);
  await faults('origin=back');
  assert.equal((await near.call('GET', '/readyz')).status, 200);
  // The failure answers for a second.
  await new Promise((done) => setTimeout(done, 1100));
  for (const client of clients) await holds(client, lacked);
  await taken(far, refused.path, refused.body);
  await holds(near, refused);
});

test('a region is gone: it says so, and its readers are served by the origin', async () => {
  const [near, far] = clients;
  const ready = async () => {
    const { status, body } = await far.call('GET', '/readyz');
    assert.ok([200, 503].includes(status));
    return JSON.parse(body);
  };
  const well = await ready();
  assert.deepEqual([well.status, well.region.name, well.region.ok], ['ready', 'enam', true]);
  assert.ok(well.region.objects > 0 && well.region.bytes > 0, 'it is warm');
  await faults('regions=away');
  const sick = await ready();
  assert.deepEqual([sick.status, sick.store.ok], ['not ready', true]);
  assert.deepEqual([sick.region.ok, sick.region.store], [false, false]);
  const one = object();
  await taken(near, one.path, one.body);
  for (const client of clients) await holds(client, one);
  await faults('regions=back');
  assert.equal((await ready()).region.ok, true);
});

test('an origin that is gone is asked once by all who want the same', async () => {
  const [near] = clients;
  const [edge] = network.edges;
  const one = object();
  await taken(near, one.path, one.body);
  const failures = async () => (await (await edge.fault('')).json()).refused;
  await faults('origin=away');
  try {
    const before = await failures();
    const ask = async () => (await fetch(`${edge.url}${one.path}`)).status;
    for (let round = 0; round < 4; round += 1) {
      const all = await Promise.all(Array.from({ length: 64 }, ask));
      assert.deepEqual(new Set(all), new Set([503]));
    }
    // The region's shard asks, and the edge itself once that failed.
    const asked = (await failures()) - before;
    assert.ok(asked >= 1 && asked <= 8, `${asked} reads of 256`);
  } finally {
    await faults('origin=back');
  }
  await new Promise((done) => setTimeout(done, 1100));
  await holds(near, one);
});

test("a region's store is wiped: reads go on, and fill it again", async () => {
  const [, far] = clients;
  const objects = Array.from({ length: 6 }, object);
  await Promise.all(objects.map(async ({ path, body }) => {
    await taken(far, path, body);
    // A part of what the data centre's cache lacks comes from the region's store, and stays there.
    const part = await far.call('GET', path, { headers: { range: 'bytes=0-99' } });
    assert.equal(part.status, 206);
  }));
  const bucket = await network.bucket('enam');
  const keys = async () => (await bucket.list()).objects.map(({ key }) => key);
  const before = await keys();
  assert.ok(objects.every(({ key }) => before.includes(key)), 'the region held them');
  await bucket.delete(before);
  await Promise.all(objects.map((one) => holds(far, one)));
  const again = await keys();
  assert.ok(objects.every(({ key }) => again.includes(key)), 'the region holds them again');
});

test('clocks differ: a wrong one refuses uploads by name, and readers see each move', async () => {
  const [near, far] = clients;
  const [, wrong] = network.edges;
  await taken(near, '/v1/alpha/trust-root/1', bytes(log.trust_roots['1']));
  await upload(near, 'first');
  const first = await taken(near, STABLE, bootstrap('first'), { 'if-none-match': '*' });
  for (const clock of [20 * 60_000, -20 * 60_000]) {
    await wrong.fault(`clock=${clock}`);
    const { path, body } = object();
    const late = assertProblem(await put(far, path, body), 401, 'unauthorized');
    assert.equal(late.reason, 'signature/out-of-time');
    assert.equal((await near.call('HEAD', path)).status, 404, 'nothing of it was kept');
    await taken(near, path, body);
    await holds(far, { path, body });
  }
  // Its cache takes the old pointer in by a clock that then jumps.
  await wrong.fault('clock=0');
  assert.ok((await far.call('GET', STABLE)).body.equals(bootstrap('first')));
  await wrong.fault(`clock=${-20 * 60_000}`);
  await upload(near, 'second');
  await taken(near, STABLE, bootstrap('second'), { 'if-match': first });
  const moved = Date.now();
  let seen;
  do {
    await new Promise((done) => setTimeout(done, 250));
    seen = (await far.call('GET', STABLE)).body;
  } while (!seen.equals(bootstrap('second')) && Date.now() - moved < 9_000);
  const took = Date.now() - moved;
  assert.ok(seen.equals(bootstrap('second')), 'the old pointer stays');
  assert.ok(took < 7_000, `a reader saw the move after ${took} ms`);
  await wrong.fault('clock=0');
  const { path, body } = object();
  await taken(far, path, body);
});
