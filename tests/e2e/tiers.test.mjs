// The tiers against real workerd, four regions on one storage: where a miss is filled from, what is
// read once for many, what never reaches the origin, what a damaged or emptied tier costs.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { blake3 } from '../harness/blake3.mjs';
import { startNetwork } from '../harness/network.mjs';

const SIZE = 20_000;
let network;
let edges;

before(async () => {
  // Room for ten objects in each region.
  network = await startNetwork({ bytes: 10 * SIZE });
  edges = network.edges;
});

after(() => network?.close());

/** Puts an object into the origin, behind the edge's back until it looks. */
async function stored(body = randomBytes(SIZE)) {
  const key = `alpha/bundle/${blake3(body)}`;
  await (await network.bucket()).put(key, body);
  return { key, body, path: `/v1/${key}` };
}

const get = (edge, path, headers = {}) => fetch(`${edge.url}${path}`, { headers });

/** The body, read to its end. */
async function bytes(response) {
  assert.equal(response.status, 200);
  return Buffer.from(await response.arrayBuffer());
}

/** How much a counter of `/metrics` grows meanwhile, once all isolates have told. */
async function growth(name, label, run) {
  const count = () => network.counted(name, label);
  const before = await count();
  await run();
  return (await count()) - before;
}

// The catalog lists the bucket when it is first asked: what is stored here is known to it.
const first = [];

test('a miss is filled from the origin once, and then from the nearest region', async () => {
  for (let number = 0; number < 20; number += 1) first.push(await stored());
  const [{ path, body, key }] = first;
  const fills = (source) => network.counted('packice_fills_total', `source="${source}"`);
  const [origin, region] = [() => fills('origin'), () => fills('region')];
  assert.deepEqual(await bytes(await get(edges[0], path)), body);
  assert.deepEqual([await origin(), await region()], [1, 0]);
  for (const edge of edges.slice(1)) assert.deepEqual(await bytes(await get(edge, path)), body);
  assert.deepEqual([await origin(), await region()], [1, 3]);
  for (const edge of edges) assert.ok(await (await network.bucket(edge.name)).head(key));
  assert.equal(await network.counted('packice_origin_reads_total'), 1);
});

test('a range of what the region lacks is answered as a part, and the whole is kept', async () => {
  const [, { path, body, key }] = first;
  const part = await get(edges[1], path, { range: 'bytes=100-199' });
  assert.equal(part.status, 206);
  assert.equal(part.headers.get('content-range'), `bytes 100-199/${SIZE}`);
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), body.subarray(100, 200));
  assert.equal((await (await network.bucket(edges[1].name)).head(key)).size, SIZE);
});

test('64 who miss at once share one read', async () => {
  const [, , { path, body }] = first;
  const reads = await growth('packice_origin_reads_total', '', async () => {
    const all = Array.from({ length: 64 }, () => get(edges[2], path).then(bytes));
    for (const own of await Promise.all(all)) assert.deepEqual(own, body);
  });
  assert.equal(reads, 1);
});

test('names that do not exist never reach the origin', async () => {
  const reads = await growth('packice_origin_reads_total', '', async () => {
    for (let round = 0; round < 5; round += 1) {
      const all = Array.from({ length: 50 }, () =>
        get(edges[0], `/v1/alpha/bundle/${blake3(randomBytes(8))}`));
      for (const response of await Promise.all(all)) {
        assert.equal(response.status, 404);
        await response.arrayBuffer();
      }
    }
  });
  assert.equal(reads, 0);
  const unknown = await get(edges[0], '/v1/nothing/bootstrap/stable');
  assert.equal(unknown.status, 404);
});

test('an emptied region fills itself again', async () => {
  const [{ path, body, key }] = first;
  const bucket = await network.bucket(edges[3].name);
  await bucket.delete(key);
  await edges[3].miniflare.purgeCache?.();
  // Another data centre's request: this one's cache has it.
  const part = await get(edges[3], path, { 'cache-control': 'no-cache', range: 'bytes=0-9' });
  assert.ok([200, 206].includes(part.status));
  assert.deepEqual(Buffer.from(await part.arrayBuffer()).subarray(0, 10), body.subarray(0, 10));
});

test('a damaged copy in another region is passed over', async () => {
  const [, , , { path, body, key }] = first;
  const damaged = Buffer.from(body);
  damaged[7] ^= 1;
  await (await network.bucket(edges[1].name)).put(key, damaged);
  const seen = await growth('packice_damaged_total', '', async () => {
    assert.deepEqual(await bytes(await get(edges[0], path)), body);
  });
  assert.equal(seen, 1);
});

test('a region keeps to its budget, and what left is still read', async () => {
  for (const { path, body } of first) {
    assert.deepEqual(await bytes(await get(edges[2], path)), body);
  }
  const own = 'region="apac"';
  assert.ok((await network.counted('packice_region_bytes', own)) <= 10 * SIZE);
  assert.equal(await network.counted('packice_evictions_total', own), first.length - 10);
  // It is deleted a minute later: whoever reads it still ends.
  const bucket = await network.bucket('apac');
  for (const { key, body } of first) assert.equal((await bucket.head(key)).size, body.length);
});

test('metrics are Prometheus text', async () => {
  const response = await get(edges[1], '/metrics');
  assert.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  const text = await response.text();
  assert.match(text, /^packice_region_bytes\{region="weur",shard="0",.*\} [1-9]\d*$/m);
  assert.match(text, /^packice_silent_shards\{.*\} 0$/m);
});

test('metrics tell the kinds of objects, and what the scrub found', async () => {
  const [{ path }] = first;
  const edge = edges[1];
  const sent = () => network.counted('packice_read_bytes_total');
  const sentBefore = await sent();
  const kinds = await growth('packice_reads_total', 'kind="bundle"', async () => {
    // An isolate tells after 256 requests, so of these 400 it keeps fewer to itself.
    for (let round = 0; round < 20; round += 1) {
      const all = Array.from({ length: 20 }, () => get(edge, path).then(bytes));
      await Promise.all(all);
    }
  });
  assert.ok(kinds > 400 - 256, `${kinds}`);
  // Of what it had not told before, one was a part of 100 bytes.
  const parts = kinds * SIZE - ((await sent()) - sentBefore);
  assert.ok(parts === 0 || parts === SIZE - 100, `${parts}`);
  assert.equal(await network.counted('packice_reads_total', 'kind="manifest"'), 0);
  const sound = await growth('packice_scrubbed_total', 'result="sound"', async () => {
    const worker = await edge.miniflare.getWorker(`edge-${edge.name}`);
    await worker.scheduled({ cron: '*/5 * * * *' });
  });
  assert.ok(sound >= first.length, `${sound}`);
});
