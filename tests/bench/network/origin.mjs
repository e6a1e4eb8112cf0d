// An origin for the benchmark: the files of built sets in memory, behind a line. Answers are
// logged with the times at which the client sent their requests and had their last bytes; a fault
// makes it what a bad source is.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { range, readTree } from '../sync/server.mjs';
import { behind, Line } from './line.mjs';

/** What an edge lets other origins do; a preflight is asked once, if at all. */
const CORS = {
  'access-control-allow-origin': '*',
  'access-control-allow-headers': '*',
  'access-control-expose-headers': '*',
  'access-control-max-age': '7200',
};

/** A set's objects and head, by the paths that an edge has them under. */
export async function filesOf({ name, build, head }) {
  const files = new Map();
  const base = `/v1/${name}`;
  for (const kind of ['manifest', 'layout', 'dictionary', 'bundle']) {
    await readTree(files, `${base}/${kind}`, join(build, kind));
  }
  for (const path of ['checkpoint', 'bootstrap/stable']) {
    files.set(`${base}/${path}`, { body: await readFile(join(head, path)) });
  }
  return files;
}

/** The bundles' paths. */
export const bundlesOf = (files) => [...files.keys()].filter((path) => path.includes('/bundle/'));

/** A body with its middle bit flipped. */
function flipped(body) {
  const out = Buffer.from(body);
  out[out.length >> 1] ^= 1;
  return out;
}

/**
 * Serves files. `profile` is the line's; `fault` is null, `{ kind: 'lie' }` (every bundle has one
 * bit flipped) or `{ kind: 'die', after }` (all is broken off in the body that passes so many
 * bytes, and nothing answers from then on).
 */
export async function startOrigin(files, profile, fault = null) {
  const line = new Line(profile);
  let log = [];
  const server = createServer((request, response) => {
    if (request.method === 'OPTIONS') return response.writeHead(204, CORS).end();
    const found = files.get(request.url);
    if (!found) {
      response.writeHead(404, { ...CORS, 'content-type': 'text/plain' });
      return response.end(`no ${request.url}\n`);
    }
    const lies = fault?.kind === 'lie' && request.url.includes('/bundle/');
    const whole = lies ? flipped(found.body) : found.body;
    const part = range(request.headers.range, whole.length);
    const body = part ? whole.subarray(part.start, part.end) : whole;
    const headers = {
      ...CORS,
      'content-type': 'application/octet-stream',
      'content-length': body.length,
      'cache-control': 'no-store',
    };
    if (part) headers['content-range'] = `bytes ${part.start}-${part.end - 1}/${whole.length}`;
    const { askedAt, sent: before } = request.socket;
    const entry = { path: request.url, range: request.headers.range, start: askedAt };
    log.push(entry);
    response.on('finish', () => {
      const wire = request.socket;
      entry.wire = wire.sent - before;
      wire.whenArrived(() => (entry.end = performance.now()));
    });
    response.writeHead(part ? 206 : 200, headers);
    response.end(body);
  });
  server.keepAliveTimeout = 600_000;
  const door = await behind(line, server);
  if (fault?.kind === 'die') line.cutAfter(fault.after, door.cut);
  return {
    url: door.url,
    line,
    reset() {
      log = [];
      line.sent = 0;
      line.reset();
    },
    /** What was asked for since the last reset; what ended has an `end`. */
    log: () => log,
    close: door.cut,
  };
}
