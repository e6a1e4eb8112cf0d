// docs/spec/openapi.yaml against the real worker on workerd: each method and status that it lists
// is provoked and judged header by header, and the worker has no route that it lacks. The other
// tests of the edge are held to it as well, by their client (tests/harness/raw-client.mjs).

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { blake3 } from '../harness/blake3.mjs';
import { startEdge } from '../harness/edge.mjs';
import { loadApi } from '../harness/openapi.mjs';
import { Client } from '../harness/raw-client.mjs';
import { publishKey } from '../harness/signer.mjs';

const KEY = publishKey('a key for alpha');
const OTHER = publishKey('a-key-for-beta');
const KEYS = `${KEY.entry('alpha')}, ${OTHER.entry('beta')}`;
const STABLE = '/v1/alpha/bootstrap/stable';
const HEAD = '/v1/alpha/head/stable';
const CHECKPOINT = '/v1/alpha/checkpoint';
const ROOT = '/v1/alpha/trust-root/1';
const TRAIL = '/v1/alpha/trail';
const SOURCES = '/v1/alpha/sources';
const REPORT = '/v1/alpha/report';
const LIVE = '/v1/alpha/live/stable';
const KEEP = ['list', 'rows', 'claim', 'condemn', 'remove'].map((q) => `/v1/alpha/keep/${q}`);

const read = (path) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8');
const api = await loadApi();
const log = JSON.parse(await read('tests/vectors/edge-log.json'));
const bytes = (hex) => Buffer.from(hex, 'hex');
const first = log.releases.first;
const [tile] = first.tiles;
const TILE = `/v1/alpha/${tile.path}`;
const body = Buffer.from('an object of the edge');
const OBJECT = `/v1/alpha/bundle/${blake3(body)}`;
const seen = new Set();

/** What each resource takes: where it is, its bytes, and what a move needs besides. */
const WRITES = {
  object: { path: OBJECT, body },
  tile: { path: TILE, body: bytes(tile.bytes) },
  'trust root': { path: ROOT, body: bytes(log.trust_roots['1']) },
  pointer: { path: STABLE, body: bytes(first.bootstrap), headers: { 'if-none-match': '*' } },
};
const READS = [OBJECT, TILE, ROOT, STABLE, HEAD, CHECKPOINT];

let edge;
let client;
const call = (method, path, options = {}) => client.call(method, path, options);
const put = (path, content, headers, more) =>
  call('PUT', path, { body: content, headers, by: KEY, ...more });

before(async () => {
  edge = await startEdge({ publishKeys: KEYS });
  client = new Client(edge);
});

after(async () => {
  try {
    await client?.close();
  } finally {
    await edge?.close();
  }
});

test('the document is OpenAPI 3.1', async () => {
  const { valid, errors } = await new Validator().validate(structuredClone(api.document));
  assert.equal(valid, true, JSON.stringify(errors));
});

test('before anything is published', async () => {
  for (const path of READS) {
    assert.equal((await call('GET', path)).status, 404, path);
    assert.equal((await call('HEAD', path)).status, 404, path);
  }
  for (const path of ['/healthz', '/readyz']) {
    assert.equal((await call('GET', path)).status, 200);
    assert.equal((await call('HEAD', path)).status, 200);
  }
  // Nothing it points to is there.
  const { path, body: content, headers } = WRITES.pointer;
  assert.equal((await put(path, content, headers)).status, 422);
});

for (const [name, { path, body: content, headers }] of Object.entries(WRITES)) {
  test(`an upload is refused: ${name}`, async () => {
    const status = async (expected, options) => {
      const reply = await call('PUT', path, { body: content, by: KEY, ...options });
      assert.equal(reply.status, expected, `${reply.body}`);
    };
    await status(401, { by: undefined, headers });
    await status(403, { by: OTHER, headers });
    await status(411, { body: undefined, headers: { ...headers, 'transfer-encoding': 'chunked' } });
    const tooLong = { ...headers, 'content-length': 9 << 20 };
    await status(413, { body: undefined, headers: tooLong, headersOnly: true });
    await status(415, { headers: { ...headers, 'content-encoding': 'zstd' } });
    await status(422, { body: content.subarray(1), headers });
  });
}

test('a release is published', async () => {
  assert.equal((await put(ROOT, WRITES['trust root'].body)).status, 201);
  for (const { path, bytes: hex } of [...first.tiles, ...first.objects]) {
    assert.equal((await put(`/v1/alpha/${path}`, bytes(hex))).status, 201);
  }
  assert.equal((await put(OBJECT, body)).status, 201);
  const pointer = WRITES.pointer.body;
  assert.equal((await put(STABLE, pointer)).status, 428);
  assert.equal((await put(STABLE, pointer, { 'if-match': 'x' })).status, 400);
  assert.equal((await put(STABLE, pointer, { 'if-match': '"x"' })).status, 412);
  for (const { path, body: content, headers } of Object.values(WRITES)) {
    const again = path === STABLE ? 201 : 204;
    assert.equal((await put(path, content, headers)).status, again, path);
    assert.equal((await put(path, content, headers)).status, 204, path);
  }
});

test('what stands is not replaced', async () => {
  const other = Buffer.from(WRITES.tile.body);
  other[0] ^= 1;
  assert.equal((await put(TILE, other)).status, 409);
  assert.equal((await put(ROOT, bytes(log.trust_roots['2'] ?? `${tile.bytes}`))).status, 409);
});

test('the trail is for the publishers of the dataset', async () => {
  for (const method of ['GET', 'HEAD']) {
    assert.equal((await call(method, TRAIL)).status, 401);
    assert.equal((await call(method, TRAIL, { by: OTHER })).status, 403);
    assert.equal((await call(method, TRAIL, { by: KEY })).status, 200);
  }
});

test('the sources are listed, and damage is reported', async () => {
  for (const method of ['GET', 'HEAD']) assert.equal((await call(method, SOURCES)).status, 200);
  const named = `${REPORT}?object=${OBJECT.slice('/v1/alpha/'.length)}`;
  assert.equal((await call('POST', named)).status, 202);
  for (const path of [REPORT, named.slice(0, -1), `${REPORT}?object=bundle/${'0'.repeat(64)}`]) {
    assert.equal((await call('POST', path)).status, 404, path);
  }
});

test('what is kept is for the publishers of the dataset', async () => {
  const question = Buffer.from(JSON.stringify({ seen_ms: 1 }));
  for (const path of KEEP) {
    const status = async (options) =>
      (await call('POST', path, { body: question, ...options })).status;
    assert.equal(await status(), 401);
    assert.equal(await status({ by: OTHER }), 403);
    // The pointer has just moved: nobody that began to look at the first moment saw that.
    const late = /condemn|remove/.test(path) ? 409 : 200;
    assert.equal(await status({ by: KEY }), late, path);
  }
  const seen = JSON.stringify({ seen_ms: Date.now() + 3_600_000 });
  for (const path of KEEP.slice(3)) {
    assert.equal((await call('POST', path, { body: Buffer.from(seen), by: KEY })).status, 200);
  }
});

test('who does not ask for a WebSocket is told to', async () => {
  assert.equal((await call('GET', LIVE)).status, 426);
});

test('what is there is read', async () => {
  for (const path of READS) {
    for (const method of ['GET', 'HEAD']) {
      const whole = await call(method, path);
      assert.equal(whole.status, 200, path);
      const status = async (headers) => (await call(method, path, { headers })).status;
      assert.equal(await status({ 'if-none-match': whole.headers.etag }), 304);
      assert.equal(await status({ 'if-match': '"x"' }), 412);
    }
  }
  assert.equal((await call('GET', OBJECT, { headers: { range: 'bytes=3-5' } })).status, 206);
  assert.equal((await call('GET', OBJECT, { headers: { range: 'bytes=900-' } })).status, 416);
});

test('an edge without regions has counted nothing, and says so', async () => {
  for (const method of ['GET', 'HEAD']) {
    assert.equal((await call(method, '/metrics')).status, 200);
  }
});

/** A path of each of the document's, with the parameters that the release has. */
const PATHS = [
  '/healthz', '/readyz', '/metrics', CHECKPOINT, STABLE, HEAD, TRAIL, SOURCES, REPORT, LIVE,
  ...KEEP, OBJECT, TILE, ROOT,
];

test('each path has the methods that are listed, and no other', async () => {
  assert.equal(PATHS.length, api.methods().length);
  const used = new Map(api.methods());
  const refused = ['POST', 'PATCH', 'DELETE', 'PUT', 'GET', 'HEAD', 'QUERY', 'PROPFIND'];
  for (const path of PATHS) {
    assert.equal((await call('OPTIONS', path)).status, 204);
    const { template } = api.find(path);
    for (const method of refused) {
      if (used.get(template).includes(method)) continue;
      // The client's judge compares `Allow` with what is listed.
      assert.equal((await call(method, path)).status, 405, `${method} ${path}`);
    }
  }
});

test('an edge whose store does not answer says so on every path', async () => {
  const broken = await startEdge({ publishKeys: KEYS, r2Buckets: [] });
  const storeless = new Client(broken, { mayFail: true });
  try {
    for (const path of [...READS, '/readyz']) {
      assert.equal((await storeless.call('GET', path)).status, 503, path);
      assert.equal((await storeless.call('HEAD', path)).status, 503, path);
    }
    for (const { path, body: content, headers } of Object.values(WRITES)) {
      const reply = await storeless.call('PUT', path, { body: content, headers, by: KEY });
      assert.equal(reply.status, 503, path);
    }
    const named = `${REPORT}?object=bundle/${'0'.repeat(64)}`;
    assert.equal((await storeless.call('POST', named)).status, 503);
    assert.equal((await storeless.call('GET', '/healthz')).status, 200);
    for (const which of storeless.seen) seen.add(which);
    await storeless.close();
  } finally {
    await broken.close();
  }
});

/** What takes witnesses to provoke: tests/e2e/trust-story.test.mjs has them, and the same judge. */
const ELSEWHERE = ['PUT /v1/{dataset}/bootstrap/{channel} 409'];

test('every status that the document lists was seen', () => {
  for (const which of [...client.seen, ...ELSEWHERE]) seen.add(which);
  const missing = api.listed().filter((which) => !seen.has(which));
  assert.deepEqual(missing, []);
});

test('the worker reads no path that the document lacks', async () => {
  const segments = new Set(api.methods().flatMap(([template]) => template.split('/')));
  const { enum: kinds } = api.document.components.parameters.Kind.schema;
  const route = (await read('edge-worker/src/route.rs')).split('#[cfg(test)]')[0];
  const services = await read('edge-worker/src/service.rs');
  const grammar = route.slice(route.indexOf('\nfn target(')) + services;
  const quoted = grammar.matchAll(/"([a-z0-9/-]*[a-z][a-z0-9/-]*)"/g);
  const literals = [...quoted].map(([, text]) => text);
  assert.ok(literals.includes('/healthz') && literals.includes('trust-root'), 'it is found');
  for (const literal of literals.flatMap((text) => text.split('/').filter(Boolean))) {
    assert.ok(segments.has(literal), `route.rs reads "${literal}", which openapi.yaml lacks`);
  }
  const types = await read('core/src/types.rs');
  const arms = /impl ObjectKind[\s\S]*?fn as_str[\s\S]*?\{([\s\S]*?)\n {4}\}/.exec(types)[1];
  const names = [...arms.matchAll(/"([\w-]+)"/g)].map(([, name]) => name);
  assert.deepEqual(names.sort(), kinds.toSorted());
});

test('the problems are those of the code', async () => {
  const code = await read('edge-worker/src/problem.rs');
  const arms = /fn as_str[\s\S]*?\n {4}\}/.exec(code)[0];
  const codes = [...arms.matchAll(/=> "([a-z-]+)"/g)].map(([, name]) => name);
  const { enum: types } = api.document.components.schemas.Problem.properties.type;
  assert.deepEqual(types, codes.map((name) => `urn:packice:problem:${name}`));
});
