// What a cold client's trust costs Chromium's processor: all of it, next to the bare Ed25519
// verifications in it, in one wasm module. Prints JSON for `cargo xtask bench trust`; the argument
// is the folder of the module. Both are timed in turns, so that a busy machine slows both.

import { resolve } from 'node:path';
import { startBrowser } from '../../harness/browser.mjs';
import { startStatic } from '../../harness/static.mjs';

const [folder, rounds = '25', repeats = '12'] = process.argv.slice(2);

const page = { type: 'text/html', body: '<!doctype html><title>bench</title>' };
const site = await startStatic({ mounts: { '/wasm/': resolve(folder) }, pages: { '/': page } });
const browser = await startBrowser();
try {
  const { page } = await browser.page();
  await page.goto(`${site.url}/`);
  const measured = await page.evaluate(measure, { rounds: +rounds, repeats: +repeats });
  process.stdout.write(`${JSON.stringify(measured)}\n`);
} finally {
  await browser.close();
  await site.close();
}

/** Runs in the page. */
async function measure({ rounds, repeats }) {
  const wasm = await import('/wasm/packice_trust_bench.js');
  await wasm.default({ module_or_path: '/wasm/packice_trust_bench_bg.wasm' });
  const bench = new wasm.TrustBench();
  const signatures = bench.signatures();
  const timed = (run) => {
    const started = performance.now();
    for (let i = 0; i < repeats; i++) run();
    return (performance.now() - started) / repeats;
  };
  const cold = () => {
    if (!(bench.cold() > 0)) throw new Error('the cold client was not convinced');
  };
  const bare = () => {
    if (bench.bare() !== signatures) throw new Error('a signature does not hold');
  };
  // The engine compiles what runs often: the first rounds tell nothing.
  for (let i = 0; i < 3; i++) {
    timed(cold);
    timed(bare);
  }
  const pairs = Array.from({ length: rounds }, () => ({ cold: timed(cold), bare: timed(bare) }));
  const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
  return {
    signatures,
    cold_ms: median(pairs.map(({ cold }) => cold)),
    bare_ms: median(pairs.map(({ bare }) => bare)) / signatures,
    ratio: median(pairs.map(({ cold, bare }) => cold / bare)),
    rounds,
    repeats,
  };
}
