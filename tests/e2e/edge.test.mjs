// The edge's HTTP API against the real worker on workerd: every status of the contract, bytes
// compared exactly, hostile paths and headers, races. No request may end in a 5xx.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { blake3 } from '../harness/blake3.mjs';
import { startEdge } from '../harness/edge.mjs';
import { Client, assertProblem } from '../harness/raw-client.mjs';
import { publishKey } from '../harness/signer.mjs';

const KEY = publishKey('a key for alpha');
const ANY = publishKey('a key for all');
const KINDS = ['manifest', 'dictionary', 'layout', 'bundle', 'delta'];
const MIB = 1 << 20;

let edge;
let client;

before(async () => {
  edge = await startEdge({ publishKeys: `${KEY.entry('alpha')}, ${ANY.entry()}` });
  client = new Client(edge);
});

after(async () => {
  try {
    await client?.close();
  } finally {
    await edge?.close();
  }
});

const call = (method, path, options) => client.call(method, path, options);
const get = (path, headers) => call('GET', path, { headers });
const head = (path, headers) => call('HEAD', path, { headers });
const put = (path, body, headers, by = KEY) => call('PUT', path, { body, headers, by });

/** Uploads random bytes and returns where they are. */
async function uploaded(size, kind = 'bundle') {
  const body = randomBytes(size);
  const name = blake3(body);
  const path = `/v1/alpha/${kind}/${name}`;
  assert.equal((await put(path, body)).status, 201);
  return { body, name, path };
}

test('is alive and ready', async () => {
  const alive = await get('/healthz');
  assert.equal(alive.status, 200);
  assert.equal(JSON.parse(alive.body).status, 'ok');
  const ready = await get('/readyz');
  assert.equal(ready.status, 200);
  const said = JSON.parse(ready.body);
  assert.equal(said.status, 'ready');
  assert.equal(said.store.ok, true);
  assert.equal(said.publishing, 'open');
  assert.equal(ready.headers['cache-control'], 'no-store');
  const headed = await head('/readyz');
  assert.equal(headed.status, 200);
  assert.equal(headed.body.length, 0);
});

for (const kind of KINDS) {
  test(`takes and serves a ${kind} byte for byte`, async () => {
    const body = randomBytes(3000);
    const name = blake3(body);
    const path = `/v1/alpha/${kind}/${name}`;
    assertProblem(await get(path), 404, 'not-found');
    const missing = await head(path);
    assert.deepEqual([missing.status, missing.body.length], [404, 0]);

    const created = await put(path, body);
    assert.equal(created.status, 201);
    assert.equal(created.headers.etag, `"${name}"`);
    assert.equal(created.headers.location, path);
    assert.equal((await put(path, body)).status, 204);

    const got = await get(path);
    assert.equal(got.status, 200);
    assert.deepEqual(got.body, body);
    assert.equal(got.headers['content-length'], '3000');
    assert.equal(got.headers['content-type'], 'application/octet-stream');
    assert.equal(got.headers['cache-control'], 'public, max-age=31536000, immutable');
    assert.equal(got.headers.etag, `"${name}"`);
    assert.equal(got.headers['accept-ranges'], 'bytes');
    assert.equal(got.headers['x-content-type-options'], 'nosniff');
    assert.equal(got.headers['access-control-allow-origin'], '*');

    const headed = await head(path);
    assert.equal(headed.status, 200);
    assert.equal(headed.body.length, 0);
    for (const header of ['content-length', 'content-type', 'cache-control', 'etag']) {
      assert.equal(headed.headers[header], got.headers[header], header);
    }
  });
}

test('serves exactly the bytes of a range, from the store and from the cache', async () => {
  const { body, path } = await uploaded(100_000);
  const ranges = [
    ['bytes=0-0', 0, 1],
    ['bytes=17-4112', 17, 4096],
    ['bytes=99999-99999', 99_999, 1],
    ['bytes=99990-200000', 99_990, 10],
    ['bytes=50000-', 50_000, 50_000],
    ['bytes=-1', 99_999, 1],
    ['bytes=-100000', 0, 100_000],
    ['bytes=-999999', 0, 100_000],
    ['bytes=0-', 0, 100_000],
    ['bytes=0-99999999999999999999999', 0, 100_000],
    ['bytes=-99999999999999999999999', 0, 100_000],
  ];
  for (const from of ['store', 'cache']) {
    for (const [range, offset, length] of ranges) {
      const part = await get(path, { range });
      assert.equal(part.status, 206, `${range} from the ${from}`);
      assert.deepEqual(part.body, body.subarray(offset, offset + length), range);
      const last = offset + length - 1;
      assert.equal(part.headers['content-range'], `bytes ${offset}-${last}/100000`);
      assert.equal(part.headers['content-length'], String(length));
      // Some spellings workerd's cache does not cut: then the store answers.
      const plain = range.endsWith('9') && !range.startsWith('bytes=-') && length < 5000;
      const hit = part.headers['cache-status']?.includes('hit') ?? false;
      if (plain) assert.equal(hit, from === 'cache', `${range} from the ${from}`);
    }
    for (const range of ['bytes=100000-', 'bytes=100000-100001', 'bytes=-0',
      'bytes=99999999999999999999999-', 'bytes=9007199254740993-9007199254740999']) {
      const past = await get(path, { range });
      assertProblem(past, 416, 'range-not-satisfiable');
      assert.equal(past.headers['content-range'], 'bytes */100000');
    }
    for (const range of ['bytes=0-1,4-5', 'bytes=5-2', 'rows=0-1', 'bytes=', 'nonsense']) {
      const whole = await get(path, { range });
      assert.equal(whole.status, 200, range);
      assert.deepEqual(whole.body, body);
    }
    await settle(path);
  }
});

/** Waits until the cache answers. */
async function settle(path) {
  for (let tries = 0; tries < 100; tries += 1) {
    const reply = await get(path);
    if (reply.headers['cache-status']?.includes('hit')) return reply;
    await new Promise((done) => setTimeout(done, 20));
  }
  return assert.fail(`the cache never answers for ${path}`);
}

test('ignores a range on HEAD, and one that goes with another state', async () => {
  const { body, name, path } = await uploaded(5000);
  const headed = await head(path, { range: 'bytes=0-9' });
  assert.equal(headed.status, 200);
  assert.equal(headed.headers['content-length'], '5000');
  const range = 'bytes=10-19';
  const same = await get(path, { range, 'if-range': `"${name}"` });
  assert.equal(same.status, 206);
  assert.deepEqual(same.body, body.subarray(10, 20));
  for (const other of ['"x"', `W/"${name}"`, 'Sat, 21 Nov 2026 05:00:00 GMT']) {
    const whole = await get(path, { range, 'if-range': other });
    assert.equal(whole.status, 200, other);
    assert.deepEqual(whole.body, body);
  }
});

test('does not send again what the client has', async () => {
  const { name, path } = await uploaded(5000);
  for (const from of ['store', 'cache']) {
    for (const tags of [`"${name}"`, `W/"${name}"`, '*', `"x", "${name}"`, `W/"y",W/"${name}"`]) {
      for (const method of ['GET', 'HEAD']) {
        const reply = await call(method, path, { headers: { 'if-none-match': tags } });
        assert.equal(reply.status, 304, `${method} ${tags} from the ${from}`);
        assert.equal(reply.body.length, 0);
        assert.equal(reply.headers.etag, `"${name}"`);
        assert.equal(reply.headers['cache-control'], 'public, max-age=31536000, immutable');
      }
    }
    for (const tags of ['"x"', name, `"${name}`, '']) {
      assert.equal((await get(path, { 'if-none-match': tags })).status, 200, tags);
    }
    await settle(path);
  }
  const nowhere = `/v1/alpha/bundle/${'0'.repeat(64)}`;
  for (const tags of ['*', `"${'0'.repeat(64)}"`]) {
    assert.equal((await get(nowhere, { 'if-none-match': tags })).status, 404);
  }
});

test('answers other origins, and lets their pages read but not write', async () => {
  const { path } = await uploaded(10);
  const preflight = await call('OPTIONS', path, {
    headers: {
      origin: 'https://wallet.example',
      'access-control-request-method': 'GET',
      'access-control-request-headers': 'range,if-none-match',
    },
  });
  assert.equal(preflight.status, 204);
  assert.equal(preflight.headers['access-control-allow-origin'], '*');
  assert.equal(preflight.headers['access-control-allow-methods'], 'GET, HEAD');
  assert.match(preflight.headers['access-control-allow-headers'], /range/);
  assert.match(preflight.headers['access-control-allow-headers'], /if-none-match/);
  assert.equal(preflight.headers.allow, 'GET, HEAD, PUT, OPTIONS');
  const got = await get(path, { origin: 'https://wallet.example' });
  const exposed = got.headers['access-control-expose-headers'];
  for (const name of ['etag', 'content-range', 'content-length', 'accept-ranges']) {
    assert.ok(exposed.includes(name), name);
  }
  const missing = await get('/v1/alpha/bootstrap/none', { origin: 'https://wallet.example' });
  assert.equal(missing.headers['access-control-allow-origin'], '*');
});

test('refuses who may not publish', async () => {
  const body = randomBytes(100);
  const name = blake3(body);
  const path = `/v1/alpha/bundle/${name}`;
  const without = await call('PUT', path, { body });
  assertProblem(without, 401, 'unauthorized');
  assert.match(without.headers['www-authenticate'], /^Signature /);
  const stranger = await put(path, body, {}, publishKey('a stranger'));
  assert.equal(assertProblem(stranger, 401, 'unauthorized').reason, 'signature/unknown-key');
  assertProblem(await put(`/v1/beta/bundle/${name}`, body), 403, 'forbidden');
  assert.equal((await head(path)).status, 404);
  assert.equal((await head(`/v1/beta/bundle/${name}`)).status, 404);
  assert.equal((await put(`/v1/beta/bundle/${name}`, body, {}, ANY)).status, 201);
  assert.equal((await head(path)).status, 404, 'a dataset has its own objects');
});

test('keeps nothing whose hash is not its name', async () => {
  const body = randomBytes(10_000);
  const path = `/v1/alpha/bundle/${blake3(body)}`;
  const flipped = Buffer.from(body);
  flipped[5000] ^= 1;
  const bad = [flipped, body.subarray(1), Buffer.concat([body, body]), Buffer.alloc(0)];
  for (const attempt of bad) {
    assertProblem(await put(path, attempt), 422, 'name-mismatch');
    assert.equal((await get(path)).status, 404);
    assert.equal((await head(path)).status, 404);
  }
  assert.equal((await put(path, body)).status, 201);
  // And what is there is not replaced, whatever the hash says.
  assertProblem(await put(path, flipped), 422, 'name-mismatch');
  assert.deepEqual((await get(path)).body, body);
});

test('takes 8 MiB and not a byte more', async () => {
  const { body, path } = await uploaded(8 * MIB);
  assert.ok((await get(path)).body.equals(body));
  for (const length of [8 * MIB + 1, 1e9, 1e15]) {
    const longer = `/v1/alpha/bundle/${'1'.repeat(64)}`;
    const headers = { 'content-length': length };
    // The answer comes before a byte of the body was sent.
    const refused = await call('PUT', longer, { headers, by: KEY, headersOnly: true });
    assertProblem(refused, 413, 'payload-too-large');
    assert.equal((await head(longer)).status, 404);
  }
  const pointer = '/v1/alpha/bootstrap/stable';
  const headers = { 'if-none-match': '*' };
  const tooLong = Buffer.alloc(128 * 1024 + 1);
  assertProblem(await put(pointer, tooLong, headers), 413, 'payload-too-large');
  assertProblem(await put('/v1/alpha/trust-root/1', tooLong), 413, 'payload-too-large');
});

test('asks for a length, and for bytes without a coding', async () => {
  const body = randomBytes(100);
  const path = `/v1/alpha/bundle/${blake3(body)}`;
  const chunked = await call('PUT', path, {
    body: undefined,
    by: KEY,
    headers: { 'transfer-encoding': 'chunked' },
  });
  assertProblem(chunked, 411, 'length-required');
  const coded = await put(path, body, { 'content-encoding': 'zstd' });
  assertProblem(coded, 415, 'unsupported-encoding');
  assert.equal((await head(path)).status, 404);
});

test('says why before it hangs up on a body', async () => {
  const body = randomBytes(8 * MIB);
  const name = '2'.repeat(64);
  for (const [path, by, status] of [
    [`/v1/alpha/bundle/${name}`, undefined, 401],
    [`/v1/beta/bundle/${name}`, KEY, 403],
    [`/v1/alpha/bundles/${name}`, undefined, 404],
    ['/v1/alpha/checkpoint', undefined, 405],
  ]) {
    assert.equal((await call('PUT', path, { body, by })).status, status, path);
  }
});

test('stores nothing of an upload that breaks off', async () => {
  const body = randomBytes(200_000);
  const path = `/v1/alpha/bundle/${blake3(body)}`;
  await new Promise((done) => {
    const socket = net.connect(edge.port, edge.host, () => {
      const headers = KEY.headers({ method: 'PUT', authority: 'x', path, body });
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(`PUT ${path} HTTP/1.1\r\nhost: x\r\n${lines.join('')}`);
      socket.write(`content-length: ${body.length}\r\n\r\n`);
      socket.write(body.subarray(0, 150_000), () => setTimeout(() => socket.destroy(), 50));
    });
    socket.on('error', () => {});
    socket.on('close', done);
  });
  assert.equal((await head(path)).status, 404);
  assert.equal((await put(path, body)).status, 201);
});

test('of many uploads of one object at once, one creates it', async () => {
  const body = randomBytes(50_000);
  const path = `/v1/alpha/bundle/${blake3(body)}`;
  const replies = await Promise.all(Array.from({ length: 12 }, () => put(path, body)));
  const statuses = replies.map((reply) => reply.status).sort();
  assert.deepEqual(statuses, [201, ...Array(11).fill(204)]);
  assert.deepEqual((await get(path)).body, body);
});

test('finds nothing by tricks with the path', async () => {
  const { name } = await uploaded(10);
  const paths = [
    '/', '//', '/v1', '/v1/', '/v1/alpha', '/v1/alpha/', '/v2/alpha/checkpoint',
    '/v1/alpha/../alpha/bundle/x', `/v1/beta/../alpha/bundle/${name}/..`,
    `/v1/alpha/bundle/%2e%2e/bundle/${name}x`, `/v1/alpha%2fbundle%2f${name}`,
    `/v1/alpha/bundle%2f${name}`, `/v1/%61lpha/bundle/${name}`, `/v1/alpha/bundle/${name}/`,
    `/v1/alpha//bundle/${name}`, `//v1/alpha/bundle/${name}`, `/V1/alpha/bundle/${name}`,
    `/v1/ALPHA/bundle/${name}`, `/v1/alpha/bundle/${name.toUpperCase()}`,
    `/v1/alpha/bundle/${name.slice(1)}`, `/v1/alpha/bundle/${name}0`,
    `/v1/alpha/bundle/${name}%00`, `/v1/alpha/bundle/${name.slice(2)}%61`,
    `/v1/alpha/bundles/${name}`, '/v1/alpha/bundle/..', '/v1/alpha/bootstrap/../checkpoint/x',
    '/v1/alpha/bootstrap/', '/v1/alpha/bootstrap/-x', '/v1/alpha/bootstrap/a/b',
    `/v1/${'a'.repeat(64)}/checkpoint`, `/v1/alpha/bundle/${'a/'.repeat(3000)}`,
    `/v1/alpha/${'x'.repeat(6000)}`, '/v1/alpha/log/tile/0/000.p/0', '/v1/alpha/log/tile/0/00',
    '/v1/alpha/log/tile/8/000', '/v1/alpha/log/tile/0/x000/001', '/v1/alpha/trust-root/0',
    '/v1/alpha/trust-root/01', '/healthz/', '/HEALTHZ', '/.env', '/v1/alpha/checkpoint/',
    '/v1/alpha\\bundle', '/v1/alpha/bundle/\u00e9', "/v1/alpha/bundle/';--",
  ];
  for (const path of paths) {
    for (const method of ['GET', 'HEAD', 'PUT', 'OPTIONS', 'DELETE']) {
      const body = method === 'PUT' ? Buffer.from('x') : undefined;
      const encoded = Buffer.from(path).toString('latin1');
      const reply = await call(method, encoded, { body, by: KEY });
      assert.equal(reply.status, 404, `${method} ${path.slice(0, 100)}`);
    }
  }
  // A query is not part of the name.
  assert.equal((await get(`/v1/alpha/bundle/${name}?x=1`)).status, 200);
});

test('names the methods of a path', async () => {
  const { path } = await uploaded(10);
  for (const method of ['POST', 'DELETE', 'PATCH', 'PROPFIND', 'TRACE', 'PURGE']) {
    for (const [where, allow] of [
      [path, 'GET, HEAD, PUT, OPTIONS'],
      ['/v1/alpha/checkpoint', 'GET, HEAD, OPTIONS'],
      ['/healthz', 'GET, HEAD, OPTIONS'],
    ]) {
      const reply = await call(method, where, { by: KEY });
      assertProblem(reply, 405, 'method-not-allowed');
      assert.equal(reply.headers.allow, allow);
    }
  }
  const checkpoint = await put('/v1/alpha/checkpoint', Buffer.from('x'));
  assertProblem(checkpoint, 405, 'method-not-allowed');
});

test('survives headers made to break it', async () => {
  const { body, name, path } = await uploaded(1000);
  const long = 'x'.repeat(7000);
  for (const headers of [
    { range: `bytes=${'9'.repeat(5000)}-` }, { range: `bytes=0-${'9'.repeat(5000)}` },
    { range: `bytes=${'0-1,'.repeat(1000)}` }, { 'if-none-match': `"${long}"` },
    { 'if-none-match': '"a",'.repeat(1500) }, { 'if-range': long }, { range: '\u00ff\u00fe' },
    { 'content-digest': long }, { 'cache-control': long },
    { 'content-length': '0', range: 'bytes=-' },
  ]) {
    const reply = await get(path, headers);
    assert.ok([200, 206, 416].includes(reply.status), `${reply.status} ${JSON.stringify(headers)}`);
  }
  for (const text of [long, 'packice=\u00ff', 'packice=', ' ', 'packice=();created=1']) {
    for (const headers of [{ 'signature-input': text, signature: text }, { signature: text }]) {
      assertProblem(await call('PUT', path, { body, headers }), 401, 'unauthorized');
    }
  }
  assert.equal((await get(path)).headers.etag, `"${name}"`);
});
