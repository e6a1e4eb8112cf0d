// What protects an edge and keeps it well, against the real worker on workerd: rate limits, slow
// and endless bodies, long headers, answers that repeat nothing, data sets that are apart; the
// scrub, and sources that leave a sick one out.

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { blake3 } from '../harness/blake3.mjs';
import { freePort, startEdge } from '../harness/edge.mjs';
import { Client, assertProblem } from '../harness/raw-client.mjs';
import { publishKey } from '../harness/signer.mjs';

const KEY = publishKey('guards');
const HEALTH = '*/5 * * * *';
let edge;
let client;
let made = 0;

const call = (method, path, options) => client.call(method, path, options);

/** An object that was never there. */
function object(dataset = 'alpha', text = '') {
  const body = Buffer.from(`object ${(made += 1)} of the guards ${text}`);
  const key = `${dataset}/bundle/${blake3(body)}`;
  return { body, key, path: `/v1/${key}` };
}

/** Runs with an edge and a client of its own. */
async function withEdge(options, run) {
  const own = await startEdge({ publishKeys: KEY.entry(), ...options });
  const direct = new Client(own, { mayFail: options.mayFail });
  try {
    await run(direct, own);
    await direct.close();
  } finally {
    await own.close();
  }
}

const cron = async (own) => {
  const worker = await own.miniflare.getWorker('packice-edge');
  await worker.scheduled({ cron: HEALTH });
};

before(async () => {
  edge = await startEdge({ publishKeys: KEY.entry() });
  client = new Client(edge);
});

after(async () => {
  try {
    await client?.close();
  } finally {
    await edge?.close();
  }
});

test('one address may ask so often, and another one still', async () => {
  const limits = { LIMIT_READS: 5, LIMIT_WRITES: 3, LIMIT_KEYS: 100 };
  await withEdge({ limits }, async (direct) => {
    const from = (address) => ({ headers: { 'cf-connecting-ip': address } });
    const missing = `/v1/alpha/bundle/${'0'.repeat(64)}`;
    const read = (address) => direct.call('GET', missing, from(address));
    for (let at = 0; at < 5; at += 1) assert.equal((await read('192.0.2.1')).status, 404);
    const refused = await read('192.0.2.1');
    assertProblem(refused, 429, 'rate-limited');
    assert.equal(refused.headers['retry-after'], '10');
    assert.equal((await read('192.0.2.2')).status, 404, 'another address');
    // One subscriber has a /64 whole.
    for (let at = 0; at < 5; at += 1) await read(`2001:db8:1:2::${at}`);
    assertProblem(await read('2001:db8:1:2:ffff::1'), 429, 'rate-limited');
    assert.equal((await read('2001:db8:1:3::1')).status, 404);
    // Unsigned uploads count too, before anything is looked at.
    const { body, path } = object();
    const write = () => direct.call('PUT', path, { body, ...from('192.0.2.3') });
    for (let at = 0; at < 3; at += 1) assert.equal((await write()).status, 401);
    assertProblem(await write(), 429, 'rate-limited');
  });
});

test('one key may write so often, wherever it writes from', async () => {
  await withEdge({ limits: { LIMIT_KEYS: 3 } }, async (direct) => {
    const send = (at, by = KEY) => {
      const { body, path } = object();
      const headers = { 'cf-connecting-ip': `192.0.2.${at}` };
      return direct.call('PUT', path, { body, by, headers });
    };
    for (let at = 0; at < 3; at += 1) assert.equal((await send(at)).status, 201);
    assertProblem(await send(9), 429, 'rate-limited');
  });
});

test('what the cache answers is not counted', async () => {
  await withEdge({ limits: { LIMIT_READS: 3 } }, async (direct) => {
    const { body, path } = object();
    await direct.call('PUT', path, { body, by: KEY });
    await direct.call('GET', path);
    await new Promise((done) => setTimeout(done, 300));
    for (let at = 0; at < 20; at += 1) {
      const got = await direct.call('GET', path);
      assert.equal(got.status, 200);
      assert.match(got.headers['cache-status'], /hit/);
    }
  });
});

test('a body that pauses is given up, and nothing of it is kept', async () => {
  const { body, path } = object('alpha', 'x'.repeat(2000));
  const authority = `${edge.host}:${edge.port}`;
  const headers = KEY.headers({ method: 'PUT', authority, path, body });
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const answer = await new Promise((done, fail) => {
    const socket = net.connect(edge.port, edge.host, () => {
      socket.write(`PUT ${path} HTTP/1.1\r\nhost: ${authority}\r\n${lines.join('')}`);
      socket.write(`content-length: ${body.length}\r\n\r\n`);
      socket.write(body.subarray(0, 100));
    });
    let said = '';
    socket.on('data', (data) => {
      said += data;
      if (said.includes('\r\n\r\n') && said.includes('request-timeout')) socket.destroy();
    });
    socket.on('error', fail);
    socket.on('close', () => done(said));
  });
  assert.match(answer, /^HTTP\/1.1 408 /);
  assert.match(answer, /request-timeout/);
  assert.equal((await call('HEAD', path)).status, 404);
});

test('a header has a longest value, and none is repeated', async () => {
  const { body, path } = object();
  await call('PUT', path, { body, by: KEY });
  const mark = 'zq-never-repeated-';
  for (const name of ['range', 'if-none-match', 'if-match', 'if-range', 'cache-control']) {
    const long = await call('GET', path, { headers: { [name]: mark.repeat(500) } });
    assertProblem(long, 431, 'header-too-long');
    assert.ok(!long.body.includes(mark), name);
  }
  for (const [method, where, headers] of [
    ['GET', `/v1/alpha/bundle/${mark}`, {}], ['GET', `${path}/${mark}?${mark}`, {}],
    ['PUT', path, { 'content-digest': mark, 'signature-input': mark, signature: mark }],
    ['PUT', path, { authorization: mark, 'if-match': mark }],
    ['POST', `/v1/alpha/report?object=${mark}`, {}], ['GET', `/v1/alpha/trail?${mark}`, {}],
    ['OPTIONS', path, { origin: mark, 'access-control-request-headers': mark }],
    ['GET', path, { origin: `https://${mark}.example`, host: `${mark}.example` }],
  ]) {
    const reply = await call(method, where, { headers });
    assert.ok(!reply.body.includes(mark), `${method} ${where}`);
    assert.ok(!JSON.stringify(reply.headers).includes(mark), `${method} ${where}`);
  }
});

test('text that a browser would show can do nothing there', async () => {
  for (const path of ['/healthz', '/nothing', '/v1/alpha/sources']) {
    const { headers } = await call('GET', path);
    assert.equal(headers['content-security-policy'], "default-src 'none'; frame-ancestors 'none'");
    assert.equal(headers['x-content-type-options'], 'nosniff');
  }
  const preflight = await call('OPTIONS', '/v1/alpha/trail');
  assert.equal(preflight.headers['access-control-allow-methods'], 'GET, HEAD');
  assert.equal(preflight.headers['access-control-allow-credentials'], undefined);
});

test('one data set never answers for another', async () => {
  const { body, path, key } = object('alpha');
  assert.equal((await call('PUT', path, { body, by: KEY })).status, 201);
  assert.equal((await call('GET', path.replace('alpha', 'beta'))).status, 404);
  assert.equal((await call('GET', path)).status, 200);
  const cached = await call('GET', path.replace('alpha', 'beta'));
  assert.equal(cached.status, 404, 'from the cache too');
  const named = `object=${key.slice('alpha/'.length)}`;
  assert.equal((await call('POST', `/v1/beta/report?${named}`)).status, 404);
});

test('what was damaged in one store is repaired from another within one round', async () => {
  const ports = [await freePort(), await freePort()];
  const list = ports.map((port, at) => `region-${at}=http://127.0.0.1:${port}`).join();
  const bindings = (at) => ({ SOURCES: list, REGION: `region-${at}` });
  await withEdge({ port: ports[0], bindings: bindings(0) }, async (first, ill) => {
    await withEdge({ port: ports[1], bindings: bindings(1) }, async (second) => {
      const [sampled, reported, alone] = [object(), object('beta'), object()];
      for (const { path, body } of [sampled, reported]) {
        await first.call('PUT', path, { body, by: KEY });
        await second.call('PUT', path, { body, by: KEY });
      }
      await first.call('PUT', alone.path, { body: alone.body, by: KEY });
      const bucket = await ill.miniflare.getR2Bucket('OBJECTS');
      for (const { key } of [sampled, reported, alone]) await bucket.put(key, 'other bytes');
      const named = `object=${reported.key.slice('beta/'.length)}`;
      assert.equal((await first.call('POST', `/v1/beta/report?${named}`)).status, 202);
      await cron(ill);
      for (const { key, body } of [sampled, reported]) {
        const stored = await bucket.get(key);
        assert.deepEqual(Buffer.from(await stored.arrayBuffer()), body, key);
      }
      // Nobody else has it: it is out of the way, kept to be looked at, and can be sent again.
      assert.equal((await first.call('HEAD', alone.path)).status, 404);
      assert.equal(await (await bucket.get(`_quarantine/${alone.key}`)).text(), 'other bytes');
      const again = await first.call('PUT', alone.path, { body: alone.body, by: KEY });
      assert.equal(again.status, 201);
    });
  });
});

test('the scrub comes round to every object', async () => {
  await withEdge({}, async (direct, own) => {
    const bucket = await own.miniflare.getR2Bucket('OBJECTS');
    const all = Array.from({ length: 150 }, () => object());
    for (const { key, body } of all) await bucket.put(key, body);
    const last = all.toSorted((a, b) => (a.key < b.key ? -1 : 1)).at(-1);
    await bucket.put(last.key, 'damaged');
    let rounds = 0;
    while ((await bucket.head(last.key)) && rounds < 6) {
      await cron(own);
      rounds += 1;
    }
    assert.ok(rounds > 1 && rounds <= 4, `${rounds} rounds of 64`);
    for (const { key } of all) if (key !== last.key) assert.ok(await bucket.head(key), key);
  });
});

test('a region that is sick is left out of the sources, and comes back', async () => {
  const ports = await Promise.all([0, 1, 2].map(() => freePort()));
  const list = ports.map((port, at) => `region-${at}=http://127.0.0.1:${port}@${at * 30}/0`).join();
  const options = (at, more) => ({
    port: ports[at], bindings: { SOURCES: list, REGION: `region-${at}` }, mayFail: true, ...more,
  });
  const regions = async (direct) => {
    const reply = await direct.call('GET', '/v1/alpha/sources');
    assert.equal(reply.status, 200);
    return JSON.parse(reply.body).sources.map(({ region }) => region).sort();
  };
  const all = ['region-0', 'region-1', 'region-2'];
  await withEdge(options(0), async (well, own) => {
    assert.deepEqual(await regions(well), all, 'nothing is known yet');
    await withEdge(options(1, { r2Buckets: [] }), async (sick) => {
      assert.equal((await sick.call('GET', '/readyz')).status, 503);
      // It leaves itself out at once; the others hear of it within a round.
      assert.deepEqual(await regions(sick), ['region-0', 'region-2']);
      await withEdge(options(2), async (third, other) => {
        await Promise.all([cron(own), cron(other)]);
        assert.deepEqual(await regions(well), ['region-0', 'region-2']);
        assert.deepEqual(await regions(third), ['region-0', 'region-2']);
      });
      await cron(own);
      assert.deepEqual(await regions(well), ['region-0'], 'one that does not answer at all');
    });
    await withEdge(options(1), async () => {
      await withEdge(options(2), async () => {
        await cron(own);
        assert.deepEqual(await regions(well), all);
      });
    });
  });
});
