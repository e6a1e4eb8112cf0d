// Processor time of a request on workerd, ours beside the smallest JavaScript worker (lookup.mjs),
// both in one process and in turns; and the first request of fresh instances. Prints JSON.

import { randomBytes } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import http from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { blake3 } from '../../harness/blake3.mjs';
import { compatibilityDate, edgeModules, freePort, OBJECTS } from '../../harness/edge.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const SIZE = 64 * 1024;
/** Rounds of hits and of misses: whole cycles of all orders. */
const ROUNDS = 42;
const MISS_ROUNDS = 12;
/** Requests of a round, of each worker. */
const BATCH = 300;
const LANES = 4;
const COLD_ROUNDS = 7;
const KINDS = ['ours', 'javascript', 'bare'];

const { Miniflare, convertV4MiniflareOptions, Log, LogLevel } = await import('miniflare');
const agent = new http.Agent({ keepAlive: true, maxSockets: LANES });

/** One or both workers on one workerd. */
async function start(kinds) {
  const host = '127.0.0.1';
  const date = await compatibilityDate();
  const durable = Object.entries(OBJECTS).map(([binding, className]) => [
    binding,
    { className, useSQLite: true },
  ]);
  const lookup = {
    modulesRoot: HERE,
    modules: [{ type: 'ESModule', path: join(HERE, 'lookup.mjs') }],
  };
  const own = {
    ours: { ...edgeModules(), durableObjects: Object.fromEntries(durable) },
    javascript: lookup,
    bare: { ...lookup, bindings: { BARE: '1' } },
  };
  const workers = [];
  for (const name of kinds) {
    const socket = { host, port: await freePort(host) };
    workers.push({
      name,
      ...own[name],
      compatibilityDate: date,
      r2Buckets: { OBJECTS: 'objects' },
      unsafeDirectSockets: [socket],
    });
  }
  const options = convertV4MiniflareOptions({
    cf: { colo: 'FRA' },
    log: new Log(LogLevel.ERROR),
    host,
    port: 0,
    workers,
  });
  const miniflare = new Miniflare(options);
  await miniflare.ready;
  const urls = {};
  for (const name of kinds) urls[name] = await miniflare.unsafeGetDirectURL(name);
  return { miniflare, urls };
}

/** A request, its body read and counted. */
function get(url, path) {
  return new Promise((ok, fail) => {
    const request = http.get({ agent, host: url.hostname, port: url.port, path }, (response) => {
      let length = 0;
      response.on('data', (piece) => { length += piece.length; });
      response.on('error', fail);
      response.on('end', () => ok({ status: response.statusCode, length }));
    });
    request.on('error', fail);
  });
}

/** The processor time that workerd's threads have used, in milliseconds. */
async function used(pid) {
  let sum = 0;
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const text = await readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8');
    sum += Number(text.split(' ')[0]);
  }
  return sum / 1e6;
}

/** The workerd processes of this one. */
async function workerds() {
  const children = await readFile(`/proc/self/task/${process.pid}/children`, 'utf8');
  return children.trim().split(/\s+/).filter(Boolean).map(Number);
}

/** Processor time of a batch of paths, in microseconds for each. */
async function batch(pid, url, paths) {
  const before = await used(pid);
  let next = 0;
  const lane = async () => {
    while (next < paths.length) {
      const path = paths[next];
      next += 1;
      const { status, length } = await get(url, path);
      if (status !== 200 || length !== SIZE) throw new Error(`${status} ${length} ${path}`);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return ((await used(pid)) - before) * 1000 / paths.length;
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** The medians over the rounds of each, and of ours by the others'. */
function judged(rows) {
  const us = Object.fromEntries(KINDS.map((kind) => [kind, median(rows.map((row) => row[kind]))]));
  const by = (kind) => median(rows.map((row) => row.ours / row[kind]));
  return { us, ratio: by('javascript'), bare_ratio: by('bare'), rounds: rows.length };
}

/** Each kind comes as often first, second and last, and after each of the others. */
function order(round) {
  const at = (round + KINDS.length) % KINDS.length;
  const turned = [...KINDS.slice(at), ...KINDS.slice(0, at)];
  return round % 2 ? turned : turned.toReversed();
}

async function warm() {
  const { miniflare, urls } = await start(KINDS);
  const [pid] = await workerds();
  const bucket = await miniflare.getR2Bucket('OBJECTS', 'ours');
  const put = async () => {
    const body = randomBytes(SIZE);
    const key = `alpha/bundle/${blake3(body)}`;
    await bucket.put(key, body);
    return `/v1/${key}`;
  };
  const path = await put();
  const hits = [];
  for (let round = -1; round < ROUNDS; round += 1) {
    const row = {};
    for (const kind of order(round)) {
      row[kind] = await batch(pid, urls[kind], Array(BATCH).fill(path));
    }
    if (round >= 0) hits.push(row);
  }
  const misses = [];
  for (let round = -1; round < MISS_ROUNDS; round += 1) {
    const row = {};
    for (const kind of order(round)) {
      const paths = [];
      for (let number = 0; number < 60; number += 1) paths.push(await put());
      row[kind] = await batch(pid, urls[kind], paths);
    }
    if (round >= 0) misses.push(row);
  }
  await miniflare.dispose();
  return { hit: judged(hits), r2: judged(misses) };
}

/** Milliseconds from the request to the end of its answer, of an instance that answered nothing. */
async function cold() {
  const rows = [];
  const both = ['ours', 'javascript'];
  for (let round = -1; round < COLD_ROUNDS; round += 1) {
    const row = {};
    for (const kind of round % 2 ? both : both.toReversed()) {
      const { miniflare, urls } = await start([kind]);
      const body = randomBytes(SIZE);
      const key = `alpha/bundle/${blake3(body)}`;
      await (await miniflare.getR2Bucket('OBJECTS', kind)).put(key, body);
      const began = performance.now();
      const { status } = await get(urls[kind], `/v1/${key}`);
      row[kind] = performance.now() - began;
      if (status !== 200) throw new Error(`${status}`);
      await miniflare.dispose();
    }
    if (round >= 0) rows.push(row);
  }
  const ms = Object.fromEntries(both.map((kind) => [kind, median(rows.map((row) => row[kind]))]));
  return { ms, ratio: ms.ours / ms.javascript, rounds: rows.length };
}

const wasm = await readFile(join(edgeModules().modulesRoot, 'index_bg.wasm'));
const size = { bytes: wasm.length, gzip: gzipSync(wasm, { level: 9 }).length };
const measured = { size, ...(await warm()), cold: await cold() };
agent.destroy();
process.stdout.write(`${JSON.stringify(measured)}\n`);
