// docs/operations.md against what there is: its commands exist with the options that it gives them,
// its names are those of wrangler.toml, and its way back from a lost bucket leads back.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { records } from '../harness/client.mjs';
import { startEdge } from '../harness/edge.mjs';
import { PACKICE, makeProject } from '../harness/project.mjs';
import { ROOT } from '../kit/consumer.mjs';
import { publishKey } from '../harness/signer.mjs';

const run = promisify(execFile);
const KEY = publishKey('a key of operations');
const read = (path) => readFile(join(ROOT, path), 'utf8');

/** The commands of the page, one a line. */
async function commands() {
  const page = await read('docs/operations.md');
  const blocks = [...page.matchAll(/^ *```sh\n([\s\S]*?)^ *```$/gm)].map(([, text]) => text);
  const lines = blocks.flatMap((text) => text.replace(/\\\n\s*/g, '').split('\n'));
  return lines.map((line) => line.replace(/(^| +)#.*/, '').trim()).filter(Boolean);
}

/** The help of the verb, or of the verb below it, that a command begins with. */
async function helpOf(words) {
  let verbs = words.slice(0, 1);
  for (;;) {
    const { stdout } = await run(PACKICE, ['help', ...verbs]);
    const next = words[verbs.length];
    const below = /^Commands:\n([\s\S]*?)\n\n/m.exec(stdout)?.[1] ?? '';
    if (!next || !new RegExp(`^ +${next} `, 'm').test(below)) return { help: stdout, verbs };
    verbs = [...verbs, next];
  }
}

test('every packice command of the page exists, with its options', async () => {
  const written = (await commands()).map((line) => line.replace(/^([A-Z_]+=\S+ +)+/, ''));
  const lines = written.filter((line) => line.startsWith('packice '));
  assert.ok(lines.length >= 8);
  for (const line of lines) {
    const words = line.split(/ +/).slice(1);
    const { help, verbs } = await helpOf(words);
    for (const option of words.filter((word) => word.startsWith('--'))) {
      const [name] = option.split('=');
      assert.match(help, new RegExp(`${name}\\b`), `packice ${verbs.join(' ')} has no ${name}`);
    }
  }
});

test('names are those of wrangler.toml and of the code', async () => {
  const [page, wrangler] = [await read('docs/operations.md'), await read('wrangler.toml')];
  const said = (name) => new RegExp(`^${name} = "(.*)"$`, 'm').exec(wrangler)[1];
  assert.ok(page.includes(`the Worker \`${said('name')}\``));
  const bucket = `its bucket \`${said('bucket_name')}\`, bound as \`${said('binding')}\``;
  assert.ok(page.includes(bucket));
  const lines = await commands();
  assert.ok(lines.includes(`npx wrangler r2 bucket create ${said('bucket_name')}`));
  const [keys] = /PUBLISH_\w+/.exec(await read('edge-worker/src/auth.rs'));
  assert.ok(page.includes(`\`${keys}\``) && wrangler.includes(`${keys} = `), keys);
  const sources = await readdir(join(ROOT, 'publisher/src'), { recursive: true });
  const files = sources.filter((name) => name.endsWith('.rs'));
  const code = (await Promise.all(files.map((name) => read(`publisher/src/${name}`)))).join('');
  for (const [, variable] of page.matchAll(/`(PACKICE_\w+)`/g)) {
    assert.ok(code.includes(`"${variable}"`), variable);
  }
  const wrangled = lines.filter((line) => line.startsWith('npx wrangler'));
  assert.ok(wrangled.length >= 5);
});

test('a lost bucket comes back out of an export, and clients go on', async (t) => {
  const first = await startEdge({ publishKeys: KEY.entry() });
  t.after(() => first.close());
  const collections = [{ name: 'items', priority: 1, records: records(500, 100) }];
  const kept = { dataset: 'kept', edge: first.url, by: KEY, collections };
  const project = await makeProject(kept);
  t.after(() => project.remove());
  await project.publish();
  await project.packice('export', 'public');
  await project.packice('sync');

  const second = await startEdge({ publishKeys: KEY.entry() });
  t.after(() => second.close());
  const bucket = await second.miniflare.getR2Bucket('OBJECTS');
  const folder = join(project.dir, 'public/v1');
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    await bucket.put(path.slice(folder.length + 1), await readFile(path));
  }
  const config = join(project.dir, 'packice.toml');
  const moved = (await readFile(config, 'utf8')).replace(first.url, second.url);
  await writeFile(config, moved);
  const seen = JSON.parse(await project.packice('verify', '--clean', '--json'));
  assert.equal(seen.version, 1);
  await project.packice('sync');
  // And the next release follows the same log.
  collections[0].records[3][1] = 'edited';
  const next = JSON.parse(await project.publish());
  assert.equal(next.log_size, 2);
  await project.packice('sync');
  assert.equal((await project.packice('get', 'items', 'key/0000003')).trim(), 'edited');
});
