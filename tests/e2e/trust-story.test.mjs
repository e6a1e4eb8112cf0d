// One data set's life with several hands: releases that two of three sign and two of three
// witnesses cosign; a witness that lags; a quiet time that the edge's cron keeps fresh; release
// keys stolen at threshold, and the way back; a withdrawal, a promotion, an end. Real workerd,
// real witnesses, the real program, Chromium. docs/operations.md tells it as a playbook.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.mjs';
import { listen } from '../harness/child.mjs';
import { records } from '../harness/client.mjs';
import { freePort, startEdge } from '../harness/edge.mjs';
import { loadApi } from '../harness/openapi.mjs';
import { NPM, PACKICE } from '../harness/project.mjs';
import { close, startStatic } from '../harness/static.mjs';
import { publishKey } from '../harness/signer.mjs';

const HARNESS = join(import.meta.dirname, '../harness');
const DATASET = 'story';
const SIGNER = publishKey('a publish key that gets stolen, too');
const PASSPHRASE = 'a passphrase of the offline root';
const LIST = records(300, 60);
const KEY = LIST[7][0];
const PAGE = '<!doctype html><title>story</title>';
const api = await loadApi();

let edge;
let dir;
let browser;
let site;
let page;
const closers = [];
const witnesses = [];

/** Runs the program with nothing of this machine's settings; `code` is its exit code. */
function packice(args, { cwd = dir, env = {} } = {}) {
  const given = { PATH: process.env.PATH, HOME: cwd, PACKICE_PUBLISH_KEY: SIGNER.seed, ...env };
  return new Promise((done) => {
    const options = { cwd, env: given, maxBuffer: 1 << 26, timeout: 60_000 };
    execFile(PACKICE, args, options, (error, stdout, stderr) => {
      done({ code: error ? error.code : 0, stdout, stderr });
    });
  });
}

async function json(args, options) {
  const { code, stdout, stderr } = await packice([...args, '--json'], options);
  assert.equal(code, 0, `packice ${args.join(' ')}: ${stderr}`);
  return JSON.parse(stdout);
}

async function fails(args, code, says, options) {
  const ended = await packice(args, options);
  assert.equal(ended.code, code, `packice ${args.join(' ')}: ${ended.stdout}${ended.stderr}`);
  assert.match(ended.stderr, says);
}

/** A witness as a process of its own; `start` again goes on from its state. */
class Witness {
  constructor(name, port) {
    Object.assign(this, { name, port, url: `http://127.0.0.1:${port}`, child: null });
  }

  async start(trustRoot) {
    const file = `keys/${this.name}.key`;
    const args = ['witness', 'run', '--name', this.name, '--key', file, '--json'];
    args.push('--state', `witness-${this.name}`, '--listen', `127.0.0.1:${this.port}`);
    args.push('--trust-root', trustRoot);
    this.child = spawn(PACKICE, args, { cwd: dir, stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = createInterface({ input: this.child.stdout });
    const [line] = await Promise.race([
      new Promise((ok) => lines.once('line', (text) => ok([text]))),
      new Promise((_, no) => this.child.once('exit', (code) => no(new Error(`exit ${code}`)))),
    ]);
    return JSON.parse(line);
  }

  /** SIGKILL: it gets no time to tidy up. */
  async stop() {
    if (!this.child || this.child.exitCode !== null || this.child.signalCode) return;
    const ended = new Promise((ok) => this.child.once('exit', ok));
    this.child.kill('SIGKILL');
    await ended;
  }
}

const restart = async (trustRoot, list = witnesses) => {
  for (const witness of list) {
    await witness.stop();
    await witness.start(trustRoot);
  }
};

function config({ channel = 'stable', release }) {
  const urls = witnesses.map(({ name, url }) => `[[witness]]\nname = "${name}"\nurl = "${url}"\n`);
  return `dataset = "${DATASET}"
channel = "${channel}"
[edge]
url = "${edge ? edge.url : 'http://127.0.0.1:9'}"
[keys]
release = ${JSON.stringify(release)}
${urls.join('')}
[[collection]]
name = "items"
input = "items.jsonl"
key = "{k}"
value = "v"
value_text = true
dictionary = "none"
`;
}

const write = (name, text, cwd = dir) => writeFile(join(cwd, name), text);
const lines = (list) => list.map(([k, v]) => JSON.stringify({ k, v }) + '\n').join('');
const holding = (text) => LIST.with(7, [KEY, text]);
const lineOf = (note, name) => note.split('\n').find((line) => line.startsWith(`\u2014 ${name} `));
const bodyOf = (note) => note.split('\n\n')[0];

/** The time in seconds of a witness's cosignature. */
function timeOf(note, name) {
  const blob = Buffer.from(lineOf(note, name).split(' ')[2], 'base64');
  return Number(blob.readBigUInt64BE(4));
}

/** What the edge serves now, past every cache. */
async function now(path) {
  const headers = { 'cache-control': 'no-cache' };
  const response = await fetch(`${edge.url}/v1/${DATASET}/${path}`, { headers });
  assert.equal(response.status, 200, path);
  return { bytes: Buffer.from(await response.arrayBuffer()), etag: response.headers.get('etag') };
}

const checkpoint = async () => (await now('checkpoint')).bytes.toString();

/** Asks the edge to move the pointer, with the publish key. */
async function move(bytes, etag) {
  const path = `/v1/${DATASET}/bootstrap/stable`;
  const given = { method: 'PUT', authority: `${edge.host}:${edge.port}`, path, body: bytes };
  const headers = SIGNER.headers({ ...given, headers: { 'if-match': etag } });
  const response = await fetch(`${edge.url}${path}`, { method: 'PUT', headers, body: bytes });
  const { status } = response;
  const body = Buffer.from(await response.arrayBuffer());
  const reply = { status, headers: Object.fromEntries(response.headers), body };
  const judged = api.judge('PUT', path, reply);
  const which = `PUT /v1/{dataset}/bootstrap/{channel} ${status}`;
  assert.deepEqual(judged, { which, faults: [] }, 'docs/spec/openapi.yaml lists it');
  return { status, ...JSON.parse(body.toString() || '{}') };
}

/**
 * Synchronises the wallet in Chromium and looks the key up; `code` where it is refused. `clock` is
 * how far its clock is off, in milliseconds; `more` are options.
 */
async function wallet(sources = [edge.url], { clock = 0, ...more } = {}) {
  return page.evaluate(
    async ({ sources, key, clock, more }) => {
      const { open } = await import('/packice/index.js');
      const { dataset: of, trust } = window.story;
      const worker = `/harness/odd-worker.mjs?clock=${clock}`;
      const createWorker = () => new Worker(worker, { type: 'module' });
      const odd = clock ? { createWorker } : {};
      const given = { dataset: of, trust, sources, channel: 'stable' };
      const dataset = await open({ ...given, ...odd, ...more });
      const faults = [];
      dataset.on('fault', (fault) => faults.push(fault.code ?? fault.reason));
      const ended = await dataset.sync().then(
        (report) => ({ version: report.version }),
        ({ code, message }) => ({ code, message }),
      );
      const found = await dataset.get('items', key).catch(({ code }) => ({ refused: code }));
      const { freshness } = await dataset.status();
      await dataset.close();
      const { value, refused } = found;
      const text = value && new TextDecoder().decode(value);
      return { ...ended, text, refused, freshness: freshness?.level, faults };
    },
    { sources, key: KEY, clock, more },
  );
}

/** The native client: a store of its own. */
async function native(sources = [edge.url], store = 'store') {
  const from = sources.flatMap((source) => ['--source', source]);
  const trust = ['--trust', 'trust/1.bin', '--channel', 'stable', '--store', store];
  const synced = await packice(['sync', ...trust, ...from, '--json']);
  const got = await packice(['get', 'items', KEY, ...trust, '--source', 'http://127.0.0.1:9']);
  return { code: synced.code, stderr: synced.stderr, text: got.stdout.trim() };
}

/** Both clients stand at a version that holds a text. */
async function clientsHold(version, text) {
  const seen = await wallet();
  assert.deepEqual([seen.code, seen.version, seen.text], [undefined, version, text]);
  assert.equal(seen.freshness, 'fresh');
  const synced = await native();
  assert.deepEqual([synced.code, synced.text], [0, text], synced.stderr);
}

/** Builds and publishes a text with the keys of the configuration. */
async function publish(text) {
  await write('items.jsonl', lines(holding(text)));
  await json(['build', '--after-edge']);
  return json(['publish']);
}

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'packice-story-'));
  closers.push(() => rm(dir, { recursive: true, force: true }));
  await mkdir(join(dir, 'keys'));
  for (const name of ['w1', 'w2', 'w3']) witnesses.push(new Witness(name, await freePort()));
  closers.push(() => Promise.all(witnesses.map((witness) => witness.stop())));
  const list = witnesses.map(({ name, url }) => `${name}=${url}`).join(',');
  edge = await startEdge({ publishKeys: SIGNER.entry(), bindings: { WITNESSES: list } });
  closers.push(() => edge.close());
  site = await startStatic({
    mounts: { '/packice/': NPM, '/harness/': HARNESS },
    pages: { '/': { type: 'text/html', body: PAGE } },
  });
  closers.push(() => site.close());
  browser = await startBrowser();
  closers.push(() => browser.close());
});
after(async () => {
  for (const end of closers.reverse()) await end();
});

test('three root keys, three release keys and three witnesses make a trust root', async () => {
  const offline = { env: { PACKICE_PASSPHRASE: PASSPHRASE } };
  await json(['keys', 'generate', 'root', 'keys/root1.key'], offline);
  const plain = ['root2', 'root3', 'r1', 'r2', 'r3', 'r4', 'r5', 'r6', 'w1', 'w2', 'w3'];
  for (const name of plain) {
    const role = { r: 'release', w: 'witness' }[name.replace(/root.*/, 'x')[0]] ?? 'root';
    await json(['keys', 'generate', role, `keys/${name}.key`, '--unencrypted']);
  }
  await write('packice.toml', config({ release: ['keys/r1.key'] }));
  const args = ['root', 'new', '--out', '1.draft'];
  args.push('--stale-after', '1 h', '--expired-after', '1 d');
  for (const at of [1, 2, 3]) {
    args.push('--add-root', `keys/root${at}.key`, '--add-release', `keys/r${at}.key`);
    args.push('--add-witness', `w${at}=keys/w${at}.key`);
  }
  await json([...args, '--root-threshold', '2', '--release-threshold', '2']);
  await json(['root', 'sign', '1.draft', '--key', 'keys/root2.key']);
  await fails(['root', 'publish', '1.draft', '--local'], 4, /1 of the role's keys signed, 2 must/);
  const locked = ['root', 'sign', '1.draft', '--key', 'keys/root1.key'];
  const guess = { env: { PACKICE_PASSPHRASE: 'guess' } };
  await fails(locked, 2, /the passphrase does not open the key/, guess);
  assert.equal((await json(locked, offline)).complete, true);
  await json(['root', 'publish', '1.draft', '--local']);
  await restart('trust/1.bin');
  ({ page } = await browser.page());
  await page.goto(`${site.url}/`);
  const trust = (await readFile(join(dir, 'trust/1.bin'))).toString('base64');
  await page.evaluate((story) => (window.story = story), { dataset: DATASET, trust });
});

test('a release is built here, signed there by two, and published elsewhere', async () => {
  await write('items.jsonl', lines(holding('one')));
  await json(['build']);
  await fails(['publish'], 2, /2 release keys must sign, 1 are here/);
  const prepared = await json(['publish', '--prepare', 'release.json']);
  assert.equal(prepared.records_compared, LIST.length);
  const desk = join(dir, 'signer');
  await mkdir(desk);
  for (const file of ['release.json', 'trust/1.bin', 'keys/r1.key', 'keys/r3.key', 'keys/w1.key']) {
    await cp(join(dir, file), join(desk, file.split('/').at(-1)));
  }
  const sign = (key) => ['sign', 'release.json', '--trust-root', '1.bin', '--key', key];
  const away = { cwd: desk };
  const { stderr } = await packice(sign('r1.key'), away);
  assert.match(stderr, /channel +stable: begins at version 1, manifest [0-9a-f]{64}/);
  const back = async () => cp(join(desk, 'release.json'), join(dir, 'release.json'));
  await back();
  await fails(['publish', '--finish', 'release.json'], 4, /1 of the role's keys signed, 2 must/);
  await fails(sign('w1.key'), 2, /is a witness key; a release key is needed/, away);
  assert.equal((await json(sign('r3.key'), away)).complete, true);
  await back();
  const finished = await json(['publish', '--finish', 'release.json']);
  assert.deepEqual(finished.moved, [{ channel: 'stable', version: 1 }]);
  assert.deepEqual(finished.witnesses.map(({ name, error }) => [name, error]), [
    ['w1', undefined],
    ['w2', undefined],
    ['w3', undefined],
  ]);
  await clientsHold(1, 'one');
});

test('a clock that is off changes what is said of age, until it is right', async () => {
  const year = 365 * 86_400_000;
  const ahead = await wallet([edge.url], { clock: 10 * year });
  assert.deepEqual([ahead.version, ahead.text, ahead.freshness], [1, 'one', 'expired']);
  const strict = await wallet([edge.url], { clock: 10 * year, whenExpired: 'refuse' });
  assert.deepEqual([strict.version, strict.refused], [1, 'trust/expired']);
  // The witnesses' time is the least that it is.
  const behind = await wallet([edge.url], { clock: -10 * year, whenExpired: 'refuse' });
  assert.deepEqual([behind.version, behind.text, behind.freshness], [1, 'one', 'fresh']);
  await clientsHold(1, 'one');
});

test('a witness lags, and below the quorum nothing moves', async () => {
  const stands = await checkpoint();
  await write('packice.toml', config({ release: ['keys/r1.key', 'keys/r2.key'] }));
  await witnesses[1].stop();
  await witnesses[2].stop();
  await write('items.jsonl', lines(holding('two')));
  await json(['build']);
  await fails(['publish'], 5, /1 witnesses cosigned, 2 must\n +w2: [^\n]+\n +w3: /);
  assert.equal(await checkpoint(), stands);
  await witnesses[1].start('trust/1.bin');
  const released = await json(['publish']);
  assert.deepEqual([released.version, released.log_size], [2, 2]);
  assert.ok(released.witnesses[2].error, 'the third one was asleep');
  const note = await checkpoint();
  assert.ok(lineOf(note, 'w1') && lineOf(note, 'w2') && !lineOf(note, 'w3'));
  await clientsHold(2, 'two');
});

test('the cron brings newer cosignatures of what stands, and none come back', async () => {
  await witnesses[2].start('trust/1.bin');
  const before = await now('bootstrap/stable');
  const old = await checkpoint();
  // Cosignatures count seconds.
  await new Promise((ok) => setTimeout(ok, 1100));
  const worker = await edge.miniflare.getWorker('packice-edge');
  const ended = await worker.scheduled({ cron: '23 * * * *' });
  assert.equal(ended.outcome, 'ok');
  const note = await checkpoint();
  assert.equal(bodyOf(note), bodyOf(old), 'the same log');
  for (const name of ['w1', 'w2']) assert.ok(timeOf(note, name) > timeOf(old, name), name);
  assert.ok(lineOf(note, 'w3'), 'the witness that lagged was shown the way');
  const fresh = await now('bootstrap/stable');
  const stale = await move(before.bytes, fresh.etag);
  assert.deepEqual([stale.status, stale.reason], [409, 'trust/older-cosignatures']);
  await clientsHold(2, 'two');
  // Nobody answers: what stands stays.
  await Promise.all(witnesses.map((witness) => witness.stop()));
  await worker.scheduled({ cron: '23 * * * *' });
  assert.equal(await checkpoint(), note);
  await restart('trust/1.bin');
});

/** Serves what the edge served once, under other bytes of the pointer. */
async function startMirror(kept) {
  const server = createServer(async (request, response) => {
    response.setHeader('access-control-allow-origin', '*');
    const name = request.url.split('/').slice(3).join('/');
    if (kept[name]) return response.end(kept[name]);
    const { range } = request.headers;
    const answer = await fetch(`${edge.url}${request.url}`, { headers: range ? { range } : {} });
    const part = answer.headers.get('content-range');
    response.writeHead(answer.status, part ? { 'content-range': part } : {});
    response.end(Buffer.from(await answer.arrayBuffer()));
  });
  const { url } = await listen(server, '127.0.0.1', 0);
  closers.push(() => close(server));
  return url;
}

/** A thief's copy of the project, keys and upload token included. */
async function rob(name) {
  const cwd = join(dir, name);
  await mkdir(cwd);
  for (const file of ['packice.toml', 'trust', 'keys', '.packice']) {
    await cp(join(dir, file), join(cwd, file), { recursive: true });
  }
  return {
    cwd,
    async build(text, version) {
      await write('items.jsonl', lines(holding(text)), cwd);
      await json(['build', '--set-version', String(version)], { cwd });
    },
    publish: () => packice(['publish', '--json'], { cwd }),
  };
}

async function rotate(draft, args) {
  const drafted = await json(['root', 'rotate', '--out', draft, ...args]);
  for (const key of ['keys/root2.key', 'keys/root3.key']) {
    await json(['root', 'sign', draft, '--key', key]);
  }
  return drafted.changes.join('\n');
}

const swap = (gone, come) => [
  ...gone.flatMap((name) => ['--remove-release', `keys/${name}.key`]),
  ...come.flatMap((name) => ['--add-release', `keys/${name}.key`]),
];

test('release keys are stolen; a rotation with a floor takes it all back', async () => {
  const thief = await rob('thief');
  // As far ahead as it can: no honest version would ever reach it.
  await thief.build('evil', 9_000_000);
  const stolen = await thief.publish();
  assert.equal(stolen.code, 0, stolen.stderr);
  await clientsHold(9_000_000, 'evil');
  const evil = { 'bootstrap/stable': (await now('bootstrap/stable')).bytes };
  evil.checkpoint = Buffer.from(await checkpoint());

  const changes = await rotate('2.draft', [...swap(['r1', 'r2'], ['r4', 'r5']), '--floor', 'end']);
  assert.match(changes, /NEW FLOOR: what came after 3 releases/);
  // The witnesses first, so that the thief leads none of them astray; then the edge.
  await restart('2.draft');
  await json(['root', 'publish', '2.draft']);
  await thief.build('evil again', 9_000_001);
  const blocked = await thief.publish();
  assert.equal(blocked.code, 5, blocked.stderr);
  assert.match(blocked.stderr, /w1: it answers 403/);
  assert.equal(await checkpoint(), evil.checkpoint.toString());

  await write('packice.toml', config({ release: ['keys/r4.key', 'keys/r5.key'] }));
  await write('items.jsonl', lines(holding('three')));
  await json(['build', '--set-version', '3']);
  const released = await json(['publish']);
  assert.deepEqual([released.version, released.log_size], [3, 4]);
  await clientsHold(3, 'three');

  // Put back by the stolen token, or shown by a mirror: no.
  const { etag } = await now('bootstrap/stable');
  const put = await move(evil['bootstrap/stable'], etag);
  assert.deepEqual([put.status, put.reason], [422, 'trust/bad-trust-chain']);
  const mirror = await startMirror(evil);
  assert.equal((await wallet([mirror])).text, 'three', 'the last good version answers');
  assert.equal((await native([mirror])).text, 'three');
  const cold = await wallet([edge.url, mirror], { database: 'cold' });
  assert.deepEqual([cold.version, cold.text], [3, 'three'], 'a new wallet, the edge asked first');
});

test('a bad release is withdrawn, and a good one promoted from staging', async () => {
  assert.equal((await publish('a mistake')).version, 4);
  const back = await json(['withdraw', '--to', '3']);
  assert.deepEqual(back.moved, [{ channel: 'stable', version: 5 }]);
  await clientsHold(5, 'three');

  const keys = { release: ['keys/r4.key', 'keys/r5.key'] };
  await write('packice.toml', config({ channel: 'staging', ...keys }));
  const staged = await publish('six');
  assert.deepEqual([staged.channel, staged.version, staged.behind], ['staging', 6, []]);
  await clientsHold(5, 'three');
  assert.equal((await checkpoint()).split('\n')[1], '7', "stable's pointer follows the log");
  await write('packice.toml', config(keys));
  await fails(['promote', '--from', 'stable', '--to', 'staging'], 6, /versions only go up/);
  const promoted = await json(['promote', '--from', 'staging']);
  assert.deepEqual(promoted.moved[0], { channel: 'stable', version: 6 });
  await clientsHold(6, 'six');

  const store = ['--store', 'staged', '--channel', 'staging'];
  assert.equal((await json(['sync', ...store])).version, 6);
  await json(['withdraw', '--drop', '--channel', 'staging']);
  await fails(['sync', ...store], 4, /no such channel/);
  const kept = await packice(['get', 'items', KEY, ...store, '--source', 'http://127.0.0.1:9']);
  assert.equal(kept.stdout.trim(), 'six', 'its clients keep what they have');
  await fails(['withdraw', '--drop'], 2, /the dataset's only channel/);
  await clientsHold(6, 'six');
});

test('anyone can audit the whole story from the outside', async () => {
  const from = ['--trust-root', 'trust/1.bin', '--edge', edge.url];
  const shown = await json(['log', 'show', ...from], { cwd: dir });
  const words = ({ channel, version }) => `${channel} ${version}`;
  assert.deepEqual(
    shown.entries.map(({ channels }) => channels.map(words)),
    [
      ['stable 1'],
      ['stable 2'],
      ['stable 9000000'],
      ['stable 3'],
      ['stable 4'],
      ['stable 5'],
      ['stable 5', 'staging 6'],
      ['stable 6', 'staging 6'],
      ['stable 6'],
    ],
  );
  const audited = await json(['log', 'audit', '--save', 'seen.checkpoint', ...from]);
  assert.deepEqual([audited.size, audited.floors, audited.hash_tiles], [9, 1, 1]);
  await publish('seven');
  const again = await json(['log', 'audit', '--from', 'seen.checkpoint', ...from]);
  assert.equal(again.size, 10);
  const forged = (await readFile(join(dir, 'seen.checkpoint'), 'utf8')).split('\n');
  forged[2] = Buffer.alloc(32, 1).toString('base64');
  await write('seen.checkpoint', forged.join('\n'));
  const other = ['log', 'audit', '--from', 'seen.checkpoint', ...from];
  await fails(other, 4, /other content than before/);
});

test('a thief who led the witnesses astray is left behind in another log', async () => {
  const thief = await rob('second-thief');
  const origin = `packice/${DATASET}-2`;
  const changes = await rotate('3.draft', [...swap(['r4', 'r5'], ['r6'])]);
  assert.match(changes, /release key GOES/);
  await json(['root', 'publish', '3.draft']);
  await thief.build('astray', 50);
  const refused = await thief.publish();
  assert.equal(refused.code, 4, refused.stderr);
  assert.match(refused.stderr, /a trust root is not signed by the one before it/);
  await write('packice.toml', config({ release: ['keys/r3.key', 'keys/r6.key'] }));
  await restart('trust/3.bin');
  await write('items.jsonl', lines(holding('eight')));
  await json(['build', '--after-edge']);
  // The witnesses saw an entry that only the thief has: the honest log is a fork to them.
  await fails(['publish'], 5, /w1: it cosigned another history of 11 releases: a fork/);

  const other = await rotate('4.draft', ['--origin', origin]);
  assert.match(other, /ANOTHER LOG begins, packice\/story-2/);
  await json(['root', 'publish', '4.draft']);
  await restart('trust/4.bin');
  const released = await json(['publish']);
  assert.equal(released.log_size, 1, 'tiles of the old log give way');
  await clientsHold(released.version, 'eight');
  const next = await publish('nine');
  assert.equal(next.log_size, 2);
  await clientsHold(next.version, 'nine');
  const cold = await wallet([edge.url], { database: 'cold in the other log' });
  assert.deepEqual([cold.version, cold.text], [next.version, 'nine']);

  // The store damages a tile: an audit says which.
  const bucket = await edge.miniflare.getR2Bucket('OBJECTS');
  const tile = `${DATASET}/log/tile/0/000.p/2`;
  const bytes = Buffer.from(await (await bucket.get(tile)).arrayBuffer());
  bytes[40] ^= 1;
  await bucket.put(tile, bytes);
  await fails(['log', 'audit'], 4, /tile\/0\/000\.p\/2 does not hold the log's hashes/);
});
