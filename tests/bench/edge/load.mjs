// Load on one edge on workerd: clients that read, publishers that upload and move nothing, and
// objects that go away, as fast as the machine lets them. Every answer is compared with what was
// uploaded. Run by `cargo xtask bench edge --only load`, and for some seconds by the tests.

import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import http from 'node:http';
import { parseArgs } from 'node:util';
import { blake3 } from '../../harness/blake3.mjs';
import { isMain } from '../../harness/child.mjs';
import { startEdge } from '../../harness/edge.mjs';
import { publishKey } from '../../harness/signer.mjs';

const KEY = publishKey('uploads under load');
const OBJECTS = 120;
const LARGEST = 512 * 1024;
/** How many figures of memory over the time are kept. */
const SERIES = 15;

/** The same numbers in [0, 1) for the same seed. */
function numbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Resident memory of the workerd processes that this one started, in bytes. */
async function memory() {
  let sum = 0;
  for (const id of await readdir('/proc')) {
    if (!/^\d+$/.test(id)) continue;
    try {
      const status = await readFile(`/proc/${id}/status`, 'utf8');
      const field = (name) => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(status)?.[1];
      if (field('Name') !== 'workerd' || Number(field('PPid')) !== process.pid) continue;
      sum += Number(field('VmRSS')) * 1024;
    } catch {
      // It ended meanwhile.
    }
  }
  return sum;
}

const percentile = (sorted, share) => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;

/** Loads an edge for so long; what came of it. */
export async function load({ seconds, lanes = 12, seed = 42 }) {
  const bindings = { PUBLISH_QUOTA: 'requests=100000000, mib=100000000' };
  const edge = await startEdge({ publishKeys: KEY.entry(), bindings });
  const agent = new http.Agent({ keepAlive: true, maxSockets: lanes });
  const random = numbers(seed);
  const authority = `${edge.host}:${edge.port}`;
  const took = [];
  const errors = [];
  const counts = { read: 0, range: 0, missing: 0, upload: 0, removed: 0 };
  const call = (method, path, { headers = {}, body } = {}) => new Promise((ok, fail) => {
    const began = performance.now();
    const length = body ? { 'content-length': body.length } : {};
    const options = { agent, host: edge.host, port: edge.port, method, path };
    const request = http.request({ ...options, headers: { ...length, ...headers } });
    request.on('error', fail);
    request.on('response', async (response) => {
      const parts = [];
      for await (const part of response) parts.push(part);
      took.push(performance.now() - began);
      ok({ status: response.statusCode, body: Buffer.concat(parts) });
    });
    request.end(body);
  });
  const upload = async () => {
    const body = randomBytes(1 + Math.floor(random() ** 3 * LARGEST));
    const path = `/v1/alpha/bundle/${blake3(body)}`;
    const { status } = await call('PUT', path, {
      headers: KEY.headers({ method: 'PUT', authority, path, body }), body,
    });
    if (status !== 201) errors.push(`PUT ${path}: ${status}`);
    return { path, body };
  };
  const fault = (what, { status, body }) => {
    errors.push(`${what}: ${status}, ${body.length} bytes`);
  };
  try {
    const objects = [];
    const fill = async () => {
      while (objects.length < OBJECTS) objects.push(await upload());
    };
    await Promise.all(Array.from({ length: lanes }, fill));
    const bucket = await edge.miniflare.getR2Bucket('OBJECTS');
    const removed = new Set();
    // A read that was under way when another lane removed its object finds nothing, rightly.
    const wentAway = (path, { status }) => status === 404 && removed.has(path);
    const step = async () => {
      const dice = random();
      // Few objects are asked for often.
      const at = Math.floor(random() ** 3 * objects.length);
      const { path, body } = objects[at];
      if (dice < 0.8) {
        counts.read += 1;
        const got = await call('GET', path);
        const same = got.status === 200 && got.body.equals(body);
        if (!same && !wentAway(path, got)) fault(`GET ${path}`, got);
      } else if (dice < 0.9) {
        counts.range += 1;
        const end = Math.floor(random() * body.length);
        const got = await call('GET', path, { headers: { range: `bytes=0-${end}` } });
        const same = got.body.equals(body.subarray(0, end + 1));
        const whole = got.status === 206 && same;
        if (!whole && !wentAway(path, got)) fault(`range of ${path}`, got);
      } else if (dice < 0.94) {
        counts.missing += 1;
        const got = await call('GET', `/v1/alpha/bundle/${randomBytes(32).toString('hex')}`);
        if (got.status !== 404) fault('a name that is none', got);
      } else {
        counts.upload += 1;
        const fresh = await upload();
        // What is asked for least goes away, as under a policy, and the new one is asked for.
        const [old] = objects.splice(-1, 1, fresh);
        counts.removed += 1;
        removed.add(old.path);
        await bucket.delete(old.path.slice('/v1/'.length));
      }
    };
    const begun = performance.now();
    const until = begun + seconds * 1000;
    const warm = begun + seconds * 250;
    let first = 0;
    let highest = 0;
    const series = [];
    const lane = async () => {
      while (performance.now() < until) await step();
    };
    const watch = async () => {
      while (performance.now() < until) {
        const now = await memory();
        if (performance.now() < warm) first = Math.max(first, now);
        highest = Math.max(highest, now);
        const part = Math.floor((performance.now() - begun) / (seconds * 1000 / SERIES));
        series[part] = Math.max(series[part] ?? 0, Math.round(now / 2 ** 20));
        await new Promise((done) => setTimeout(done, 500));
      }
    };
    await Promise.all([watch(), ...Array.from({ length: lanes }, lane)]);
    const spent = (performance.now() - begun) / 1000;
    const sorted = took.toSorted((a, b) => a - b);
    const requests = Object.values(counts).reduce((sum, count) => sum + count, 0) - counts.removed;
    return {
      seconds: spent,
      requests,
      rate: requests / spent,
      errors: errors.length,
      said: errors.slice(0, 10),
      counts,
      p50_ms: percentile(sorted, 0.5),
      p99_ms: percentile(sorted, 0.99),
      memory_warm: first,
      memory_highest: highest,
      memory_mib: series,
    };
  } finally {
    agent.destroy();
    await edge.close();
  }
}

if (isMain(import.meta.url)) {
  const { values } = parseArgs({ options: { seconds: { type: 'string', default: '900' } } });
  const report = await load({ seconds: Number(values.seconds) });
  process.stdout.write(`${JSON.stringify(report)}\n`);
}
