// Who may publish, against the real worker on workerd: signed requests that are taken once, and
// everything that must not pass for one. Requests are signed by the harness's own reading of the
// RFCs (tests/harness/signer.mjs), not by the code that checks them.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { blake3 } from '../harness/blake3.mjs';
import { startEdge } from '../harness/edge.mjs';
import { Client, assertProblem } from '../harness/raw-client.mjs';
import { contentDigest, publishKey } from '../harness/signer.mjs';

const ALICE = publishKey('alice publishes alpha');
const BOB = publishKey('bob publishes beta');
const KEYS = `${ALICE.entry('alpha')}, ${BOB.entry('beta')}`;
const STABLE = '/v1/alpha/bootstrap/stable';
const TRAIL = '/v1/alpha/trail';

const log = JSON.parse(await readFile(new URL('../vectors/edge-log.json', import.meta.url)));
const bytes = (hex) => Buffer.from(hex, 'hex');
let edge;
let client;
let made = 0;

const call = (method, path, options) => client.call(method, path, options);

/** An object that was never there. */
function object(dataset = 'alpha') {
  const body = Buffer.from(`object ${(made += 1)} of the authentication`);
  return { body, path: `/v1/${dataset}/bundle/${blake3(body)}` };
}

/** The headers of an upload by a key, signed as a test says. */
function headers({ path, body }, by = ALICE, more = {}) {
  return by.headers({ method: 'PUT', authority: `${edge.host}:${edge.port}`, path, body, ...more });
}

const put = ({ path, body }, given) => call('PUT', path, { body, headers: given });
const nothing = async ({ path }) => assert.equal((await call('HEAD', path)).status, 404);

async function refused(reply, status, reason) {
  const code = status === 403 ? 'forbidden' : 'unauthorized';
  assert.equal(assertProblem(await reply, status, code).reason, reason);
}

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

test('a signed upload is taken, and cannot be passed by replay', async () => {
  const one = object();
  const signed = headers(one);
  assert.equal((await put(one, signed)).status, 201);
  for (let again = 0; again < 3; again += 1) {
    await refused(put(one, signed), 401, 'signature/replayed');
  }
  assert.equal((await put(one, headers(one))).status, 204, 'signed anew it is the same upload');
  const many = object();
  const same = headers(many);
  const sent = await Promise.all(Array.from({ length: 16 }, () => put(many, same)));
  const taken = sent.filter(({ status }) => status === 201);
  assert.equal(taken.length, 1, 'of many at once, one counts');
  assert.equal(sent.filter(({ status }) => status === 401).length, 15);
  // Another key may use the same nonce, and the same key another day's.
  const nonce = 'n'.repeat(32);
  const [mine, theirs] = [object(), object('beta')];
  assert.equal((await put(mine, headers(mine, ALICE, { nonce }))).status, 201);
  assert.equal((await put(theirs, headers(theirs, BOB, { nonce }))).status, 201);
});

test('a replay is known after the edge was started again', async () => {
  const persist = await mkdtemp(join(tmpdir(), 'packice-auth-'));
  const one = object();
  let signed;
  try {
    for (const [at, status] of [201, 401].entries()) {
      const own = await startEdge({ publishKeys: KEYS, persist });
      const direct = new Client(own);
      try {
        // Signed for one host, so that the port may be another one.
        signed ??= ALICE.headers({ method: 'PUT', authority: 'edge.example', ...one });
        const given = { ...signed, host: 'edge.example' };
        const reply = await direct.call('PUT', one.path, { body: one.body, headers: given });
        assert.equal(reply.status, status, `${at}: ${reply.body}`);
        await direct.close();
      } finally {
        await own.close();
      }
    }
  } finally {
    await rm(persist, { recursive: true, force: true });
  }
});

test("it cannot be passed by another dataset's key", async () => {
  const one = object();
  await refused(put(one, headers(one, BOB)), 403, undefined);
  await refused(put(one, headers(one, publishKey('a stranger'))), 401, 'signature/unknown-key');
  // Whoever says another's key has to sign by it.
  await refused(put(one, headers(one, BOB, { keyid: ALICE.id })), 401, 'signature/bad');
  await refused(call('GET', TRAIL, { by: BOB }), 403, undefined);
  await nothing(one);
});

test('it cannot be passed by a changed body', async () => {
  const [one, other] = [object(), object()];
  // The body's name fits the path: only the signature is about another one.
  const signed = headers({ path: one.path, body: other.body });
  await refused(put(one, signed), 401, 'signature/body');
  const replaced = { ...headers(one), 'content-digest': contentDigest(other.body) };
  await refused(put(one, replaced), 401, 'signature/bad');
  const without = headers({ path: one.path });
  await refused(put(one, without), 401, 'signature/not-covered');
  for (const digest of ['md5=:AAAA:', 'sha-256=:AAAA:', `${contentDigest(one.body)}, a=:AA==:`]) {
    const odd = headers(one, ALICE, { headers: { 'content-digest': digest } });
    const reply = await put(one, odd);
    assert.equal(assertProblem(reply, 400, 'bad-request').reason, 'signature/body', digest);
  }
  await nothing(one);
});

test('it cannot be passed by a changed path, query, host, method or condition', async () => {
  const [one, other] = [object(), object()];
  await refused(put(other, headers({ path: one.path, body: other.body })), 401, 'signature/bad');
  const query = { ...one, path: `${one.path}?x=1` };
  await refused(put(query, headers(one)), 401, 'signature/bad');
  const elsewhere = headers(one, ALICE, { authority: 'another-edge.example' });
  await refused(put(one, elsewhere), 401, 'signature/bad');
  const reading = headers(one, ALICE, { method: 'GET' });
  await refused(put(one, reading), 401, 'signature/bad');
  const pointer = { path: STABLE, body: Buffer.from('x') };
  const create = headers(pointer, ALICE, { headers: { 'if-none-match': '*' } });
  await refused(put(pointer, { ...create, 'if-none-match': '"x"' }), 401, 'signature/bad');
  const { 'if-none-match': _, ...unconditional } = create;
  await refused(put(pointer, unconditional), 401, 'signature/not-covered');
  const added = { ...headers(pointer), 'if-match': '*' };
  await refused(put(pointer, added), 401, 'signature/not-covered');
  await refused(call('GET', `${TRAIL}?after=1`, {
    headers: ALICE.headers({ method: 'GET', authority: `${edge.host}:${edge.port}`, path: TRAIL }),
  }), 401, 'signature/bad');
  await nothing(one);
  await nothing(other);
});

test('it cannot be passed by an old date, or one ahead', async () => {
  const now = Math.floor(Date.now() / 1000);
  const one = object();
  for (const created of [now - 301, now - 86_400, 0, now + 75, now * 2]) {
    await refused(put(one, headers(one, ALICE, { created })), 401, 'signature/out-of-time');
  }
  await nothing(one);
  // Publishers' clocks may differ a little, and uploads take a while to arrive.
  for (const created of [now - 280, now + 40]) {
    const fine = object();
    assert.equal((await put(fine, headers(fine, ALICE, { created }))).status, 201, `${created}`);
  }
});

test('it cannot be passed by a signature over less, or of another kind', async () => {
  const one = object();
  const all = ['@method', '@authority', '@path', '@query', 'content-digest'];
  for (const left of all) {
    const covered = all.filter((name) => name !== left);
    await refused(put(one, headers(one, ALICE, { covered })), 401, 'signature/not-covered');
  }
  const twice = headers(one, ALICE, { covered: [...all, '@path'] });
  await refused(put(one, twice), 401, 'signature/not-covered');
  await refused(put(one, headers(one, ALICE, { tag: 'other' })), 401, 'signature/malformed');
  await refused(put(one, headers(one, ALICE, { alg: 'hmac-sha256' })), 401, 'signature/malformed');
  await refused(put(one, headers(one, ALICE, { nonce: 'short' })), 401, 'signature/malformed');
  const signed = headers(one);
  const { signature, 'signature-input': input } = signed;
  for (const [name, value] of [
    ['signature', undefined], ['signature-input', undefined], ['signature', ''],
    ['signature', `${signature}, ${signature}`], ['signature-input', `${input}, ${input}`],
    ['signature-input', input.replace('packice=', 'sig1=')], ['signature-input', `${input};x=1`],
    ['signature', signature.replace('packice=:', 'packice=:A')], ['signature', 'packice=::'],
  ]) {
    const { [name]: _, ...rest } = signed;
    const given = value === undefined ? rest : { ...rest, [name]: value };
    const reply = await put(one, given);
    assertProblem(reply, 401, 'unauthorized');
  }
  const bearer = await put(one, { authorization: `Bearer ${ALICE.id}` });
  assertProblem(bearer, 401, 'unauthorized');
  await nothing(one);
  assert.equal((await put(one, signed)).status, 201, 'none of it used the nonce up');
});

test('keys rotate without a moment in which nobody may publish', async () => {
  const [old, young] = [publishKey('the old key'), publishKey('the new key')];
  const persist = await mkdtemp(join(tmpdir(), 'packice-rotate-'));
  const both = `${old.entry('alpha')}, ${young.entry('alpha')}`;
  try {
    for (const [keys, takesOld, takesNew] of [
      [old.entry('alpha'), 201, 401], [both, 201, 201], [young.entry('alpha'), 401, 201],
    ]) {
      const own = await startEdge({ publishKeys: keys, persist });
      const direct = new Client(own);
      try {
        for (const [by, status] of [[old, takesOld], [young, takesNew]]) {
          const { path, body } = object();
          const reply = await direct.call('PUT', path, { body, by });
          assert.equal(reply.status, status, `${reply.body}`);
        }
        await direct.close();
      } finally {
        await own.close();
      }
    }
  } finally {
    await rm(persist, { recursive: true, force: true });
  }
});

test('a key has a quota for each dataset and day', async () => {
  const bindings = { PUBLISH_QUOTA: 'requests=4, mib=1' };
  const own = await startEdge({ publishKeys: `${ALICE.entry()}, ${BOB.entry()}`, bindings });
  const direct = new Client(own);
  const send = (by, dataset, length = 10) => {
    const body = Buffer.alloc(length, (made += 1) & 255);
    return direct.call('PUT', `/v1/${dataset}/bundle/${blake3(body)}`, { body, by });
  };
  try {
    const large = await send(ALICE, 'alpha', (1 << 20) + 1);
    const problem = assertProblem(large, 429, 'quota-exceeded');
    assert.match(problem.detail, /1 MiB a day/);
    const wait = Number(large.headers['retry-after']);
    assert.ok(wait > 0 && wait <= 86_400, `${wait}`);
    for (let sent = 0; sent < 4; sent += 1) assert.equal((await send(ALICE, 'alpha')).status, 201);
    assertProblem(await send(ALICE, 'alpha'), 429, 'quota-exceeded');
    assert.equal((await send(BOB, 'alpha')).status, 201, 'another key has its own');
    assert.equal((await send(ALICE, 'beta')).status, 201, 'as has another dataset');
    await direct.close();
  } finally {
    await own.close();
  }
});

test('the trail tells its publishers who moved what', async () => {
  const { first, second } = log.releases;
  const send = (path, body, given) => call('PUT', path, { body, headers: given, by: ALICE });
  assert.equal((await send('/v1/alpha/trust-root/1', bytes(log.trust_roots['1']))).status, 201);
  for (const { path, bytes: hex } of [...first.tiles, ...first.objects]) {
    assert.equal((await send(`/v1/alpha/${path}`, bytes(hex))).status, 201);
  }
  const before = Date.now();
  const moved = await send(STABLE, bytes(first.bootstrap), { 'if-none-match': '*' });
  assert.equal(moved.status, 201, `${moved.body}`);
  const etag = { 'if-match': moved.headers.etag };
  assert.equal((await send(STABLE, bytes(second.bootstrap), etag)).status, 422);
  const late = await send(STABLE, bytes(second.bootstrap), { 'if-match': '"gone"' });
  assert.equal(late.status, 412);

  assertProblem(await call('GET', TRAIL), 401, 'unauthorized');
  const page = async (query = '') => {
    const reply = await call('GET', `${TRAIL}${query}`, { by: ALICE });
    assert.equal(reply.status, 200, `${reply.body}`);
    assert.equal(reply.headers['cache-control'], 'no-store');
    return JSON.parse(reply.body);
  };
  const { rows, next } = await page();
  const shown = rows.map(({ outcome, who, channel, log_size: size }) =>
    [outcome, who, channel, size]);
  assert.deepEqual(shown, [
    ['moved', ALICE.id, 'stable', 1],
    ['refused', ALICE.id, 'stable', 2],
    ['lost', ALICE.id, 'stable', 2],
  ]);
  assert.equal(rows[0].bootstrap, blake3(bytes(first.bootstrap)));
  assert.equal(rows[1].reason, 'edge/missing-object');
  assert.ok(rows[0].at_ms >= before - 1000 && rows[0].at_ms <= Date.now() + 1000);
  assert.deepEqual(await page(`?after=${next}`), { rows: [], next });
  assert.deepEqual((await page('?after=1')).rows, rows.slice(1));
  assertProblem(await call('GET', `${TRAIL}?after=x`, { by: ALICE }), 400, 'bad-request');
  assert.deepEqual(JSON.parse((await call('GET', '/v1/beta/trail', { by: BOB })).body).rows, []);
});
