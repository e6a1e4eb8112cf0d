// A hostile mirror for the fixtures of tests/attacks: sets of files under paths of their own,
// whole or by range, and the rules of attack.json. The same rules are in
// tests/src/attacks/rules.rs, for the clients that are not browsers.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { listen } from './child.mjs';
import { close } from './static.mjs';

const HTML = Buffer.from('<!doctype html><title>Sign in</title>');
const MARK = '/v1/test-set/';

/** What becomes of a body; `null` where the connection does something instead. */
const BODIES = {
  flip({ body, rule }) {
    const out = Buffer.from(body);
    const at = rule.at ?? out.length >> 1;
    if (at < out.length) out[at] ^= 1;
    return out;
  },
  truncate: ({ body }) => body.subarray(0, Math.max(0, body.length - 1)),
  extend: ({ body }) => Buffer.concat([body, Buffer.from([0x5a])]),
  empty: () => Buffer.alloc(0),
  html: () => HTML,
  serve: ({ state, mount, rule, path }) => load(state, mount.files[target(mount, rule, path)]),
};

/** What a connection does. */
const WIRES = {
  status: ({ response, rule }) => response.writeHead(Number(rule.with ?? 503), CORS).end(),
  redirect({ response, rule, mount, at, path }) {
    const location = `${at}${MARK}${target(mount, rule, path)}`;
    response.writeHead(302, { location, ...CORS }).end();
  },
  cut({ request, response, body, rule }) {
    response.writeHead(200, { 'content-length': body.length, ...CORS });
    const half = body.length >> 1;
    response.write(body.subarray(0, Math.min(rule.at ?? half, half)), () => {
      request.socket.destroy();
    });
  },
  stall({ response, body }) {
    response.writeHead(200, { 'content-length': body.length, ...CORS }).flushHeaders();
  },
  async drip({ response, body }) {
    response.writeHead(200, { 'content-length': body.length, ...CORS });
    for (const byte of body) {
      if (response.destroyed) return;
      response.write(Buffer.from([byte]));
      await new Promise((ok) => setTimeout(ok, 400));
    }
    response.end();
  },
  endless: (exchange) => endless(exchange, {}),
  'gzip-bomb': (exchange) => endless(exchange, { 'content-encoding': 'gzip' }),
  async 'ignore-range'({ state, response, mount, path }) {
    const body = await load(state, mount.files[path]);
    response.writeHead(200, { 'content-length': body.length, ...CORS }).end(body);
  },
};

const CORS = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers': 'content-range',
  'cache-control': 'no-store',
};

/** Sixteen megabytes of zeros, as gzip: sixteen kilobytes. */
let bomb;

async function endless({ request, response }, headers) {
  response.writeHead(200, { ...headers, ...CORS });
  let piece = Buffer.alloc(16 << 10);
  if (headers['content-encoding']) {
    const { gzipSync } = await import('node:zlib');
    piece = bomb ??= gzipSync(Buffer.alloc(16 << 20));
  }
  const more = () => {
    while (!response.destroyed && response.write(piece));
  };
  response.on('drain', more);
  request.socket.on('error', () => {});
  more();
}

/** The first other path that begins as the rule says. */
function target(mount, rule, path) {
  const found = Object.keys(mount.files).sort().find((p) => p.startsWith(rule.with) && p !== path);
  if (!found) throw new Error(`nothing to serve like '${rule.with}'`);
  return found;
}

async function load(state, hash) {
  if (!state.loaded.has(hash)) state.loaded.set(hash, readFile(join(state.folder, hash)));
  return state.loaded.get(hash);
}

function strike(mount, path) {
  const kind = path.split('/')[0];
  return mount.rules.find((rule) => {
    if (rule.kind !== '*' && rule.kind !== kind) return false;
    rule.matched = (rule.matched ?? 0) + 1;
    return rule.matched > (rule.after ?? 0);
  });
}

async function exchange(state, request, response) {
  if (request.method === 'OPTIONS') {
    const headers = { ...CORS, 'access-control-allow-headers': 'range' };
    return response.writeHead(204, headers).end();
  }
  const split = request.url.indexOf(MARK);
  const at = request.url.slice(0, split);
  const path = request.url.slice(split + MARK.length);
  const mount = state.mounts.get(at.slice(1));
  const hash = split < 0 ? undefined : mount?.files[path];
  if (!hash) return response.writeHead(404, CORS).end();
  const whole = await load(state, hash);
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  const ranged = first !== undefined;
  const body = ranged ? whole.subarray(Number(first), Number(last) + 1) : whole;
  const rule = strike(mount, path);
  const given = { state, request, response, mount, at, path, body, rule };
  if (rule && WIRES[rule.action]) return WIRES[rule.action](given);
  if (rule && !BODIES[rule.action]) throw new Error(`no action ${rule.action}`);
  const served = rule ? await BODIES[rule.action](given) : body;
  const range = ranged ? { 'content-range': `bytes ${first}-${last}/${whole.length}` } : {};
  const headers = { 'content-length': served.length, ...range, ...CORS };
  response.writeHead(ranged ? 206 : 200, headers).end(served);
}

/** Starts the server on the files that `attacks OUT` wrote into `folder`. */
export async function startAttacker({ folder, host = '127.0.0.1', port = 0 }) {
  const state = { folder, mounts: new Map(), loaded: new Map() };
  const server = createServer((request, response) => {
    exchange(state, request, response).catch((error) => {
      if (!response.headersSent) response.writeHead(500, CORS);
      response.end(String(error));
    });
  });
  const address = await listen(server, host, port);
  return {
    ...address,
    /** Serves `{path: hash}` by rules under a path; gives the base URL. */
    mount(at, files, rules = []) {
      state.mounts.set(at, { files, rules: rules.map((rule) => ({ ...rule })) });
      return `${address.url}/${at}`;
    },
    read: (hash) => load(state, hash),
    close: () => close(server),
  };
}
