// Faults of the edge on real workerd: what happens, and how it comes back. Nothing that was
// acknowledged is lost, and no client takes a byte that is wrong. (An object damaged in one store,
// and a region that is sick: edge-guard.test.mjs.)

import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { blake3 } from '../harness/blake3.mjs';
import { freePort, startEdge } from '../harness/edge.mjs';
import { PACKICE, makeProject } from '../harness/project.mjs';
import { Client, assertProblem } from '../harness/raw-client.mjs';
import { publishKey } from '../harness/signer.mjs';

const KEY = publishKey('faults');
const EDGE = fileURLToPath(new URL('../harness/edge.mjs', import.meta.url));
const STABLE = '/v1/alpha/bootstrap/stable';
const log = JSON.parse(await readFile(new URL('../vectors/edge-log.json', import.meta.url)));
const bytes = (hex) => Buffer.from(hex, 'hex');
const bootstrap = (name) => bytes(log.releases[name].bootstrap);

async function temporary(t, name) {
  const dir = await mkdtemp(join(tmpdir(), `packice-${name}-`));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** An edge in a process of its own, with workerd below it, that can be killed as a whole. */
async function startKillable(persist, port) {
  const env = { ...process.env, PUBLISH_KEYS: KEY.entry() };
  const args = [EDGE, '--persist', persist, '--port', String(port)];
  const stdio = ['pipe', 'pipe', 'ignore'];
  const child = spawn(process.execPath, args, { env, stdio, detached: true });
  const ended = new Promise((done) => child.once('exit', done));
  const line = await new Promise((done, fail) => {
    child.stdout.once('data', (data) => done(String(data)));
    child.once('exit', () => fail(new Error('the edge did not start')));
  });
  const edge = JSON.parse(line);
  return {
    ...edge,
    async kill() {
      process.kill(-child.pid, 'SIGKILL');
      await ended;
    },
  };
}

/** Uploads what a frozen release points to. */
async function upload(client, name) {
  const { tiles, objects } = log.releases[name];
  for (const { path, bytes: hex } of [...tiles, ...objects]) {
    const reply = await client.call('PUT', `/v1/alpha/${path}`, { body: bytes(hex), by: KEY });
    assert.ok([201, 204].includes(reply.status), `${path}: ${reply.status} ${reply.body}`);
  }
}

async function begin(client) {
  const root = bytes(log.trust_roots['1']);
  const put = await client.call('PUT', '/v1/alpha/trust-root/1', { body: root, by: KEY });
  assert.equal(put.status, 201);
  await upload(client, 'first');
  return move(client, 'first', { 'if-none-match': '*' });
}

const move = (client, name, headers) =>
  client.call('PUT', STABLE, { body: bootstrap(name), by: KEY, headers });
const stands = async (client) =>
  (await client.call('GET', STABLE, { headers: { 'cache-control': 'no-cache' } })).body;
const trail = async (client) =>
  JSON.parse((await client.call('GET', '/v1/alpha/trail', { by: KEY })).body).rows;

/** The pointer object's database under a persisted edge. */
async function database(persist) {
  const files = await readdir(persist, { recursive: true });
  const found = files.find((file) => /Pointer\/[0-9a-f]+\.sqlite$/.test(file));
  assert.ok(found, files.join('\n'));
  return join(persist, found);
}

test('a move that broke off after its promise is finished by the next start', async (t) => {
  const persist = await temporary(t, 'promise');
  let edge = await startEdge({ publishKeys: KEY.entry(), persist });
  let client = new Client(edge);
  const { headers } = await begin(client);
  await upload(client, 'second');
  await client.close();
  await edge.close();

  // What the object's storage holds when it stops right after the promise.
  const db = new DatabaseSync(await database(persist));
  db.prepare('UPDATE generation SET number = number + 1').run();
  const insert = db.prepare('INSERT INTO promise VALUES (0, ?, ?, ?, ?, ?, ?)');
  const etag = headers.etag.replaceAll('"', '');
  insert.run('alpha', 'stable', etag, '1.2', KEY.id, bootstrap('second'));
  db.close();

  edge = await startEdge({ publishKeys: KEY.entry(), persist });
  t.after(() => edge.close());
  client = new Client(edge);
  assert.deepEqual(await stands(client), bootstrap('first'), 'nothing was shown yet');
  // Another move that was built on the first one comes too late, and learns what stands.
  const late = await move(client, 'second-a', { 'if-match': headers.etag });
  assertProblem(late, 412, 'precondition-failed');
  assert.deepEqual(await stands(client), bootstrap('second'));
  // The publisher whose answer was lost sends its move again: it is done.
  assert.equal((await move(client, 'second', { 'if-match': headers.etag })).status, 204);
  const told = (await trail(client)).map(({ outcome, log_size: size }) => `${outcome} ${size}`);
  assert.deepEqual(told, ['moved 1', 'recovered 2', 'lost 2']);
  await client.close();
});

test('an edge killed in the middle of moves shows the old pointer or the new one', async (t) => {
  const persist = await temporary(t, 'killed');
  const port = await freePort();
  let edge = await startKillable(persist, port);
  let client = new Client(edge, { mayFail: true });
  let { headers: { etag } } = await begin(client);
  await upload(client, 'second');
  const names = ['second', 'second-a', 'second-b'];
  let acknowledged = 'first';
  for (let round = 0; round < 6; round += 1) {
    const name = names[round % names.length];
    const moving = move(client, name, { 'if-match': etag }).catch(() => null);
    await new Promise((done) => setTimeout(done, round * 8));
    await edge.kill();
    const answer = await moving;
    if (answer && answer.status < 300) acknowledged = name;
    await client.close();

    edge = await startKillable(persist, port);
    client = new Client(edge, { mayFail: true });
    const now = await stands(client);
    const either = [acknowledged, name].some((shown) => now.equals(bootstrap(shown)));
    assert.ok(either, `round ${round}: neither ${acknowledged} nor ${name}`);
    // Sent again with what stands, it is done or takes place.
    etag = (await client.call('HEAD', STABLE)).headers.etag;
    const again = await move(client, name, { 'if-match': etag });
    assert.ok([200, 204].includes(again.status), `round ${round}: ${again.body}`);
    acknowledged = name;
    etag = again.headers.etag;
    assert.deepEqual(await stands(client), bootstrap(name));
  }
  await client.close();
  await edge.kill();
});

/** Runs `packice`; its exit code and what it said. */
function packice(dir, args, env = {}) {
  return new Promise((done) => {
    const options = { cwd: dir, env: { ...process.env, ...env }, maxBuffer: 1 << 26 };
    execFile(PACKICE, args, options, (error, stdout, stderr) => {
      done({ code: error ? error.code : 0, stdout, stderr });
    });
  });
}

test('clients finish elsewhere: an edge is killed, a store is wiped', async (t) => {
  const [persist, port] = [await temporary(t, 'elsewhere'), await freePort()];
  const well = await startEdge({ publishKeys: KEY.entry() });
  t.after(() => well.close());
  const ill = await startKillable(persist, port);
  const records = Array.from({ length: 6000 }, (_, at) =>
    [`key-${String(at).padStart(6, '0')}`, `${blake3(Buffer.from(`value ${at}`))}`.repeat(4)]);
  const collections = [{ name: 'items', priority: 1, records }];
  const given = { dataset: 'elsewhere', edge: well.url, by: KEY, collections };
  const project = await makeProject(given);
  t.after(() => project.remove());
  await project.publish();
  // The other edge gets the same release: the trust root, and all objects.
  const env = { PACKICE_PUBLISH_KEY: KEY.seed };
  const second = await packice(project.dir, ['publish', '--edge', ill.url, '--new-log'], env);
  assert.equal(second.code, 0, second.stderr);

  const clean = ['--source', ill.url, '--source', well.url];
  const sync = (store) => packice(project.dir, ['sync', '--json', '--store', store, ...clean]);
  const stores = await temporary(t, 'stores');
  const running = sync(join(stores, 'killed'));
  await new Promise((done) => setTimeout(done, 60));
  await ill.kill();
  const synced = await running;
  assert.equal(synced.code, 0, synced.stderr);
  assert.equal(JSON.parse(synced.stdout).records, records.length);

  const wiped = await startEdge({ publishKeys: KEY.entry(), port });
  t.after(() => wiped.close());
  const after = await sync(join(stores, 'wiped'));
  assert.equal(after.code, 0, after.stderr);
  assert.equal(JSON.parse(after.stdout).records, records.length);
});

test('a full disk refuses uploads, loses nothing, and takes them when there is room', async (t) => {
  const persist = await mkdtemp(join(tmpdir(), 'packice-full-'));
  // The bucket alone is on the small disk, as it is another machine's in production.
  const dir = join(persist, 'r2');
  await mkdir(dir);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', dir], { stdio: 'ignore' });
  } catch {
    await rm(persist, { recursive: true, force: true });
    t.skip('only root may mount a small disk');
    return;
  }
  const edge = await startEdge({ publishKeys: KEY.entry(), persist });
  t.after(async () => {
    await edge.close();
    execFileSync('umount', ['-l', dir]);
    await rm(persist, { recursive: true, force: true });
  });
  const client = new Client(edge, { mayFail: true });
  const kept = [];
  const object = (at) => {
    const body = Buffer.alloc(1 << 20, `full ${at} `);
    return { body, path: `/v1/alpha/bundle/${blake3(body)}` };
  };
  const send = ({ path, body }) => client.call('PUT', path, { body, by: KEY });
  let refused;
  for (let at = 0; at < 32 && !refused; at += 1) {
    const reply = await send(object(at));
    if (reply.status === 201) kept.push(object(at));
    else refused = { reply, one: object(at) };
  }
  assert.ok(refused, 'the disk is full');
  assertProblem(refused.reply, 503, 'store-unavailable');
  const all = await Promise.all(kept.map(({ path }) => client.call('GET', path)));
  for (const [at, { status, body }] of all.entries()) {
    assert.ok(status === 200 && body.equals(kept[at].body), `object ${at}: ${status}`);
  }
  const gone = await client.call('HEAD', refused.one.path);
  assert.ok([404, 503].includes(gone.status), `${gone.status}`);

  execFileSync('mount', ['-o', 'remount,size=96m', dir]);
  let again;
  for (let at = 0; at < 10; at += 1) {
    again = await send(refused.one);
    if (again.status < 300) break;
    await new Promise((done) => setTimeout(done, 300));
  }
  assert.equal(again.status, 201, `${again.body}`);
  assert.ok((await client.call('GET', refused.one.path)).body.equals(refused.one.body));
  await client.close();
});
