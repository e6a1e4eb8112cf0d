// Log tiles, trust roots and moves of a pointer against the real worker on workerd, with frozen
// releases that are really signed (tests/vectors/edge-log.json).

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { startEdge } from '../harness/edge.mjs';
import { Client, assertProblem } from '../harness/raw-client.mjs';
import { publishKey } from '../harness/signer.mjs';

const KEY = publishKey('a key for alpha');
const STABLE = '/v1/alpha/bootstrap/stable';
const HEAD = '/v1/alpha/head/stable';
const CHECKPOINT = '/v1/alpha/checkpoint';

const log = JSON.parse(await readFile(new URL('../vectors/edge-log.json', import.meta.url)));
const bytes = (hex) => Buffer.from(hex, 'hex');
const root = (name) => bytes(log.trust_roots[name]);
const release = (name) => log.releases[name];
const bootstrap = (name) => bytes(release(name).bootstrap);

/** An edge of its own for each test: they all publish the same dataset. */
function edgeTest(name, run) {
  test(name, async () => {
    const edge = await startEdge({ publishKeys: KEY.entry('alpha') });
    const client = new Client(edge);
    try {
      await run(new Publisher(client), edge);
      await client.close();
    } finally {
      await edge.close();
    }
  });
}

class Publisher {
  constructor(client) {
    this.client = client;
  }

  get(path, headers) {
    return this.client.call('GET', path, { headers });
  }

  head(path, headers) {
    return this.client.call('HEAD', path, { headers });
  }

  put(path, body, headers) {
    return this.client.call('PUT', path, { body, headers, by: KEY });
  }

  async upload(name, what = ['tiles', 'objects']) {
    for (const { path, bytes: hex } of what.flatMap((part) => release(name)[part])) {
      const reply = await this.put(`/v1/alpha/${path}`, bytes(hex));
      assert.ok([201, 204].includes(reply.status), `${path}: ${reply.status} ${reply.body}`);
    }
  }

  move(name, condition, path = STABLE) {
    return this.put(path, bootstrap(name), condition);
  }

  /** Trust root, first release, pointer: returns the pointer's tag. */
  async begin() {
    assert.equal((await this.put('/v1/alpha/trust-root/1', root('1'))).status, 201);
    await this.upload('first');
    const moved = await this.move('first', { 'if-none-match': '*' });
    assert.equal(moved.status, 201, moved.body.toString());
    return moved.headers.etag;
  }
}

const later = (ms) => new Promise((done) => setTimeout(done, ms));

edgeTest('a first release is published in the order of what points to what', async (edge) => {
  const first = { 'if-none-match': '*' };
  for (const path of [STABLE, CHECKPOINT, '/v1/alpha/trust-root/1']) {
    assertProblem(await edge.get(path), 404, 'not-found');
    assert.equal((await edge.head(path)).status, 404);
  }
  const missing = async (what) => {
    const problem = assertProblem(await edge.move('first', first), 422, 'check-failed');
    assert.equal(problem.reason, 'edge/missing-object');
    assert.match(problem.detail, what);
    assert.equal((await edge.head(STABLE)).status, 404, 'nothing is visible');
  };
  await missing(/log\/tile\/0\/000\.p\/1/);
  await edge.upload('first', ['tiles']);
  await missing(/trust-root\/1/);
  assert.equal((await edge.put('/v1/alpha/trust-root/1', root('1'))).status, 201);
  await missing(/manifest\//);
  const [directory, dictionary, manifest] = release('first').objects;
  await edge.put(`/v1/alpha/${manifest.path}`, bytes(manifest.bytes));
  await missing(/layout\//);
  await edge.put(`/v1/alpha/${directory.path}`, bytes(directory.bytes));
  await missing(/dictionary\//);
  await edge.put(`/v1/alpha/${dictionary.path}`, bytes(dictionary.bytes));

  const moved = await edge.move('first', first);
  assert.equal(moved.status, 201);
  const got = await edge.get(STABLE);
  assert.equal(got.status, 200);
  assert.deepEqual(got.body, bootstrap('first'));
  assert.equal(got.headers.etag, moved.headers.etag);
  assert.equal(got.headers['content-type'], 'application/octet-stream');
  assert.equal(got.headers['cache-control'], 'public, max-age=5, stale-while-revalidate=30');
  const headed = await edge.head(STABLE);
  assert.equal(headed.headers['content-length'], String(bootstrap('first').length));
  assert.equal(headed.headers.etag, moved.headers.etag);
});

edgeTest('the checkpoint is the one of the stable pointer', async (edge) => {
  const etag = await edge.begin();
  const got = await edge.get(CHECKPOINT);
  assert.equal(got.status, 200);
  assert.equal(got.headers['content-type'], 'text/plain; charset=utf-8');
  assert.equal(got.headers['cache-control'], 'public, max-age=5, stale-while-revalidate=30');
  assert.match(got.body.toString(), /^packice\.example\/alpha\n1\n[A-Za-z0-9+/=]+\n\n\u2014 /);
  assert.equal(got.headers.etag, etag);
  const headed = await edge.head(CHECKPOINT);
  assert.equal(headed.headers['content-length'], String(got.body.length));
  assert.equal(headed.body.length, 0);
  const same = await edge.get(CHECKPOINT, { 'if-none-match': etag });
  assert.deepEqual([same.status, same.body.length], [304, 0]);
});

edgeTest('the head is the pointer without what only a cold client wants', async (edge) => {
  const etag = await edge.begin();
  const got = await edge.get(HEAD);
  assert.equal(got.headers['content-type'], 'application/octet-stream');
  assert.equal(got.headers['cache-control'], 'public, max-age=5, stale-while-revalidate=30');
  assert.equal(got.headers.etag, etag);
  // The frozen bootstraps have no objects: nothing is left out.
  assert.deepEqual(got.body, bootstrap('first'));
  assertProblem(await edge.put(HEAD, got.body, { 'if-match': etag }), 405, 'method-not-allowed');
  // It is kept for seconds, and a move forgets it here.
  await edge.upload('second');
  assert.equal((await edge.move('second', { 'if-match': etag })).status, 204);
  assert.deepEqual((await edge.get(HEAD)).body, bootstrap('second'));
});

edgeTest('a pointer moves by compare-and-swap only', async (edge) => {
  const etag = await edge.begin();
  await edge.upload('second');
  assertProblem(await edge.move('second', {}), 428, 'precondition-required');
  assertProblem(await edge.move('second', { 'if-match': 'x' }), 400, 'bad-request');
  for (const condition of [
    { 'if-match': '"x"' }, { 'if-match': `W/${etag}` }, { 'if-none-match': '*' },
    { 'if-none-match': etag },
  ]) {
    assertProblem(await edge.move('second', condition), 412, 'precondition-failed');
  }
  assert.deepEqual((await edge.get(STABLE, { 'cache-control': 'no-cache' })).body,
    bootstrap('first'));
  const moved = await edge.move('second', { 'if-match': `"x", ${etag}` });
  assert.equal(moved.status, 204, moved.body.toString());
  assert.notEqual(moved.headers.etag, etag);
  // Sent again because its answer was lost: done already, whatever it expects.
  const again = await edge.move('second', { 'if-match': etag });
  assert.deepEqual([again.status, again.headers.etag], [204, moved.headers.etag]);
  assert.deepEqual((await edge.get(STABLE)).body, bootstrap('second'));
});

edgeTest('of moves that race, one wins and the others hear of it', async (edge) => {
  let etag = await edge.begin();
  await edge.upload('second');
  let stood = 'first';
  for (let round = 0; round < 4; round += 1) {
    const names = ['second', 'second-a', 'second-b'].filter((name) => name !== stood).slice(0, 2);
    const racers = [...names, ...names, ...names];
    const moves = await Promise.all(racers.map((name) => edge.move(name, { 'if-match': etag })));
    const stands = await edge.get(STABLE, { 'cache-control': 'no-cache' });
    const winner = names.find((name) => bootstrap(name).equals(stands.body));
    assert.ok(winner, 'one of them stands');
    moves.forEach((move, at) => {
      // The winner's own repeats find it done, or lost to itself: never to another.
      const allowed = racers[at] === winner ? [204, 412] : [412];
      assert.ok(allowed.includes(move.status), `${racers[at]}: ${move.status}`);
    });
    assert.ok(moves.some((move) => move.status === 204));
    etag = stands.headers.etag;
    stood = winner;
  }
});

edgeTest('what signatures or the log do not allow does not become current', async (edge) => {
  const etag = await edge.begin();
  await edge.upload('second');
  const refused = async (name, reason, tag = etag) => {
    const reply = await edge.move(name, { 'if-match': tag });
    assert.equal(assertProblem(reply, 422, 'check-failed').reason, reason, name);
    const stands = await edge.get(STABLE, { 'cache-control': 'no-cache' });
    assert.equal(stands.headers.etag, tag);
  };
  await refused('second-forged', 'trust/below-threshold');
  // The fork's tiles replace the second release's, as nobody has signed for those here yet.
  await edge.upload('second-fork');
  await refused('second', 'trust/bad-tile');
  await edge.upload('second');
  await refused('second-fork', 'trust/bad-tile');
  const moved = await edge.move('second', { 'if-match': etag });
  assert.equal(moved.status, 204);
  await refused('first', 'trust/rollback', moved.headers.etag);
  for (const body of [Buffer.alloc(0), Buffer.from('PKB1'), bootstrap('second').subarray(1),
    bootstrap('second').subarray(0, -1), Buffer.concat([bootstrap('second'), Buffer.from('x')])]) {
    const reply = await edge.put(STABLE, body, { 'if-match': moved.headers.etag });
    assertProblem(reply, 422, 'check-failed');
  }
});

edgeTest('a second channel follows the log of the first', async (edge) => {
  const etag = await edge.begin();
  const beta = '/v1/alpha/bootstrap/beta';
  await edge.upload('second');
  assert.equal((await edge.move('second', { 'if-match': etag })).status, 204);
  await edge.upload('beta');
  const nowhere = await edge.move('second', { 'if-none-match': '*' }, beta);
  assert.equal(assertProblem(nowhere, 422, 'check-failed').reason, 'trust/no-such-channel');
  assert.equal((await edge.move('beta', { 'if-none-match': '*' }, beta)).status, 201);
  assert.deepEqual((await edge.get(beta)).body, bootstrap('beta'));
  const stable = await edge.get(STABLE, { 'cache-control': 'no-cache' });
  assert.deepEqual(stable.body, bootstrap('second'));
  const stays = await edge.move('second-a', { 'if-match': stable.headers.etag });
  assert.equal(assertProblem(stays, 422, 'check-failed').reason, 'trust/rollback');
  const follows = await edge.move('beta', { 'if-match': stable.headers.etag });
  assert.equal(follows.status, 204, follows.body.toString());
});

edgeTest('trust roots are written once and follow each other', async (edge) => {
  const path = (version) => `/v1/alpha/trust-root/${version}`;
  assertProblem(await edge.put(path(1), root('1-unsigned')), 422, 'check-failed');
  assertProblem(await edge.put(path(1), root('2')), 422, 'check-failed');
  assertProblem(await edge.put(path(1), Buffer.from('nonsense')), 422, 'check-failed');
  assertProblem(await edge.put(path(2), root('2')), 422, 'check-failed');
  assert.equal((await edge.head(path(1))).status, 404);
  assert.equal((await edge.put(path(1), root('1'))).status, 201);
  assert.equal((await edge.put(path(1), root('1'))).status, 204);
  assertProblem(await edge.put(path(1), root('1-stranger')), 409, 'conflict');
  assertProblem(await edge.put(path(2), root('2-alone')), 422, 'check-failed');
  assertProblem(await edge.put(path(3), root('2')), 422, 'check-failed');
  assert.equal((await edge.put(path(2), root('2'))).status, 201);
  assertProblem(await edge.put(path(2), root('2-alone')), 409, 'conflict');
  const got = await edge.get(path(1));
  assert.deepEqual(got.body, root('1'));
  assert.equal(got.headers['cache-control'], 'public, max-age=31536000, immutable');
});

edgeTest('new release keys take over with a new trust root', async (edge) => {
  let tag = { 'if-match': await edge.begin() };
  for (const name of ['second', 'beta']) {
    await edge.upload(name);
    const moved = await edge.move(name, tag);
    assert.equal(moved.status, 204, moved.body.toString());
    tag = { 'if-match': moved.headers.etag };
  }
  await edge.upload('rotated');
  const early = assertProblem(await edge.move('rotated', tag), 422, 'check-failed');
  assert.equal(early.reason, 'trust/bad-trust-chain');
  assert.equal((await edge.put('/v1/alpha/trust-root/2', root('2'))).status, 201);
  const moved = await edge.move('rotated', tag);
  assert.equal(moved.status, 204, moved.body.toString());
  assert.deepEqual((await edge.get(STABLE)).body, bootstrap('rotated'));
});

edgeTest('tiles can be replaced until a signed checkpoint covers them', async (edge) => {
  const tile = (name, at) => release(name).tiles[at];
  const path = (name, at) => `/v1/alpha/${tile(name, at).path}`;
  const body = (name, at) => bytes(tile(name, at).bytes);
  const etag = await edge.begin();
  for (const at of [0, 1]) {
    assert.equal(path('second', at), path('second-fork', at));
    assert.equal((await edge.put(path('second-fork', at), body('second-fork', at))).status, 201);
    const unsettled = await edge.get(path('second', at));
    assert.equal(unsettled.headers['cache-control'], 'no-store');
    assert.deepEqual(unsettled.body, body('second-fork', at));
    assert.equal((await edge.put(path('second', at), body('second', at))).status, 204);
    assert.deepEqual((await edge.get(path('second', at))).body, body('second', at));
  }
  await edge.upload('second', ['objects']);
  assert.equal((await edge.move('second', { 'if-match': etag })).status, 204);
  for (const at of [0, 1]) {
    assert.equal((await edge.put(path('second', at), body('second', at))).status, 204);
    const refused = await edge.put(path('second', at), body('second-fork', at));
    assertProblem(refused, 409, 'conflict');
    for (const round of ['store', 'cache']) {
      const settled = await edge.get(path('second', at));
      assert.equal(settled.headers['cache-control'], 'public, max-age=31536000, immutable', round);
      assert.deepEqual(settled.body, body('second', at));
    }
  }
  const empty = await edge.put('/v1/alpha/log/tile/0/000.p/3', Buffer.alloc(95));
  assertProblem(empty, 422, 'check-failed');
  const ragged = await edge.put('/v1/alpha/log/tile/entries/000.p/3', Buffer.from([0, 9, 1]));
  assertProblem(ragged, 422, 'check-failed');
});

edgeTest('a pointer that came by other means than a move stands', async (edge, { miniflare }) => {
  const etag = await edge.begin();
  const bucket = await miniflare.getR2Bucket('OBJECTS');
  await bucket.put('alpha/bootstrap/stable', bootstrap('first'));
  const [{ path, bytes: hex }] = release('first').tiles;
  const settled = await edge.get(`/v1/alpha/${path}`);
  assert.equal(settled.headers['cache-control'], 'public, max-age=31536000, immutable');
  assertProblem(await edge.put(`/v1/alpha/${path}`, Buffer.alloc(hex.length / 2)), 409, 'conflict');
  await edge.upload('second');
  assert.equal((await edge.move('second', { 'if-match': etag })).status, 204);
  await bucket.put('alpha/bootstrap/damaged', 'nonsense');
  assertProblem(await edge.get('/v1/alpha/bootstrap/none'), 404, 'not-found');
  assert.equal((await edge.get(`/v1/alpha/${path}`)).status, 200);
});

edgeTest('the same tile and trust root sent many times at once are no conflict', async (edge) => {
  const { path, bytes: hex } = release('first').tiles[0];
  for (const [where, body] of [[path, bytes(hex)], ['trust-root/1', root('1')]]) {
    const same = Array.from({ length: 8 }, () => edge.put(`/v1/alpha/${where}`, body));
    const statuses = (await Promise.all(same)).map((reply) => reply.status).sort();
    assert.deepEqual(statuses, [201, ...Array(7).fill(204)].sort(), where);
  }
});

edgeTest('no cache answers with a pointer that was replaced more than 5 s ago', async (edge) => {
  let tag = await edge.begin();
  await edge.upload('second');
  // Warm: the cache answers, and says how old it is.
  await edge.get(STABLE);
  await later(300);
  const warm = await edge.get(STABLE);
  assert.match(warm.headers['cache-status'] ?? '', /hit/);
  assert.ok(Number(warm.headers.age) <= 5, warm.headers.age);
  const same = await edge.get(STABLE, { 'if-none-match': tag });
  assert.equal(same.status, 304);

  // In the data centre that took the PUT, the next read is the new pointer, also under load.
  const names = ['second', 'second-a', 'second-b', 'second'];
  for (const name of names) {
    let stop = false;
    const readers = Array.from({ length: 4 }, async () => {
      while (!stop) await edge.get(STABLE);
    });
    await later(50);
    const moved = await edge.move(name, { 'if-match': tag });
    assert.equal(moved.status, 204, moved.body.toString());
    tag = moved.headers.etag;
    const fresh = await edge.get(STABLE, { 'cache-control': 'no-cache' });
    assert.equal(fresh.headers.etag, tag);
    assert.equal((await edge.head(STABLE)).headers.etag, tag);
    stop = true;
    await Promise.all(readers);
  }
  await later(5100);
  assert.equal((await edge.get(STABLE)).headers.etag, tag);
  assert.equal((await edge.get(CHECKPOINT)).headers.etag, tag);
});
