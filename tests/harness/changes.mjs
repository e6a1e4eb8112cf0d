// What the demo's "Publish a change" publishes: a few operations on a set, made a version by the
// real publisher, and moved to the edge.

import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The operations of a set's nth change; each undoes what the one before added. */
const CHANGES = {
  'eth-phishing': (n) => [
    { op: 'put', collection: 'domains', key: `blacklist/change-${n}.example`, value_text: '' },
    { op: 'delete', collection: 'domains', key: `blacklist/change-${n - 1}.example` },
    { op: 'put', collection: 'config', key: 'version', value: 1000 + n },
  ],
  'solana-tokens': (n) => [
    {
      op: 'patch',
      collection: 'tokens',
      key: '101/So11111111111111111111111111111111111111112',
      value: { name: `Wrapped SOL, change ${n}` },
    },
  ],
  'browser-compat': (n) => [
    {
      op: 'patch',
      collection: 'compat',
      key: 'api.IDBFactory',
      value: { description: `Change ${n}` },
    },
  ],
};

/**
 * A function that publishes the next change of a set; changes come one after the other.
 * `{ packice, projects, key }`: the program, the folder of the projects, the publish key.
 */
export function startChanges({ packice, projects, key }) {
  const counts = new Map();
  let last = Promise.resolve();

  async function publish(set) {
    const n = (counts.get(set) ?? 0) + 1;
    const [cwd, env] = [join(projects, set), { ...process.env, PACKICE_PUBLISH_KEY: key }];
    const packed = (...args) => run(packice, args, { cwd, env });
    const lines = CHANGES[set](n).map((operation) => `${JSON.stringify(operation)}\n`);
    await writeFile(join(cwd, 'change.jsonl'), lines.join(''));
    await packed('apply', 'change.jsonl', '--json');
    const { stdout } = await packed('publish', '--json');
    counts.set(set, n);
    return { version: JSON.parse(stdout).version };
  }

  return (set) => {
    if (!Object.hasOwn(CHANGES, set)) throw new Error(`no changes are made to ${set}`);
    last = last.catch(() => {}).then(() => publish(set));
    return last;
  };
}
