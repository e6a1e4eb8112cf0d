// Starts the built edge worker on the real workerd through miniflare's API: ready in under a
// second, R2 and caches simulated by workerd, no account and no network. `wrangler dev` is for
// people; this is for tests and the demo.

import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { asChild, isMain } from './child.mjs';
import { keyOfSeed } from './signer.mjs';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const BUILD = join(ROOT, 'edge-worker/build');

/** The compatibility date of wrangler.toml, so that tests and deployment agree. */
export async function compatibilityDate() {
  const text = await readFile(join(ROOT, 'wrangler.toml'), 'utf8');
  const found = /^compatibility_date\s*=\s*"([0-9-]+)"/m.exec(text);
  if (!found) throw new Error('wrangler.toml has no compatibility_date');
  return found[1];
}

/** The Durable Objects of wrangler.toml: the class behind each binding. */
export const OBJECTS = {
  POINTER: 'Pointer',
  LIVE: 'Live',
  KEEPER: 'Keeper',
  CATALOG: 'Catalog',
  SHARDS: 'RegionShard',
};

/** The built worker's modules. */
export function edgeModules() {
  if (!existsSync(join(BUILD, 'index.js'))) {
    throw new Error('edge-worker/build is missing: run `cargo xtask edge-build` first');
  }
  return {
    modulesRoot: BUILD,
    modules: [
      { type: 'ESModule', path: join(BUILD, 'index.js') },
      { type: 'CompiledWasm', path: join(BUILD, 'index_bg.wasm') },
    ],
  };
}

/** The built worker in a scope in which a test lets things fail (faulty-edge.mjs). */
export async function faultyModules() {
  const built = edgeModules();
  const contents = await readFile(join(ROOT, 'tests/harness/faulty-edge.mjs'), 'utf8');
  const entry = { type: 'ESModule', path: join(BUILD, 'faulty-edge.mjs'), contents };
  return { ...built, modules: [entry, ...built.modules] };
}

/** A TCP port that was free a moment ago. */
export function freePort(host = '127.0.0.1') {
  return new Promise((ok, fail) => {
    const probe = createServer();
    probe.once('error', fail);
    probe.listen(0, host, () => {
      const { port } = probe.address();
      probe.close(() => ok(port));
    });
  });
}

/**
 * Starts one edge.
 *
 * - `publishKeys`: the variable PUBLISH_KEYS, `{dataset or *}={public key hex}`, comma list.
 * - `persist`: folder that keeps R2 between runs; a temporary one, removed by `close`, if absent.
 * - `colo`: the data centre that `request.cf.colo` names.
 * - `port`: 0 takes a free one.
 * - `limits`: the rate limits that are bound, as `{ LIMIT_READS: requests }` a minute; none else.
 * - `r2Buckets`: the bindings of its stores; none for an edge whose store does not answer.
 */
export async function startEdge({
  publishKeys = '',
  persist,
  colo = 'FRA',
  host = '127.0.0.1',
  port = 0,
  bindings = {},
  r2Buckets = ['OBJECTS'],
  limits = {},
  verbose = false,
} = {}) {
  const { Miniflare, convertV4MiniflareOptions, Log, LogLevel } = await import('miniflare');
  const temporary = persist ? null : await mkdtemp(join(tmpdir(), 'packice-edge-'));
  const folder = resolve(persist ?? temporary);
  await mkdir(folder, { recursive: true });
  const socket = { host, port: port || (await freePort(host)) };
  const options = convertV4MiniflareOptions({
    cf: { colo },
    log: new Log(verbose ? LogLevel.INFO : LogLevel.ERROR),
    host,
    port: 0,
    workers: [
      {
        name: 'packice-edge',
        ...edgeModules(),
        compatibilityDate: await compatibilityDate(),
        r2Buckets,
        ratelimits: Object.fromEntries(Object.entries(limits).map(([name, limit]) => {
          return [name, { namespace_id: name, simple: { limit, period: 60 } }];
        })),
        durableObjects: Object.fromEntries(
          Object.entries(OBJECTS).map(([binding, className]) => [
            binding,
            { className, useSQLite: true },
          ]),
        ),
        bindings: { PUBLISH_KEYS: publishKeys, ...bindings },
        unsafeDirectSockets: [socket],
      },
    ],
  });
  // The converter drops the persistence settings of version 4.
  options.resourcePersistencePath = folder;
  const miniflare = new Miniflare(options);
  await miniflare.ready;
  const direct = await miniflare.unsafeGetDirectURL('packice-edge');
  return {
    url: direct.origin,
    host: direct.hostname,
    port: Number(direct.port),
    persist: folder,
    miniflare,
    async close() {
      await miniflare.dispose();
      if (temporary) await rm(temporary, { recursive: true, force: true });
    },
  };
}

/** Who may publish: what PUBLISH_KEYS says, or else the key whose seed PACKICE_PUBLISH_KEY is. */
function listed() {
  const { PUBLISH_KEYS: keys, PACKICE_PUBLISH_KEY: seed } = process.env;
  return keys ?? (seed ? keyOfSeed(Buffer.from(seed, 'hex')).entry() : '');
}

if (isMain(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '0' },
      colo: { type: 'string', default: 'FRA' },
      persist: { type: 'string' },
      'publish-keys': { type: 'string', default: listed() },
      binding: { type: 'string', multiple: true, default: [] },
      verbose: { type: 'boolean', default: false },
    },
  });
  const pair = (text) => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)];
  const edge = await startEdge({
    port: Number(values.port),
    colo: values.colo,
    persist: values.persist,
    publishKeys: values['publish-keys'],
    bindings: Object.fromEntries(values.binding.map(pair)),
    verbose: values.verbose,
  });
  asChild(edge, { persist: edge.persist });
}
