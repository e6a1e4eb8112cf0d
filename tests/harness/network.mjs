// An edge of several regions on this machine: one workerd for each region, all on one shared
// storage, so that a bucket is the same bucket everywhere. Durable Objects live in the first
// instance and the others reach them there, as all of a Worker's data centres share its objects.

import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compatibilityDate, edgeModules, faultyModules, freePort, OBJECTS } from './edge.mjs';

/** Region names of R2, and a data centre in each. */
export const PLACES = {
  weur: 'FRA', enam: 'IAD', apac: 'SIN', oc: 'SYD', wnam: 'SJC', eeur: 'WAW',
};

/**
 * Starts a network.
 *
 * - `regions`: names, the first one hosts the Durable Objects.
 * - `bytes`, `versions`: the budget of each region's store, and how many releases it keeps whole.
 * - `bindings`: further variables.
 * - `faulty`: each edge has a `fault(query)` (faulty-edge.mjs).
 */
export async function startNetwork({
  regions = ['weur', 'enam', 'apac', 'oc'],
  bytes = 1 << 30,
  versions = 2,
  bindings = {},
  faulty = false,
} = {}) {
  const { Miniflare, convertV4MiniflareOptions, Log, LogLevel } = await import('miniflare');
  const folder = await mkdtemp(join(tmpdir(), 'packice-network-'));
  const bound = (name) => `REGION_${name.toUpperCase()}`;
  const date = await compatibilityDate();
  const modules = faulty ? await faultyModules() : edgeModules();
  const edges = [];
  for (const name of regions) {
    const host = '127.0.0.1';
    const socket = { host, port: await freePort(host) };
    const first = name === regions[0];
    const elsewhere = ([binding, className]) => [
      binding,
      first ? { className, useSQLite: true } : { className, scriptName: `edge-${regions[0]}` },
    ];
    const options = convertV4MiniflareOptions({
      cf: { colo: PLACES[name] },
      log: new Log(LogLevel.ERROR),
      host,
      port: 0,
      workers: [
        {
          name: `edge-${name}`,
          ...modules,
          compatibilityDate: date,
          r2Buckets: ['OBJECTS', ...regions.map(bound)],
          durableObjects: Object.fromEntries(Object.entries(OBJECTS).map(elsewhere)),
          bindings: {
            REGION: name,
            REGIONS: regions.map((region) => `${region}=${bound(region)}`).join(','),
            REGION_BYTES: `${bytes}`,
            REGION_VERSIONS: `${versions}`,
            ...bindings,
          },
          unsafeDirectSockets: [socket],
        },
      ],
    });
    const own = join(folder, name);
    await mkdir(own, { recursive: true });
    options.resourcePersistencePath = join(folder, 'shared');
    options.isolatedResourcePersistencePath = own;
    options.unsafeEnableSharedStorage = true;
    options.enableDevRegistry = true;
    options.unsafeDevRegistryPath = join(folder, 'registry');
    const miniflare = new Miniflare(options);
    await miniflare.ready;
    const direct = await miniflare.unsafeGetDirectURL(`edge-${name}`);
    const [host_, port] = [direct.hostname, Number(direct.port)];
    const fault = (query) => fetch(`${direct.origin}/fault?${query}`);
    edges.push({ name, url: direct.origin, host: host_, port, miniflare, fault });
  }
  return {
    edges,
    bucket: (name) =>
      edges[0].miniflare.getR2Bucket(name ? bound(name) : 'OBJECTS', `edge-${regions[0]}`),
    /** A counter's sum over the regions, by the name and labels that `/metrics` gives it. */
    async counted(name, label = '') {
      const text = await (await fetch(`${edges[0].url}/metrics`)).text();
      const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`));
      const own = lines.filter((line) => line.includes(label));
      return own.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
    },
    async close() {
      await Promise.all(edges.map((edge) => edge.miniflare.dispose()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}
