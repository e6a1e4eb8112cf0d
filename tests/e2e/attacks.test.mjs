// Every attack of tests/attacks on the npm package in Chromium: the same fixtures that the core and
// the command line go through (tests/tests/attacks.rs, tests/tests/attacks_cli.rs), on IndexedDB
// and the browser's own fetch.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { attackEdge } from '../harness/attack-edge.mjs';
import { startAttacker } from '../harness/attacker.mjs';
import { startBrowser } from '../harness/browser.mjs';
import { NPM } from '../harness/project.mjs';
import { startStatic } from '../harness/static.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const FIXTURES = join(HERE, '../attacks');
const OBJECTS = process.env.PACKICE_ATTACKS ?? resolve(HERE, '../../target/attacks/objects');
const CLIENT = 'browser';
/**
 * Fixtures at a time; five of them mostly wait. A source that stalls holds connections, so each
 * lane has a server of its own.
 */
const LANES = 8;
/** A collection, its key that tells releases apart, and what its value begins with. */
const PROBES = [
  ['config', 'release', 'config'],
  ['notes', 'key/00000003', 'note'],
  ['tokens', 'key/00000005', 'token'],
];
const PAGE = `<!doctype html><title>attacks</title>
<meta http-equiv="Content-Security-Policy"
  content="script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:">
<script type="module" src="/harness/attack-page.mjs"></script>`;

const names = readdirSync(FIXTURES, { withFileTypes: true })
  .filter((entry) => entry.isDirectory()).map(({ name }) => name);
const attacks = new Map(names.map((name) => {
  const text = readFileSync(join(FIXTURES, name, 'attack.json'), 'utf8');
  return [name, JSON.parse(text)];
}));

/** What a probe must give: a value, or a code. */
function expectedAnswer({ reads }, collection, begins) {
  const read = typeof reads === 'number' ? reads : reads?.[collection] ?? 'unknown';
  return typeof read === 'number' ? { value: `${begins} of release ${read}` } : { code: read };
}

/** Whether a fixture waits for deadlines, or for the pauses between retries: those begin first. */
const isSlow = ([, { phases }]) => phases.some(({ sources, sync }) => (
  sync?.code === 'peer/truncated'
    || sources.some(({ rules = [] }) => rules.some(({ action }) => /^(drip|stall)$/.test(action)))
));

const pairs = (faults) => [...new Set(faults.map(({ source, code }) => `${code} by ${source}`))]
  .sort();

describe('the attacks in Chromium', { concurrency: LANES }, () => {
  let index;
  let page;
  const closers = [];
  const lanes = [];
  const results = {};

  before(async () => {
    const file = join(OBJECTS, 'index.json');
    const make = 'cargo run -p packice-tests --bin attacks -- target/attacks/objects';
    assert.ok(existsSync(file), `${file} is missing: ${make}`);
    index = JSON.parse(readFileSync(file, 'utf8'));
    const site = await startStatic({
      mounts: { '/packice/': NPM, '/harness/': join(HERE, '../harness') },
      pages: { '/': { type: 'text/html', body: PAGE } },
    });
    closers.push(() => site.close());
    for (let lane = 0; lane < LANES; lane += 1) {
      const server = await startAttacker({ folder: OBJECTS });
      closers.push(() => server.close());
      lanes.push(server);
    }
    const browser = await startBrowser();
    closers.unshift(() => browser.close());
    ({ page } = await browser.page());
    await page.goto(`${site.url}/`);
    await page.waitForFunction(() => window.runPhase);
  });

  after(async () => {
    for (const close of closers) await close();
    const folder = join(OBJECTS, '..');
    mkdirSync(folder, { recursive: true });
    const report = { client: CLIENT, rows: results };
    writeFileSync(join(folder, `${CLIENT}.json`), `${JSON.stringify(report, null, 2)}\n`);
  });

  /** Runs a phase, and says all that is not as it must be. */
  async function run(name, phase, at, server) {
    const own = index[name];
    const { honest } = index;
    const bytes = async (hash) => [...await server.read(hash)];
    const sources = phase.sources.map((source, n) => {
      const files = own.sets[source.serve] ?? honest.sets[source.serve];
      assert.ok(files, `there is no set '${source.serve}'`);
      const url = server.mount(`${name}/${at}/${n}`, files, source.rules);
      return { url, name: source.name };
    });
    // The package wants a source; this one never answers.
    if (sources.length === 0) sources.push({ url: `${server.url}/nowhere`, name: 'nowhere' });
    const trust = phase.trust ?? 'root';
    const outcome = await page.evaluate((given) => window.runPhase(given), {
      database: `attack/${name}`,
      trust: await bytes(own.roots[trust] ?? honest.roots[trust]),
      sources,
      restart: phase.restart ?? false,
      whenExpired: phase.refuse_expired ? 'refuse' : 'serve',
      alters: await Promise.all((phase.alter ?? []).map(async (alter) => (
        { ...alter, plant: alter.with && await bytes(own.rows[alter.with]) }
      ))),
      sync: Boolean(phase.sync),
      probes: PROBES.map(([collection, key]) => [collection, key]),
    });
    const wrong = [];
    const expect = (what, found, expected) => {
      const [a, b] = [JSON.stringify(expected), JSON.stringify(found)];
      if (a !== b) wrong.push(`${phase.name}: ${what}: expected ${a}, found ${b}`);
    };
    const differs = phase.clients?.[CLIENT] ?? {};
    expect('opening', outcome.open, phase.open ?? null);
    expect('the sync', outcome.sync, differs.sync ?? phase.sync ?? null);
    const may = pairs(phase.may_fault ?? []);
    const blamed = pairs(outcome.faults).filter((fault) => !may.includes(fault));
    expect('faults', blamed, pairs(differs.faults ?? phase.faults ?? []));
    const damaged = [...new Set(outcome.damaged)].sort();
    expect('damaged rows', damaged, [...phase.damaged ?? []].sort());
    if (phase.freshness) expect('freshness', outcome.freshness, phase.freshness);
    for (const [collection, , begins] of phase.open ? [] : PROBES) {
      const expected = expectedAnswer(phase, collection, begins);
      expect(`reading ${collection}`, outcome.answers[collection], expected);
    }
    const allowed = new Set([...honest.allowed, ...own.allowed]);
    const found = new Map(outcome.before);
    for (const [key, hash] of outcome.rows) {
      if (found.get(key) === hash) continue;
      const named = key.split('/')[1];
      if (named !== hash) wrong.push(`${phase.name}: the row ${key} is not what its name says`);
      if (!allowed.has(named)) wrong.push(`${phase.name}: the row ${key} is of the attack`);
    }
    return wrong;
  }

  const ordered = [...attacks].sort((a, b) => isSlow(b) - isSlow(a));
  for (const [name, attack] of ordered) {
    const phases = attack.phases.filter((phase) => !phase.not_for?.[CLIENT]);
    if (attack.not_for?.[CLIENT] || phases.length === 0) continue;
    test(name, async () => {
      const server = lanes.pop();
      const wrong = [];
      try {
        for (const [at, phase] of phases.entries()) {
          wrong.push(...await run(name, phase, at, server));
        }
        for (const move of attack.edge ?? []) {
          const sets = { ...index.honest.sets, ...index[name].sets };
          const root = index.honest.roots.root;
          wrong.push(...await attackEdge(move, { sets, root, read: server.read }));
        }
      } catch (error) {
        wrong.push(String(error.stack));
      } finally {
        lanes.push(server);
      }
      const passed = wrong.length === 0;
      results[name] = passed ? { passed } : { passed, why: wrong.join('\n') };
      assert.ok(passed, wrong.join('\n'));
    });
  }
});
