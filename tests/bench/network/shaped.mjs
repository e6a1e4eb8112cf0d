// A first sync over three lines, next to what its bytes alone need there; and how many requests of
// a cold read had to wait for one another.

import { dependentDepth } from '../../harness/proxy.mjs';
import { bundlesOf, filesOf, startOrigin } from './origin.mjs';
import { inBrowser, median, say, verify } from './stage.mjs';

const PROFILES = {
  rtt50: { rttMs: 50, mbit: 20 },
  rtt200: { rttMs: 200, mbit: 2, stall: { everyMs: 10_000, forMs: 1000 } },
  rtt5: { rttMs: 5, mbit: 300 },
};

const options = ({ name, trust }, origin) => ({ dataset: name, sources: [origin.url], trust });

/** Bytes of answers that came to their end, each range once: what is fetched again counts once. */
function usefulBytes(log) {
  const ended = log.filter(({ end }) => end !== undefined);
  const once = new Map(ended.map((entry) => [`${entry.path} ${entry.range ?? ''}`, entry.wire]));
  return [...once.values()].reduce((sum, wire) => sum + wire, 0);
}

async function timedSync(site, set, warm, files, profile) {
  const warmOrigin = await startOrigin(warm.files, {});
  const origin = await startOrigin(files, profile);
  try {
    return await inBrowser(site, async ({ call }) => {
      await call('warm', options(warm.set, warmOrigin));
      await call('prepare', options(set, origin));
      origin.reset();
      const { ms } = await call('sync');
      const log = [...origin.log()];
      const [useful, sent] = [usefulBytes(log), origin.line.sent];
      verify(set, await call('check'));
      const ideal = origin.line.idealMs(useful);
      const requests = log.length;
      return { ms, ideal_ms: ideal, ratio: ms / ideal, bytes: useful, sent_bytes: sent, requests };
    });
  } finally {
    origin.close();
    warmOrigin.close();
  }
}

/** The same bundles, fetched by the page with nothing behind it. */
async function plainFetch(site, files, profile) {
  const origin = await startOrigin(files, profile);
  try {
    const urls = bundlesOf(files).map((path) => origin.url + path);
    return await inBrowser(site, async ({ call }) => {
      origin.reset();
      const { ms } = await call('plain', urls);
      const ideal = origin.line.idealMs(origin.line.sent);
      return { ms, ideal_ms: ideal, ratio: ms / ideal, bytes: origin.line.sent };
    });
  } finally {
    origin.close();
  }
}

async function coldGet(site, set, files, profile) {
  const origin = await startOrigin(files, profile);
  try {
    return await inBrowser(site, async ({ call }) => {
      await call('prepare', options(set, origin));
      origin.reset();
      const { ms, state } = await call('get', set.some_key);
      if (state !== 'present') throw new Error(`${set.name}: the cold read said ${state}`);
      const log = origin.log().map((entry) => ({ ...entry }));
      const chain = dependentDepth(log);
      const paths = log.map(({ path, range, depth }) => ({ path, range, depth }));
      return { ms, round_trips: ms / profile.rttMs, chain, requests: paths };
    });
  } finally {
    origin.close();
  }
}

export async function shaped({ site, config }) {
  const figures = {};
  const detail = {};
  const warm = { set: config.warm, files: await filesOf(config.warm) };
  for (const [name, profile] of Object.entries(PROFILES)) {
    const set = config.shaped[name];
    const files = await filesOf(set);
    const plain = await plainFetch(site, files, profile);
    say(`${name} plain fetch: ${plain.ms.toFixed(0)} ms, ${plain.ratio.toFixed(3)} of the ideal`);
    const get = await coldGet(site, set, files, profile);
    say(`${name} cold get: ${get.ms.toFixed(0)} ms, ${get.chain} requests in sequence`);
    const rounds = [];
    for (let round = 0; round < config.rounds; round += 1) {
      const took = await timedSync(site, set, warm, files, profile);
      rounds.push(took);
      say(`${name} sync: ${took.ms.toFixed(0)} ms, ${took.ratio.toFixed(3)} of the ideal`);
    }
    figures[`d3.time_ratio.${name}`] = median(rounds.map(({ ratio }) => ratio));
    detail[name] = { profile, set: set.name, plain, get, rounds };
  }
  figures['d3.requests'] = Math.max(...Object.values(detail).map(({ get }) => get.chain));
  return { figures, detail };
}
