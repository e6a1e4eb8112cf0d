// The packed package as wallets get it: installed from its tarball into fresh projects, built by
// Vite, webpack and esbuild for production and run in Chromium; and in Node, with its types.
// Everything reads one data set from a real edge.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { publint } from 'publint';
import { createServer } from 'vite';
import { startBrowser } from '../harness/browser.mjs';
import { records } from '../harness/client.mjs';
import { freePort, startEdge } from '../harness/edge.mjs';
import { NPM, makeProject } from '../harness/project.mjs';
import { publishKey } from '../harness/signer.mjs';
import { startStatic } from '../harness/static.mjs';
import { BUNDLERS } from '../kit/bundlers.mjs';
import { ROOT, makeConsumer } from '../kit/consumer.mjs';

const run = promisify(execFile);
const KEY = publishKey('a key of the kit');
const BOOT = [['greeting', 'hello'], ['shape', 'kit']];
const ITEMS = records(2000, 120);

let edge;
let project;
let browser;
let options;

before(async () => {
  edge = await startEdge({ publishKeys: KEY.entry() });
  project = await makeProject({
    dataset: 'kit',
    edge: edge.url,
    by: KEY,
    collections: [
      { name: 'boot', priority: 0, records: BOOT },
      { name: 'items', priority: 1, lazy: true, records: ITEMS },
    ],
  });
  await project.publish();
  await project.packice('seed', 'kit.seed');
  browser = await startBrowser();
  options = { dataset: 'kit', sources: [edge.url], trust: project.trust };
});

after(async () => {
  await browser?.close();
  await project?.remove();
  await edge?.close();
});

const NOWHERE = 'http://127.0.0.1:9';
const QUESTION = {
  collection: 'items',
  keys: ['key/0000007', 'key/0001999', 'key/none'],
  prefix: 'key/00000',
};
const ANSWER = {
  version: 1,
  stored: true,
  fetched: true,
  found: [ITEMS[7][1], ITEMS[1999][1], 'absent'],
  listed: ITEMS.slice(0, 100).map(([key]) => key),
  code: 'misuse/unknown-collection',
};

/** A wallet's project: the page of tests/kit/app, and a seed of the release beside it. */
async function makeWallet(t) {
  const consumer = await makeConsumer(join(ROOT, 'tests/kit/app'));
  t.after(() => consumer.remove());
  await copyFile(join(project.dir, 'kit.seed'), join(consumer.dir, 'kit.seed'));
  return consumer;
}

for (const [name, build] of Object.entries(BUNDLERS)) {
  test(`${name}: built for production, the page syncs and reads in Chromium`, async (t) => {
    const consumer = await makeWallet(t);
    assert.deepEqual(await build(consumer), [], `${name} has nothing to warn about`);

    const site = await startStatic({ mounts: { '/': join(consumer.dir, 'dist') } });
    t.after(() => site.close());
    const { page, errors } = await browser.page();
    const asked = [];
    page.context().on('request', (request) => asked.push(new URL(request.url())));
    await page.goto(`${site.url}/`);
    await page.waitForFunction(() => window.lookUp);
    const started = page.waitForEvent('worker');
    const ask = (more) => page.evaluate((all) => window.lookUp(all), { ...more, ...QUESTION });
    const { proofBytes, ...inWorker } = await ask(options);
    assert.deepEqual(inWorker, ANSWER);
    assert.ok(proofBytes > 0);
    assert.match((await started).url(), new RegExp(`^${site.url}/`), 'the engine has a worker');
    const here = { ...options, database: 'in place', run: 'in-place' };
    const { proofBytes: _, ...inPlace } = await ask(here);
    assert.deepEqual(inPlace, ANSWER);
    const first = { ...options, database: 'first run', seeded: true, sources: [NOWHERE] };
    const { proofBytes: __, ...seeded } = await ask(first);
    assert.deepEqual(seeded, { ...ANSWER, fetched: false });
    const own = asked.filter(({ origin }) => origin === site.url).map(({ pathname }) => pathname);
    assert.ok(own.some((path) => path.endsWith('.wasm')), 'wasm is a file of its own');
    // The browser itself logs that nobody answers there.
    assert.deepEqual(errors.filter((error) => !error.includes('ERR_')), []);
    await page.close();
  });
}

test('vite: the development server serves the page as it is', async (t) => {
  const consumer = await makeWallet(t);
  const server = await createServer({
    root: consumer.dir,
    configFile: false,
    logLevel: 'silent',
    server: { host: '127.0.0.1', port: await freePort() },
  });
  t.after(() => server.close());
  await server.listen();
  const { page, errors } = await browser.page();
  await page.goto(server.resolvedUrls.local[0]);
  await page.waitForFunction(() => window.lookUp);
  const started = page.waitForEvent('worker');
  const { proofBytes: _, ...inWorker } = await page.evaluate(
    (all) => window.lookUp(all),
    { ...options, ...QUESTION },
  );
  assert.deepEqual(inWorker, ANSWER);
  await started;
  assert.deepEqual(errors, []);
  await page.close();
});

/** Every Node on PATH, once each: the one that runs this, and an older one where there is one. */
async function nodes() {
  const found = new Map();
  const folders = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'node'));
  for (const file of [process.execPath, ...folders]) {
    const version = await run(file, ['-p', 'process.versions.node']).catch(() => null);
    if (version) found.set(version.stdout.trim(), file);
  }
  return found;
}

const SERVER = `
import { open, PackiceError } from 'packice';
const { options, keys } = JSON.parse(process.env.ASKED);
const text = new TextDecoder();
const lists = await open(options);
const before = await lists.get('items', keys[0]);
const faults = [];
lists.on('fault', (fault) => faults.push(fault));
const report = await lists.sync();
const found = await lists.getMany('items', keys);
const listed = [];
for await (const { key } of lists.range('items', { start: 'key/0001990' })) {
  listed.push(text.decode(key));
}
const proof = await lists.proof('items', keys[1]);
const absence = await lists.proof('items', keys[2]);
const status = await lists.status();
await lists.close();
const late = await lists.get('items', keys[0]).catch((error) => error);
console.log(JSON.stringify({
  before: before.state,
  version: report.version,
  found: found.map(({ state, value }) => (value ? text.decode(value) : state)),
  listed,
  proven: text.decode(proof.value),
  absence: absence.value,
  stored: status.stored,
  faults,
  late: late instanceof PackiceError && late.code,
}));
`;

test('Node: syncs and reads in memory, and the process ends by itself', async (t) => {
  const consumer = await makeConsumer({ 'server.mjs': SERVER });
  t.after(() => consumer.remove());
  const ASKED = JSON.stringify({ options, keys: QUESTION.keys });
  const tried = [];
  for (const [version, file] of await nodes()) {
    const [major, minor] = version.split('.').map(Number);
    if (major < 20 || (major === 20 && minor < 16)) continue;
    const at = { cwd: consumer.dir, env: { ...process.env, ASKED }, timeout: 30_000 };
    const { stdout, stderr } = await run(file, ['server.mjs'], at);
    assert.deepEqual(JSON.parse(stdout), {
      before: 'present',
      version: 1,
      found: ANSWER.found,
      listed: ITEMS.slice(1990).map(([key]) => key),
      proven: ITEMS[1999][1],
      absence: null,
      stored: true,
      faults: [],
      late: 'misuse/closed',
    });
    assert.equal(stderr, '');
    tried.push(version);
  }
  t.diagnostic(`Node ${tried.join(', ')}`);
  assert.ok(tried.length > 0);
});

const DOM = { lib: ['es2023', 'dom', 'dom.iterable', 'dom.asynciterable'], types: [] };

/** What people's tsconfig.json says about modules and about where the code runs. */
const SETTINGS = {
  'bundler, in a browser': { module: 'esnext', moduleResolution: 'bundler', ...DOM },
  'node16, in a browser': { module: 'node16', moduleResolution: 'node16', ...DOM },
  'nodenext, in Node without the DOM': {
    module: 'nodenext',
    moduleResolution: 'nodenext',
    lib: ['es2023'],
    types: ['node'],
    typeRoots: [join(ROOT, 'node_modules/@types')],
  },
};

for (const [name, settings] of Object.entries(SETTINGS)) {
  test(`types: they hold, and catch what they should: ${name}`, async (t) => {
    const strict = { strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false };
    const compilerOptions = { ...settings, ...strict, target: 'es2022', noEmit: true };
    const consumer = await makeConsumer({
      'tsconfig.json': JSON.stringify({ compilerOptions, files: ['types.test-d.ts'] }),
      'types.test-d.ts': await readFile(join(ROOT, 'tests/kit/types.test-d.ts'), 'utf8'),
    });
    t.after(() => consumer.remove());
    const { stdout } = await consumer
      .node([consumer.tool('typescript/bin/tsc'), '--project', '.'])
      .catch((error) => error);
    assert.equal(stdout, '');
  });
}

test('the package has no fault that its consumers would find', async () => {
  const { messages } = await publint({ pkgDir: NPM, strict: true, pack: false });
  assert.deepEqual(messages, []);
});
