// A day's trace through four regions on four workerd instances and one origin. Takes the folder
// that xtask wrote it into, and prints what each tier answered as JSON. `flood` as a second
// argument measures misses that come at once, and names that do not exist.

import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { join } from 'node:path';
import { blake3 } from '../../harness/blake3.mjs';
import { startNetwork } from '../../harness/network.mjs';

const LANES = 24;
const UNKNOWN = 10_000;
const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });

function get(edge, path) {
  return new Promise((ok, fail) => {
    const request = http.get({ agent, host: edge.host, port: edge.port, path }, (response) => {
      let length = 0;
      response.on('data', (piece) => { length += piece.length; });
      response.on('error', fail);
      response.on('end', () => {
        const hit = (response.headers['cache-status'] ?? '').includes('hit');
        ok({ status: response.statusCode, length, hit });
      });
    });
    request.on('error', (error) => {
      // The server may close an idle connection at the moment in which it is used again.
      if (request.reusedSocket && error.code === 'ECONNRESET') ok(get(edge, path));
      else fail(error);
    });
  });
}

/** Runs `work(item)` for all items in order, so many at once. */
async function lanes(count, items, work) {
  let next = 0;
  const lane = async () => {
    while (next < items.length) {
      const item = items[next];
      next += 1;
      await work(item);
    }
  };
  await Promise.all(Array.from({ length: count }, lane));
}

async function replay(folder) {
  const trace = JSON.parse(await readFile(join(folder, 'trace.json'), 'utf8'));
  const bodies = await readFile(join(folder, 'bodies.bin'));
  const network = await startNetwork({ bytes: trace.budget_bytes, versions: trace.versions });
  const bucket = await network.bucket();
  let at = 0;
  const puts = trace.things.map(([key, size]) => {
    const body = bodies.subarray(at, at + size);
    at += size;
    return [key, body];
  });
  await lanes(8, puts, ([key, body]) => bucket.put(key, body));
  const first = network.edges[0];
  const shards = await first.miniflare.getDurableObjectNamespace('SHARDS', `edge-${first.name}`);
  const tell = async (edge, what, body) => {
    const name = `${edge.name}/0`;
    const stub = shards.get(shards.idFromName(name));
    const url = `https://region/${name}/${what}`;
    const answer = await stub.fetch(url, { method: 'POST', body });
    if (answer.status !== 200) throw new Error(`${what}: ${answer.status}`);
    return answer.text();
  };
  const release = async ({ first: keys, body }) => {
    for (const edge of network.edges) {
      await tell(edge, 'place', keys.map((thing) => trace.things[thing][0]).join('\n'));
      await tell(edge, 'release', body);
    }
  };
  const counts = { asked: 0, colo: 0, failed: 0 };
  const asked = new Set();
  const began = performance.now();
  let batch = [];
  const flush = async () => {
    await lanes(LANES, batch, async ([region, thing]) => {
      const [key, size] = trace.things[thing];
      const { status, length, hit } = await get(network.edges[region], `/v1/${key}`);
      counts.asked += 1;
      asked.add(key);
      if (hit) counts.colo += 1;
      if (status !== 200 || length !== size) counts.failed += 1;
    });
    batch = [];
  };
  for (const [region, what] of trace.events) {
    if (region < 0) {
      await flush();
      const needs = trace.needs[what];
      needs.first.forEach((thing) => asked.add(trace.things[thing][0]));
      await release(needs);
    } else {
      batch.push([region, what]);
    }
  }
  await flush();
  const seconds = (performance.now() - began) / 1000;
  const counted = {
    origin_reads: await network.counted('packice_origin_reads_total'),
    region_fills: await network.counted('packice_fills_total', 'source="region"'),
    origin_fills: await network.counted('packice_fills_total', 'source="origin"'),
    evictions: await network.counted('packice_evictions_total'),
    coalesced: await network.counted('packice_coalesced_total'),
    held_bytes: await network.counted('packice_region_bytes'),
  };
  await network.close();
  return { ...counts, distinct: asked.size, ...counted, seconds };
}

async function flood() {
  const network = await startNetwork({});
  const bucket = await network.bucket();
  const body = randomBytes(1 << 20);
  const key = `alpha/bundle/${blake3(body)}`;
  await bucket.put(key, body);
  const reads = () => network.counted('packice_origin_reads_total');
  const edge = network.edges[1];
  const together = Array.from({ length: 64 }, () => get(edge, `/v1/${key}`));
  for (const { status, length } of await Promise.all(together)) {
    if (status !== 200 || length !== body.length) throw new Error(`${status} ${length}`);
  }
  const upstream = await reads();
  const paths = Array.from({ length: UNKNOWN }, (_, number) =>
    `/v1/alpha/bundle/${blake3(Buffer.from(`nothing ${number}`))}`);
  let found = 0;
  await lanes(64, paths, async (path) => {
    const { status } = await get(edge, path);
    if (status !== 404) found += 1;
  });
  const unknown = (await reads()) - upstream;
  const questions = await network.counted('packice_catalog_questions_total');
  await network.close();
  return { upstream, unknown, found, names: UNKNOWN, catalog_questions: questions };
}

const [folder, what] = process.argv.slice(2);
const measured = what === 'flood' ? await flood() : await replay(folder);
agent.destroy();
process.stdout.write(`${JSON.stringify(measured)}\n`);
