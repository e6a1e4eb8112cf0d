// A publisher that dies: SIGKILL in the middle of the upload and of the self-check, and what the
// next run does again.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { records, startRandom } from '../harness/client.mjs';
import { startEdge } from '../harness/edge.mjs';
import { makeProject, PACKICE } from '../harness/project.mjs';
import { startProxy } from '../harness/proxy.mjs';
import { publishKey } from '../harness/signer.mjs';

const KEY = publishKey('a key of the resume tests');
/**
 * About 22 MB on the wire, in about 24 bundles: on a busy machine a kill comes late, when all six
 * fetches of a round have ended, and the third round needs something left.
 */
const COUNT = 40_000;
const SEED = 20261124;

let edge;
let proxy;
let project;
before(async () => {
  edge = await startEdge({ publishKeys: KEY.entry() });
  proxy = await startProxy({ target: edge.url });
  const items = { name: 'items', priority: 1, records: records(COUNT, 1000) };
  items.settings = { dictionary: 'none' };
  const given = { dataset: 'resume', edge: proxy.url, by: KEY };
  project = await makeProject({ ...given, collections: [items] });
  await project.build();
});
after(async () => {
  await project?.remove();
  await proxy?.close();
  await edge?.close();
});

/** Publishes and kills the process once `when` holds; true if it was killed before its end. */
async function killed(when) {
  const child = spawn(PACKICE, ['publish', '--json'], { ...where(), stdio: 'ignore' });
  const ended = new Promise((ok) => child.once('exit', (code, signal) => ok(signal)));
  const watch = setInterval(() => when() && child.kill('SIGKILL'), 2);
  const signal = await ended;
  clearInterval(watch);
  // What was on its way may have reached the edge whole.
  await proxy.quiet();
  return signal === 'SIGKILL';
}

/** Publishes to the end; what it reports. */
function publish() {
  return new Promise((ok, fail) => {
    execFile(PACKICE, ['publish', '--json'], where(), (error, stdout, stderr) => {
      if (error) fail(new Error(`packice publish: ${stderr}`));
      else ok(JSON.parse(stdout));
    });
  });
}

const where = () => ({ cwd: project.dir, env: { ...process.env, PACKICE_PUBLISH_KEY: KEY.seed } });

/** The bundles that the self-check keeps. */
function kept() {
  try {
    const parent = join(project.dir, '.packice/rehearsal');
    const [profile] = readdirSync(parent);
    return profile ? readdirSync(join(parent, profile, 'store/bundle')) : [];
  } catch (error) {
    // It begins with nothing, and ends with nothing.
    if (error.code === 'ENOENT') return [];
    throw error;
  }
}

const bundlesAsked = () =>
  proxy.log.filter(isBundle).map(({ path }) => path.split('/').at(-1));

const isBundle = ({ kind }) => kind === 'bundle';

describe('a publisher that is killed', { concurrency: false }, () => {
  test('in its upload: nothing is sent twice', async (t) => {
    const random = startRandom(SEED);
    const sent = () => proxy.uploads.filter(isBundle).length;
    proxy.state.uploadMs = 60;
    const moments = [];
    for (let round = 0; round < 4; round += 1) {
      const enough = sent() + 1 + Math.floor(random() * 2);
      assert.ok(await killed(() => sent() >= enough), 'the set is too small for this test');
      moments.push(sent());
    }
    t.diagnostic(`seed ${SEED}: killed after ${moments.join(', ')} bundles`);
    assert.equal(proxy.log.filter(isBundle).length, 0, 'no self-check began');
    // To the first bundle of the self-check: the upload is over then.
    proxy.setRules([{ kind: 'bundle', action: 'delay', ms: 300 }]);
    assert.ok(await killed(() => proxy.log.some(isBundle)));
    const stored = proxy.uploads.filter(({ status }) => status === 201).map(({ path }) => path);
    assert.equal(new Set(stored).size, stored.length, 'each object is stored once');
    assert.equal(stored.length, proxy.uploads.length, 'nothing was sent that was there');
    assert.ok(sent() > moments.at(-1), 'the last run had something left to send');
  });

  test('in its self-check: nothing that was restored is fetched again', async (t) => {
    const random = startRandom(SEED + 1);
    let before = kept();
    const moments = [];
    for (let round = 0; round < 3; round += 1) {
      proxy.reset();
      const enough = before.length + 1 + Math.floor(random() * 2);
      assert.ok(await killed(() => kept().length >= enough), 'the set is too small for this test');
      assert.deepEqual(bundlesAsked().filter((name) => before.includes(name)), []);
      const now = kept();
      assert.deepEqual(before.filter((name) => !now.includes(name)), [], 'what is there stays');
      moments.push(now.length);
      before = now;
    }
    t.diagnostic(`seed ${SEED + 1}: killed with ${moments.join(', ')} bundles restored`);
    proxy.setRules([]);
    proxy.reset();
    const report = await publish();
    assert.equal(report.moved, true);
    assert.equal(report.objects_sent, 0);
    assert.equal(report.records_compared, COUNT, 'every record is compared all the same');
    assert.equal(report.rehearsal_bundles_reused, before.length);
    assert.deepEqual(bundlesAsked().filter((name) => before.includes(name)), []);
    assert.deepEqual(kept(), [], 'the profile is gone');
  });
});
