// The publisher's program against the real worker on workerd: from an empty directory to verified
// reads, and what must not become visible when something goes wrong on the way.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { Agent, createServer, request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { listen } from '../harness/child.mjs';
import { records } from '../harness/client.mjs';
import { startEdge } from '../harness/edge.mjs';
import { PACKICE } from '../harness/project.mjs';
import { startProxy } from '../harness/proxy.mjs';
import { close } from '../harness/static.mjs';
import { publishKey } from '../harness/signer.mjs';

const KEY = publishKey('a key of the publisher tests');
const COLLECTION = ['--collection', 'items', '--key', '{k}', '--value', 'v', '--value-text'];
/** About 2 MB on the wire: a few bundles. */
const LARGE = records(4500, 1000);
const SMALL = records(300, 60);
const OBJECTS = /^(bundle|layout|dictionary|manifest|delta|layer|layer-page)$/;
const VISIBLE = /^(bootstrap|log)$/;

let edge;
before(async () => {
  edge = await startEdge({ publishKeys: KEY.entry() });
});
after(() => edge.close());

/**
 * Stands between the publisher and the edge, and keeps its eye on uploads, which the hostile
 * proxy lets pass: it lists them, breaks them off after the first `cutAfter`, asks `hold` before
 * it lets one through, and loses the answers to the next `loses` moves of a pointer.
 */
async function startGate(t, target) {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const gate = { target, uploads: [], cutAfter: Infinity, hold: async () => {}, loses: 0 };
  const server = createServer(async (request, response) => {
    const { method, url: path, headers, socket } = request;
    const parts = [];
    for await (const part of request) parts.push(part);
    const upload = { path, status: null };
    if (method === 'PUT') {
      if (gate.uploads.length >= gate.cutAfter) return socket.destroy();
      gate.uploads.push(upload);
      await gate.hold(path);
    }
    const { hostname: host, port } = new URL(gate.target);
    // The publisher signed for this host: it goes on as it is.
    const options = { method, path, host, port, agent, headers };
    const out = httpRequest(options, (answer) => {
      upload.status = answer.statusCode;
      const moves = method === 'PUT' && path.includes('/bootstrap/');
      if (moves && gate.loses-- > 0) return socket.destroy();
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    out.on('error', () => socket.destroy());
    out.end(Buffer.concat(parts));
  });
  const { url } = await listen(server, '127.0.0.1', 0);
  t.after(() => {
    agent.destroy();
    return close(server);
  });
  return Object.assign(gate, {
    url,
    /** The uploads since the last call, of some kinds of objects. */
    take(kinds = /./) {
      const taken = gate.uploads.filter(({ path }) => kinds.test(path.split('/')[3]));
      gate.uploads = [];
      return taken;
    },
  });
}

/** Runs the program with nothing of this machine's settings; `code` is its exit code. */
function packice(dir, args, env = {}) {
  const given = { PATH: process.env.PATH, HOME: dir, ...env };
  return new Promise((done) => {
    const options = { cwd: dir, env: given, maxBuffer: 1 << 26, timeout: 60_000 };
    execFile(PACKICE, args, options, (error, stdout, stderr) => {
      done({ code: error ? error.code : 0, stdout, stderr });
    });
  });
}

/** The same where it must succeed; returns what it prints as JSON. */
async function json(dir, args, env) {
  const { code, stdout, stderr } = await packice(dir, [...args, '--json'], env);
  assert.equal(code, 0, `packice ${args.join(' ')}: ${stderr}`);
  return JSON.parse(stdout);
}

/** The same where it must fail in one way; returns what it says. */
async function fails(dir, args, code, says, env) {
  const ended = await packice(dir, args, env);
  assert.equal(ended.code, code, `packice ${args.join(' ')}: ${ended.stdout}${ended.stderr}`);
  assert.match(ended.stderr, says);
  return ended.stderr;
}

const jsonLines = (list) => list.map(([k, v]) => JSON.stringify({ k, v }) + '\n').join('');

async function temporary(t) {
  const dir = await mkdtemp(join(tmpdir(), 'packice-publisher-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

const sha256 = (...parts) => createHash('sha256').update(Buffer.concat(parts)).digest();
const hex = (text) => sha256(Buffer.from(text)).toString('hex');

/** A project of its own, made by `packice init`, behind a gate to the edge. */
async function makeDesk(t, dataset, { list = SMALL, target = edge.url, env = {} } = {}) {
  const gate = await startGate(t, target);
  const dir = await temporary(t);
  const given = { PACKICE_PUBLISH_KEY: KEY.seed, ...env };
  await json(dir, ['init', '--dataset', dataset, '--edge', gate.url, ...COLLECTION], given);
  const desk = {
    dir,
    gate,
    dataset,
    json: (...args) => json(dir, args, given),
    fails: (args, code, says, more) => fails(dir, args, code, says, { ...given, ...more }),
    write: (list) => writeFile(join(dir, 'items.jsonl'), jsonLines(list)),
    async publish(list) {
      await desk.write(list);
      await desk.json('build');
      return desk.json('publish');
    },
  };
  await desk.write(list);
  return desk;
}

/** What the edge serves now, past every cache; null where there is nothing. */
async function fetchNow(dataset, path) {
  const headers = { 'cache-control': 'no-cache' };
  const response = await fetch(`${edge.url}/v1/${dataset}/${path}`, { headers });
  if (response.status === 404) return null;
  assert.equal(response.status, 200, path);
  return Buffer.from(await response.arrayBuffer());
}

/** RFC 6962's hash of a list of entries. */
function merkle(leaves) {
  if (leaves.length === 1) return leaves[0];
  let left = 1;
  while (left * 2 < leaves.length) left *= 2;
  return sha256(Buffer.of(1), merkle(leaves.slice(0, left)), merkle(leaves.slice(left)));
}

/** Computes the log from its tiles, by nothing but its specification; returns its size. */
async function checkLog(dataset) {
  const [, size, root] = (await fetchNow(dataset, 'checkpoint')).toString().split('\n');
  const entries = await fetchNow(dataset, `log/tile/entries/000.p/${size}`);
  const leaves = [];
  for (let at = 0; at < entries.length; ) {
    const end = at + 2 + entries.readUInt16BE(at);
    leaves.push(sha256(Buffer.of(0), entries.subarray(at + 2, end)));
    at = end;
  }
  assert.equal(leaves.length, Number(size));
  assert.deepEqual(await fetchNow(dataset, `log/tile/0/000.p/${size}`), Buffer.concat(leaves));
  assert.equal(merkle(leaves).toString('base64'), root);
  return Number(size);
}

test('from an empty directory to verified reads, and to a second version', async (t) => {
  const gate = await startGate(t, null);
  const dir = await temporary(t);
  const init = ['init', '--dataset', 'whole', '--edge', gate.url, ...COLLECTION];
  const made = await json(dir, init);
  await fails(dir, init, 2, /init never overwrites/);
  const own = await startEdge({ publishKeys: made.publish_key.entry });
  t.after(() => own.close());
  gate.target = own.url;
  const publish = ['publish'];

  await fails(dir, ['build'], 2, /items\.jsonl/);
  await fails(dir, publish, 7, /no build/);
  await fails(dir, ['verify'], 7, /packice sync/);
  await writeFile(join(dir, 'items.jsonl'), jsonLines(LARGE));
  await json(dir, ['build']);
  const first = await json(dir, publish);
  assert.deepEqual([first.moved, first.version, first.log_size], [true, 1, 1]);
  assert.equal(first.objects_sent, first.objects);
  assert.equal(first.records_compared, LARGE.length);
  const sent = gate.take();
  assert.equal(sent.filter(({ path }) => OBJECTS.test(path.split('/')[3])).length, first.objects);
  assert.ok(sent.every(({ status }) => status === 201));
  assert.match(sent.at(-1).path, /bootstrap\/stable$/, 'the pointer moves last');

  const synced = await json(dir, ['sync']);
  assert.deepEqual([synced.version, synced.records], [1, LARGE.length]);
  const [key, value] = LARGE[4321];
  const got = await packice(dir, ['get', 'items', key, '--source', 'http://127.0.0.1:9']);
  assert.deepEqual([got.code, got.stdout], [0, `${value}\n`]);
  await fails(dir, ['get', 'items', 'key/none'], 7, /'key\/none' is proven absent from version 1/);
  await fails(dir, ['get', 'others', key], 2, /no collection of that name/);
  const range = await packice(dir, ['range', 'items', '--prefix', 'key/00012']);
  const rows = range.stdout.trimEnd().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(rows, LARGE.slice(1200, 1300).map(([k, v]) => ({ key: k, value: v })));
  const clean = await json(dir, ['verify', '--clean']);
  assert.deepEqual([clean.version, clean.records], [1, LARGE.length]);

  const again = await packice(dir, publish);
  assert.deepEqual([again.code, again.stdout], [0, 'stable stands at version 1 already\n']);
  assert.deepEqual(gate.take(), [], 'nothing is sent');

  const edited = LARGE.with(4321, [key, 'edited']);
  await writeFile(join(dir, 'items.jsonl'), jsonLines(edited));
  await json(dir, ['build']);
  const second = await json(dir, publish);
  assert.deepEqual([second.moved, second.version, second.log_size], [true, 2, 2]);
  const delta = gate.take(OBJECTS).map(({ path }) => path.split('/')[3]);
  assert.equal(delta.length, second.objects_sent);
  // One record lies in one delta, and in the overlay over the base: a page and its directory.
  assert.deepEqual(delta.sort(), ['delta', 'layer', 'layer-page', 'manifest']);
  assert.equal((await json(dir, ['sync'])).version, 2);
  assert.equal((await packice(dir, ['get', 'items', key])).stdout, 'edited\n');
  assert.equal((await json(dir, ['verify'])).records, LARGE.length);
});

test('uploads that break off move nothing, and the next publish sends the rest', async (t) => {
  const desk = await makeDesk(t, 'broken-off');
  await desk.publish(SMALL);
  const stands = await fetchNow(desk.dataset, 'checkpoint');
  desk.gate.take();
  await desk.write(LARGE);
  await desk.json('build');

  desk.gate.cutAfter = 3;
  await desk.fails(['publish'], 5, /PUT .*\n +next: check that the edge runs/);
  const before = desk.gate.take();
  assert.equal(before.length, 3);
  assert.ok(before.every(({ path, status }) => OBJECTS.test(path.split('/')[3]) && status === 201));
  assert.deepEqual(await fetchNow(desk.dataset, 'checkpoint'), stands);
  const synced = await desk.json('sync');
  assert.deepEqual([synced.version, synced.records], [1, SMALL.length]);

  desk.gate.cutAfter = Infinity;
  const report = await desk.json('publish');
  const rest = desk.gate.take(OBJECTS).map(({ path }) => path);
  assert.equal(report.objects_sent, rest.length);
  assert.equal(new Set([...before.map(({ path }) => path), ...rest]).size, report.objects);
  assert.equal(report.objects_sent + before.length, report.objects, 'nothing is sent twice');
  assert.equal((await desk.json('sync')).records, LARGE.length);
  assert.equal(await checkLog(desk.dataset), 2);

  // The pointer moved, and no answer said so: the edge is asked where it stands.
  desk.gate.loses = 1;
  assert.equal((await desk.publish(SMALL)).moved, true);
  assert.equal(desk.gate.take(/bootstrap/).length, 2);
  assert.equal(await checkLog(desk.dataset), 3);
});

test('nothing is signed for an edge that serves or stores other bytes', async (t) => {
  const proxy = await startProxy({ target: edge.url });
  t.after(() => proxy.close());
  const desk = await makeDesk(t, 'other-bytes', { target: proxy.url });
  await desk.publish(SMALL);
  let stands = await fetchNow(desk.dataset, 'checkpoint');
  const edited = SMALL.with(7, ['key/0000007', 'edited']);
  await desk.write(edited);
  await desk.json('build');
  const refused = async (kind) => {
    desk.gate.take();
    const says = /error: the candidate was not restored, nothing is signed: .*not those that are/;
    const said = await desk.fails(['publish'], 4, says);
    assert.match(said, new RegExp(`${kind}/[0-9a-f]{64}`), 'it names the object');
    assert.match(said, /next: the edge, or a proxy before it, serves other bytes/);
    assert.deepEqual(desk.gate.take(VISIBLE), []);
    assert.deepEqual(await fetchNow(desk.dataset, 'checkpoint'), stands);
  };
  for (const kind of ['bundle', 'layout', 'manifest']) {
    proxy.setRules([{ kind, action: 'flip' }]);
    await refused(kind);
  }
  proxy.setRules([]);
  assert.equal((await desk.json('publish')).moved, true);
  stands = await fetchNow(desk.dataset, 'checkpoint');

  // What the edge's own store holds under the name is not what the name says.
  await desk.write(SMALL.with(8, ['key/0000008', 'edited']));
  await desk.json('build');
  const folder = join(desk.dir, '.packice/builds/3/layer-page');
  const [name] = await readdir(folder);
  const wrong = await readFile(join(folder, name));
  wrong[wrong.length >> 1] ^= 1;
  const bucket = await edge.miniflare.getR2Bucket('OBJECTS');
  await bucket.put(`${desk.dataset}/layer-page/${name}`, wrong);
  await refused('layer-page');
  // Other content has other names: one damaged object stands in nobody's way.
  await desk.publish(SMALL.with(8, ['key/0000008', 'edited again']));
  assert.equal((await desk.json('verify', '--clean')).version, 3);
  assert.equal(await checkLog(desk.dataset), 3);
});

/** Lets the first `count` moves of a pointer arrive together. */
function together(count) {
  let open;
  const arrived = new Promise((ok) => (open = ok));
  return async (path) => {
    if (!path.includes('/bootstrap/')) return;
    count -= 1;
    if (count === 0) open();
    await arrived;
  };
}

test('of two publishers that race, one wins and the other is told', async (t) => {
  const desk = await makeDesk(t, 'race');
  await desk.publish(SMALL);
  const other = await temporary(t);
  const [dirs, env] = [[desk.dir, other], { PACKICE_PUBLISH_KEY: KEY.seed }];
  for (let round = 0; round < 3; round += 1) {
    await rm(other, { recursive: true, force: true });
    await cp(desk.dir, other, { recursive: true });
    for (const [at, dir] of dirs.entries()) {
      const list = SMALL.with(round, [SMALL[round][0], `round ${round}, publisher ${at}`]);
      await writeFile(join(dir, 'items.jsonl'), jsonLines(list));
      await json(dir, ['build'], env);
    }
    if (round === 0) desk.gate.hold = together(2);
    const ended = await Promise.all(dirs.map((dir) => packice(dir, ['publish'], env)));
    const said = ended.map(({ code, stderr }) => `${code} ${stderr}`).join('\n');
    assert.deepEqual(ended.map(({ code }) => code).sort(), [0, 6], said);
    const winner = ended.findIndex(({ code }) => code === 0);
    const lost = ended[1 - winner].stderr;
    assert.match(lost, /someone else moved|the edge stands at version/);
    assert.match(lost, /next: run `packice build --after-edge`, then publish again/);
    const size = await checkLog(desk.dataset);
    assert.equal(size, 2 + 3 * round);

    // The loser builds after the winner's version, and is next.
    const loser = dirs[1 - winner];
    await fails(loser, ['publish'], 6, /the edge stands at version/, env);
    await json(loser, ['build', '--after-edge'], env);
    assert.equal((await json(loser, ['publish'], env)).log_size, size + 1);
    assert.equal(await checkLog(desk.dataset), size + 1);
    await json(loser, ['sync'], env);
    const got = await packice(loser, ['get', 'items', SMALL[round][0]], env);
    assert.equal(got.stdout, `round ${round}, publisher ${1 - winner}\n`);
    await desk.json('build', '--after-edge');
    await desk.json('publish');
  }
});

test('keys from the environment alone', async (t) => {
  const [PACKICE_ROOT_KEY, PACKICE_RELEASE_KEY, stranger] = ['root', 'release', 'else'].map(hex);
  const desk = await makeDesk(t, 'from-env', { env: { PACKICE_ROOT_KEY, PACKICE_RELEASE_KEY } });
  const present = (await readdir(desk.dir)).sort().join(' ');
  assert.equal(present, '.gitignore items.jsonl packice.toml trust');
  await desk.json('build');
  const secrets = [KEY.seed, PACKICE_RELEASE_KEY, PACKICE_ROOT_KEY, stranger];
  const refused = async (code, says, env) => {
    const said = await desk.fails(['publish'], code, says, env);
    for (const secret of secrets) assert.ok(!said.includes(secret), said);
    assert.equal(await fetchNow(desk.dataset, 'checkpoint'), null);
    assert.ok(desk.gate.take().every(({ status }) => status === 401), 'nothing is stored');
  };
  await refused(5, /401.*\n +next: check the publish key/, { PACKICE_PUBLISH_KEY: stranger });
  const keyless = { PACKICE_PUBLISH_KEY: undefined };
  await refused(2, /publish\.key.*\n +next: set PACKICE_PUBLISH_KEY/, keyless);
  const other = { PACKICE_RELEASE_KEY: stranger };
  await refused(2, /trust root 1 does not name this release key\n +next: /, other);
  await refused(2, /PACKICE_RELEASE_KEY: not an Ed25519 seed/, { PACKICE_RELEASE_KEY: 'short' });
  const none = { PACKICE_RELEASE_KEY: undefined };
  await refused(2, /release\.key.*\n +next: set PACKICE_RELEASE_KEY/, none);
  const base64 = Buffer.from(PACKICE_RELEASE_KEY, 'hex').toString('base64');
  const given = { PACKICE_PUBLISH_KEY: KEY.seed, PACKICE_RELEASE_KEY: base64 };
  assert.equal((await json(desk.dir, ['publish'], given)).moved, true);
  assert.equal((await desk.json('verify', '--clean')).records, SMALL.length);
});

test('the order of the input changes no root and no bundle', async (t) => {
  const desk = await makeDesk(t, 'shuffled', { list: LARGE });
  /** The roots of a build, and each object with its content's hash. */
  const built = async (kinds) => {
    const { build, dir } = await desk.json('build');
    const files = [];
    for (const kind of kinds) {
      for (const name of (await readdir(join(desk.dir, dir, kind))).sort()) {
        files.push([kind, name, sha256(await readFile(join(desk.dir, dir, kind, name)))]);
      }
    }
    return { roots: build.collections.map(({ root }) => root), files };
  };
  const all = ['bundle', 'layout', 'manifest'];
  const first = await built(all);
  assert.ok(first.files.length > 4);
  assert.deepEqual(await built(all), first, 'a second build is the same, byte for byte');
  await desk.write(LARGE.toSorted((a, b) => (hex(a[0]) < hex(b[0]) ? -1 : 1)));
  const files = first.files.filter(([kind]) => kind !== 'manifest');
  assert.deepEqual(await built(['bundle', 'layout']), { roots: first.roots, files });
});
