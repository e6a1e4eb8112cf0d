// A first sync from several sources, each behind a line of its own: beside a bad one, next to the
// good one alone; and three equal ones, next to one.

import { filesOf, startOrigin } from './origin.mjs';
import { inBrowser, median, say, verify } from './stage.mjs';

const GOOD = { profile: { rttMs: 50, mbit: 20 } };

const BAD = {
  slow: { profile: { rttMs: 50, mbit: 2 } },
  dies: { ...GOOD, fault: { kind: 'die', after: 3 << 20 } },
  lies: { ...GOOD, fault: { kind: 'lie' } },
};

/** Every constellation by name; the sources as a caller would list them. */
function constellations() {
  const all = { alone: [GOOD], three: [GOOD, GOOD, GOOD] };
  for (const [name, bad] of Object.entries(BAD)) {
    all[`${name}, listed second`] = [GOOD, bad];
    all[`${name}, listed first`] = [bad, GOOD];
  }
  return all;
}

async function timed(site, set, files, warm, sources) {
  const origins = [];
  const warmOrigin = await startOrigin(warm.files, {});
  try {
    for (const { profile, fault } of sources) {
      origins.push(await startOrigin(files, profile, fault));
    }
    return await inBrowser(site, async ({ call }) => {
      const { name, trust } = warm.set;
      await call('warm', { dataset: name, sources: [warmOrigin.url], trust });
      const urls = origins.map(({ url }) => url);
      await call('prepare', { dataset: set.name, sources: urls, trust: set.trust });
      for (const origin of origins) origin.reset();
      const { ms } = await call('sync');
      const sent = origins.map(({ line }) => line.sent);
      const { sources: said } = await call('standing');
      verify(set, await call('check'));
      return { ms, sent_bytes: sent, sources: said };
    });
  } finally {
    for (const origin of [...origins, warmOrigin]) origin.close();
  }
}

export async function sources({ site, config }) {
  const set = config.sources;
  const files = await filesOf(set);
  const warm = { set: config.warm, files: await filesOf(config.warm) };
  const rounds = {};
  for (let round = 0; round < config.rounds; round += 1) {
    for (const [name, list] of Object.entries(constellations())) {
      const took = await timed(site, set, files, warm, list);
      (rounds[name] ??= []).push(took);
      const sent = took.sent_bytes.map((bytes) => (bytes / 1e6).toFixed(1)).join(' + ');
      say(`${name}: ${took.ms.toFixed(0)} ms, ${sent} MB`);
    }
  }
  const middle = (name) => median(rounds[name].map(({ ms }) => ms));
  const ratios = {};
  for (const name of Object.keys(rounds)) ratios[name] = middle(name) / middle('alone');
  const bad = Object.keys(rounds).filter((name) => name.includes('listed'));
  const figures = {
    'd4.bad_source_ratio': Math.max(...bad.map((name) => ratios[name])),
    'd4.three_sources': 1 / ratios.three,
  };
  return { figures, detail: { set: set.name, ratios, rounds } };
}
