// A hostile HTTP proxy in front of an edge. It counts every request and byte that passes, and
// does to chosen objects what a lying, broken or slow mirror would do.
//
// A rule is `{ kind, action, path?, times?, after?, …}`:
// - `kind`: which objects (`bundle`, `layout`, `bootstrap`, …, see `kindOf`), or `*`;
// - `path`: a regular expression the path must match too;
// - `after`: let so many matching requests pass first; `times`: then strike at most so often;
// - `action`: one of ACTIONS below; `at` is the offset of a flipped byte (the middle if absent),
//   `bytes` how many to cut off or append, `ms` how long to wait, `status` what to answer.
// The first rule that matches strikes. Uploads pass as they are, one every `uploadMs` as over a
// slow line, unless their sender is gone by then; each is listed with the edge's status.

import { Agent, createServer, request as httpRequest } from 'node:http';
import { parseArgs } from 'node:util';
import { asChild, isMain, listen } from './child.mjs';
import { close } from './static.mjs';

const HTML = '<!doctype html><title>Sign in</title><p>This network wants you to sign in first.\n';

/** What can be done to a response; each takes the state of one exchange and returns a body. */
const ACTIONS = {
  flip({ body, rule }) {
    const out = Buffer.from(body);
    if (out.length > 0) out[Math.min(rule.at ?? out.length >> 1, out.length - 1)] ^= 1;
    return out;
  },
  truncate: ({ body, rule }) => body.subarray(0, Math.max(0, body.length - (rule.bytes ?? 1))),
  extend: ({ body, rule }) => Buffer.concat([body, Buffer.alloc(rule.bytes ?? 1, 0x5a)]),
  garbage: ({ body }) => Buffer.from(body.map((_, i) => (i * 151 + 7) & 0xff)),
  empty: () => Buffer.alloc(0),
  html: () => Buffer.from(HTML),
  /** Another object of the same kind: `with` names its path, else the last other one seen. */
  async swap({ kind, path, range, rule, state }) {
    const other = rule.with ?? [...(state.seen.get(kind) ?? [])].findLast((p) => p !== path);
    if (!other) throw new Error(`no other ${kind} was seen to swap ${path} with`);
    const headers = range ? { range } : {};
    return (await forward(state, { method: 'GET', path: other, headers })).body;
  },
  /** The right bytes, late. */
  async delay({ body, rule }) {
    await sleep(rule.ms ?? 1000);
    return body;
  },
};

/** The kind of object a path of the edge's API names. */
export function kindOf(path) {
  const [, version, , kind] = path.split('?')[0].split('/');
  return version === 'v1' && kind ? kind : 'other';
}

const sleep = (ms) => new Promise((ok) => setTimeout(ok, ms));

/** Fetches from the edge, whole. */
function forward(state, { method, path, headers, body }) {
  return new Promise((ok, fail) => {
    const options = { method, path, agent: state.agent, headers, ...state.target };
    const out = httpRequest(options, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('error', fail);
      response.on('end', () => {
        ok({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts) });
      });
    });
    out.on('error', fail);
    out.end(body);
  });
}

/** The first rule for this request that has strikes left. */
function ruleFor(state, kind, path) {
  for (const rule of state.rules) {
    if (rule.kind !== '*' && rule.kind !== kind) continue;
    if (rule.path && !new RegExp(rule.path).test(path)) continue;
    rule.matched = (rule.matched ?? 0) + 1;
    if (rule.matched <= (rule.after ?? 0)) continue;
    if (rule.times !== undefined && (rule.struck ?? 0) >= rule.times) continue;
    rule.struck = (rule.struck ?? 0) + 1;
    return rule;
  }
  return null;
}

function readBody(request) {
  return new Promise((ok, fail) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('error', fail);
    request.on('end', () => ok(Buffer.concat(parts)));
  });
}

/** Headers that belong to one connection, not to the message. */
function endToEnd(headers) {
  const kept = { ...headers };
  for (const name of ['connection', 'keep-alive', 'transfer-encoding', 'host']) delete kept[name];
  return kept;
}

async function exchange(state, request, response) {
  const path = request.url;
  const kind = kindOf(path);
  const entry = { method: request.method, path, kind, range: request.headers.range ?? null };
  entry.start = performance.now();
  const before = request.socket.bytesWritten;
  const sent = await readBody(request);
  const reading = request.method === 'GET';
  if (reading) state.log.push(entry);
  if (request.method === 'PUT' && state.uploadMs > 0) {
    state.uplink = state.uplink.then(() => sleep(state.uploadMs));
    await state.uplink;
    if (request.socket.destroyed) return;
  }
  if (request.method === 'PUT') state.uploads.push(entry);
  const rule = reading ? ruleFor(state, kind, path) : null;
  entry.struck = rule?.action ?? null;

  if (rule?.action === 'status') return response.writeHead(rule.status ?? 503).end();
  if (rule?.action === 'stall') return; // never answered, until someone gives up
  if (rule?.action === 'reset') return request.socket.destroy();

  // What a publisher asks is signed for the host that it asked.
  const signed = request.method === 'PUT' || request.method === 'POST';
  const host = signed ? request.headers.host : state.host;
  const headers = { ...endToEnd(request.headers), host };
  const got = await forward(state, { method: request.method, path, headers, body: sent });
  entry.status = got.status;
  if (got.status < 300 && request.method !== 'OPTIONS') remember(state, kind, path);
  let { body } = got;
  const act = rule && rule.action !== 'cut' ? ACTIONS[rule.action] : null;
  if (rule && !act && rule.action !== 'cut') throw new Error(`no action ${rule.action}`);
  if (act) body = await act({ body, kind, path, range: entry.range, rule, state });

  const out = endToEnd(got.headers);
  if (request.method !== 'HEAD') out['content-length'] = body.length;
  if (rule?.action === 'html') out['content-type'] = 'text/html; charset=utf-8';
  response.on('close', () => {
    entry.end = performance.now();
    entry.wire = request.socket.bytesWritten - before;
  });
  response.writeHead(got.status, out);
  if (rule?.action === 'cut') {
    entry.bytes = rule.at ?? body.length >> 1;
    response.write(body.subarray(0, entry.bytes), () => request.socket.destroy());
    return;
  }
  entry.bytes = request.method === 'HEAD' ? 0 : body.length;
  response.end(request.method === 'HEAD' ? undefined : body);
}

function remember(state, kind, path) {
  if (!state.seen.has(kind)) state.seen.set(kind, new Set());
  state.seen.get(kind).add(path);
}

/**
 * How many requests had to wait for one another: each is one deeper than the deepest request
 * that had ended before it began.
 */
export function dependentDepth(log) {
  const byStart = [...log].sort((a, b) => a.start - b.start);
  for (const entry of byStart) {
    const ended = byStart.filter((other) => other.end !== undefined && other.end <= entry.start);
    entry.depth = 1 + Math.max(0, ...ended.map((other) => other.depth ?? 0));
  }
  return Math.max(0, ...byStart.map((entry) => entry.depth));
}

/** Sums of a log: requests, body bytes, and bytes on the wire with the headers. */
export function totals(log) {
  const sum = (field) => log.reduce((all, entry) => all + (entry[field] ?? 0), 0);
  return {
    requests: log.length,
    bytes: sum('bytes'),
    wireBytes: sum('wire'),
    dependent: dependentDepth(log),
  };
}

/** Starts a proxy in front of `target`; `rules` and `log` may be changed while it runs. */
export async function startProxy({ target, rules = [], host = '127.0.0.1', port = 0 }) {
  const { hostname, port: targetPort, host: targetHost } = new URL(target);
  const state = {
    target: { host: hostname, port: Number(targetPort) },
    host: targetHost,
    agent: new Agent({ keepAlive: true, maxSockets: 64 }),
    rules,
    log: [],
    uploads: [],
    uploadMs: 0,
    uplink: Promise.resolve(),
    busy: 0,
    seen: new Map(),
  };
  const server = createServer((request, response) => {
    state.busy += 1;
    exchange(state, request, response)
      .catch((error) => {
        if (!response.headersSent) response.writeHead(502, { 'content-type': 'text/plain' });
        response.end(`proxy: ${error.message}\n`);
      })
      .finally(() => {
        state.busy -= 1;
      });
  });
  const address = await listen(server, host, port);
  return {
    ...address,
    state,
    /** What passed since the last `reset`, GET only, in order of arrival. */
    get log() {
      return state.log;
    },
    /** The uploads since the start, each with its path and, once there is one, its status. */
    get uploads() {
      return state.uploads;
    },
    /** Once the edge has answered everything that reached it. */
    async quiet() {
      while (state.busy > 0) await sleep(10);
    },
    totals: () => totals(state.log),
    setRules(list) {
      state.rules = list;
    },
    reset() {
      state.log = [];
    },
    async close() {
      state.agent.destroy();
      await close(server);
    },
  };
}

if (isMain(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      target: { type: 'string' },
      rules: { type: 'string', default: '[]' },
      port: { type: 'string', default: '0' },
    },
  });
  if (!values.target) throw new Error('usage: proxy.mjs --target URL [--rules JSON] [--port N]');
  const rules = JSON.parse(values.rules);
  asChild(await startProxy({ target: values.target, rules, port: Number(values.port) }));
}
