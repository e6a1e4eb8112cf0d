// Drives `cargo xtask bench network`. Input: a JSON file (see xtask/src/bench/network.rs) with
// `{ npm, rounds, warm, shaped?, sources?, heap?, worker? }`, each set as
// xtask/src/bench/sets.rs describes it; a part whose sets are not there is left out. Prints
// `{ figures, detail }` on stdout; what it measures goes to stderr as it comes.

import { readFile } from 'node:fs/promises';
import { heap } from './heap.mjs';
import { shaped } from './shaped.mjs';
import { sources } from './sources.mjs';
import { startSite } from './stage.mjs';
import { worker } from './worker.mjs';

const PARTS = { shaped, sources, heap, worker };

const config = JSON.parse(await readFile(process.argv[2], 'utf8'));
// The root of a set's one collection.
const sets = [config.sources, config.heap, config.worker, ...Object.values(config.shaped ?? {})];
for (const set of sets) if (set) [set.root] = set.roots;
const site = await startSite(config.npm);
const report = { figures: {}, detail: {} };
try {
  for (const [name, part] of Object.entries(PARTS)) {
    if (!config[name]) continue;
    const { figures, detail } = await part({ site, config });
    Object.assign(report.figures, figures);
    report.detail[name] = detail;
  }
} finally {
  await site.close();
}
process.stdout.write(`${JSON.stringify(report)}\n`);
