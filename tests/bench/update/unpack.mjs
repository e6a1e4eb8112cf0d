// How long wasm takes to unpack the segments of a delta, in Node. Arguments: the folder of the
// module, and that of the segments (N.segment, N.records). Prints JSON for `cargo xtask bench
// update`: bytes of new keys and values, and the fastest of five runs, the segments in a row.

import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, segments] = process.argv.slice(2);
const wasm = await import(pathToFileURL(resolve(modules, 'packice_delta_bench.js')).href);
const code = readFileSync(resolve(modules, 'packice_delta_bench_bg.wasm'));
await wasm.default({ module_or_path: code });

const numbers = readdirSync(segments).filter((name) => name.endsWith('.segment'));
const all = numbers.map((name) => {
  const segment = readFileSync(join(segments, name));
  const records = readFileSync(join(segments, name.replace('segment', 'records')));
  return new wasm.Unpacking(segment, records);
});
let fastest = Infinity;
let plain = 0;
for (let round = 0; round < 5; round += 1) {
  const began = performance.now();
  plain = all.reduce((sum, one) => sum + one.run(), 0);
  fastest = Math.min(fastest, performance.now() - began);
}
process.stdout.write(`${JSON.stringify({ plain, ms: fastest })}\n`);
