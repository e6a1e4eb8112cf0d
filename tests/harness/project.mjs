// A publisher's project made up by a test: JSON lines and a configuration in a temporary folder,
// built and published by the real `packice` through the edge's API.

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const run = promisify(execFile);

/** The publisher's program: what xtask built, or the release build. */
export const PACKICE = process.env.PACKICE_BIN ?? join(ROOT, 'target/release/packice');

/** The built npm package. */
export const NPM = process.env.PACKICE_NPM ?? join(ROOT, 'target/npm/packice');

function section({ name, priority, lazy = false, events = false, settings = {} }) {
  const input = `${name}.jsonl`;
  const fields = { priority, lazy, key: '{k}', value: 'v', value_text: true };
  const pairs = { name, input, ...(events ? { events } : fields), ...settings };
  const lines = Object.entries(pairs).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
  return ['', '[[collection]]', ...lines, ''].join('\n');
}

/**
 * Makes a project that publishes `by` a key. `collections` are `{ name, priority, lazy, settings,
 * records }`, records being `[key, text]` pairs, or `{ name, events: true, records }`, records
 * being events; `deltas` is the configuration's section of that name. `build()` builds what they
 * hold at that time, `publish()` publishes it too.
 */
export async function makeProject({ dataset, edge, by, collections, deltas = {} }) {
  const dir = await mkdtemp(join(tmpdir(), 'packice-project-'));
  const packice = async (...args) => {
    const env = { ...process.env, PACKICE_PUBLISH_KEY: by.seed };
    const { stdout } = await run(PACKICE, args, { cwd: dir, env, maxBuffer: 1 << 26 });
    return stdout;
  };
  await packice('init', '--dataset', dataset);
  const head = [
    `dataset = "${dataset}"`,
    'channel = "stable"',
    '[edge]',
    `url = "${edge}"`,
    '[keys]',
    'release = "keys/release.key"',
    'root = "keys/root.key"',
    '[deltas]',
    ...Object.entries(deltas).map(([key, value]) => `${key} = ${JSON.stringify(value)}`),
  ];
  const config = head.join('\n') + '\n' + collections.map(section).join('');
  await writeFile(join(dir, 'packice.toml'), config);
  return {
    dir,
    packice,
    trust: (await readFile(join(dir, 'trust/1.bin'))).toString('base64'),
    async build() {
      for (const { name, events, records } of collections) {
        const line = (record) => (events ? record : { k: record[0], v: record[1] });
        const lines = records.map((record) => JSON.stringify(line(record)) + '\n');
        await writeFile(join(dir, `${name}.jsonl`), lines.join(''));
      }
      return packice('build', '--json');
    },
    async publish() {
      await this.build();
      return packice('publish', '--json');
    },
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}
