// A bounded run of tests/bench/edge/load.mjs: reads, uploads and removals at once, and nothing is
// wrong with any answer. `cargo xtask bench edge --only load` runs it for 15 minutes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from '../bench/edge/load.mjs';

test('under load no answer is wrong, and memory does not grow', async (t) => {
  const report = await load({ seconds: 20 });
  t.diagnostic(JSON.stringify(report));
  assert.deepEqual(report.said, []);
  assert.equal(report.errors, 0);
  assert.ok(Object.values(report.counts).every((count) => count > 0), 'all kinds came');
  assert.ok(report.memory_warm > 0, 'workerd was found');
  // Its heap breathes; a leak of a body for each request would be many times this.
  assert.ok(report.memory_highest < 2 * report.memory_warm + (64 << 20), 'memory');
});
