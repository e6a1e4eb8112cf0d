// docs/cookbook.md as it stands: its packice.toml is published to a real edge, its modules are
// built by its esbuild line and run in Chromium, its programs run in Node. A block that nothing
// here runs is a failure.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.mjs';
import { freePort, startEdge } from '../harness/edge.mjs';
import { makeProject } from '../harness/project.mjs';
import { startStatic } from '../harness/static.mjs';
import { ROOT, makeConsumer } from '../kit/consumer.mjs';
import { publishKey } from '../harness/signer.mjs';

const KEY = publishKey('a key of the cookbook');
const TOKENS = Array.from({ length: 500 }, (_, i) => ({
  chainId: 1 + (i % 3),
  address: `0xAb${String(i).padStart(6, '0')}`,
  symbol: i < 3 ? ['USDC', 'USDT', 'usdx'][i] : `TK${i}`,
  name: `Token ${i}`,
}));
const INPUTS = {
  'domains.jsonl': ['evil.example', 'Bad.example']
    .map((domain) => `${JSON.stringify({ list: 'block', domain })}\n`).join(''),
  'tokens.jsonl': TOKENS.map((token) => `${JSON.stringify(token)}\n`).join(''),
  'headers.csv': ['height,header\n', ...Array.from({ length: 300 }, (_, i) => `${i},${hex(i)}\n`)]
    .join(''),
};
const PAGE = '<!doctype html><title>cookbook</title><link rel="icon" href="data:,">';

/** Eighty bytes for a height. */
function hex(height) {
  return height.toString(16).padStart(8, '0').repeat(20);
}

/** The page's blocks: what each is named after its language, and what stands in it. */
async function blocks() {
  const page = await readFile(join(ROOT, 'docs/cookbook.md'), 'utf8');
  const found = [...page.matchAll(/^```(\w+) ?(\S*)\n([\s\S]*?)^```$/gm)];
  return found.map(([, language, name, text]) => {
    assert.ok(name, `a block of ${language} has no name:\n${text}`);
    return { language, name, text };
  });
}

const closers = [];
const ran = new Set();
let all;
let consumer;
let edgeUrl;
let project;
let page;
let errors;

const of = (name) => {
  ran.add(name);
  return all.filter((block) => block.name === name).map(({ text }) => text);
};

before(async () => {
  all = await blocks();
  const edge = await startEdge({ publishKeys: KEY.entry() });
  closers.unshift(() => edge.close());
  edgeUrl = edge.url;
  project = await makeProject({ dataset: 'wallet', edge: edge.url, by: KEY, collections: [] });
  closers.unshift(() => project.remove());
  for (const [name, text] of Object.entries(INPUTS)) await writeFile(join(project.dir, name), text);
  const toml = of('packice.toml').join('\n').replace('https://edge.example', edge.url);
  await writeFile(join(project.dir, 'packice.toml'), toml);
  await project.packice('build', '--json');
  await project.packice('publish', '--json');

  const [shown] = of('settings.js');
  const settings = shown.replace(/\[.*\]/, JSON.stringify([edge.url]))
    .replace(/trust: '.*'/, `trust: '${project.trust}'`);
  const scripts = all.filter(({ language, name }) => language === 'js' && name !== 'settings.js');
  const files = Object.fromEntries(scripts.map(({ name, text }) => [name, text]));
  consumer = await makeConsumer({ ...files, 'settings.js': settings });
  closers.unshift(() => consumer.remove());
  const [packice, ...seed] = of('seed')[0].trim().split(' ');
  assert.equal(packice, 'packice');
  await project.packice(...seed);
  await cp(join(project.dir, seed.at(-1)), join(consumer.dir, seed.at(-1)));
  const [npx, tool, ...args] = of('esbuild')[0].split(/[\s\\]+/).filter(Boolean);
  assert.deepEqual([npx, tool], ['npx', 'esbuild']);
  await consumer.node([consumer.tool('esbuild/bin/esbuild'), ...args, '--log-level=warning']);

  const site = await startStatic({
    mounts: { '/': join(consumer.dir, 'dist') },
    pages: { '/': { type: 'text/html', body: PAGE } },
  });
  closers.unshift(() => site.close());
  const browser = await startBrowser();
  closers.unshift(() => browser.close());
  ({ page, errors } = await browser.page());
  await page.goto(`${site.url}/`);
});

after(async () => {
  for (const close of closers) await close();
});

test('a block list in ten lines', async () => {
  const lines = of('blocklist.js')[0].split('\n').filter((line) => line.trim());
  assert.ok(lines.length <= 10, `${lines.length} lines`);
  const states = await page.evaluate(async () => {
    const { isBlocked, lists } = await import('/blocklist.js');
    const early = await isBlocked('never.asked.example');
    await lists.sync();
    const hosts = ['www.EVIL.example', 'bad.example', 'good.example'];
    const states = await Promise.all(hosts.map(isBlocked));
    await lists.close();
    return [early, ...states];
  });
  assert.ok(['unknown', 'absent'].includes(states[0]));
  assert.deepEqual(states.slice(1), ['present', 'present', 'absent']);
});

test('a token list with search', async () => {
  of('tokens.js');
  const { found, none, listed, stored } = await page.evaluate(async () => {
    // Nothing that was synced before.
    await new Promise((ok) => (indexedDB.deleteDatabase('packice/wallet').onsuccess = ok));
    const { token, search, lists } = await import('/tokens.js');
    const listed = await search('USD');
    const found = await token(1, '0xAb000000');
    const none = await token(9, '0xAb000000');
    const { stored } = await lists.status();
    await lists.close();
    return { found, none, listed, stored };
  });
  assert.deepEqual(listed, TOKENS.slice(0, 3).map(({ symbol, chainId, address, name }) => ({
    symbol: symbol.toLowerCase(), chainId, address: address.toLowerCase(), name,
  })));
  assert.deepEqual(found, { symbol: 'USDC', name: 'Token 0' });
  assert.equal(none, null);
  assert.equal(stored, false, 'a search needs no sync');
});

test('headers with proofs', async () => {
  of('headers.js');
  const { some, proven, absent, other, spoiled } = await page.evaluate(async () => {
    const { headers, prove, check, lists } = await import('/headers.js');
    const two = (byte) => byte.toString(16).padStart(2, '0');
    const hex = (bytes) => bytes && Array.from(bytes, two).join('');
    const some = (await headers(254, 258)).map(hex);
    const [full, beyond] = [await prove(257), await prove(1000)];
    await lists.close();
    const fails = (promise) => promise.then(() => null, (error) => error.code ?? error.message);
    const bad = full.slice();
    bad[bad.length >> 1] ^= 1;
    return {
      some,
      proven: hex(await check(full, 257)),
      absent: await check(beyond, 1000),
      other: await fails(check(full, 258)),
      spoiled: await fails(check(bad, 257)),
    };
  });
  assert.deepEqual(some, [254, 255, 256, 257].map(hex));
  assert.equal(proven, hex(257));
  assert.equal(absent, null);
  assert.equal(other, 'a proof of something else');
  assert.match(spoiled, /^(trust|format)\//);
});

test('a list that follows', async () => {
  of('follow.js');
  const before = await page.evaluate(async () => {
    await new Promise((ok) => (indexedDB.deleteDatabase('packice/wallet').onsuccess = ok));
    window.follow = await import('/follow.js');
    window.told = [];
    follow.onChange((change) => told.push(change));
    await follow.lists.sync();
    return follow.blocked(['evil.example', 'new.example']);
  });
  assert.deepEqual(before, { version: 1, states: ['present', 'absent'] });
  const lines = INPUTS['domains.jsonl'].split('\n').filter((line) => line && !/evil/.test(line));
  const added = JSON.stringify({ list: 'block', domain: 'new.example' });
  await writeFile(join(project.dir, 'domains.jsonl'), [...lines, added, ''].join('\n'));
  await project.packice('build', '--json');
  await project.packice('publish', '--json');
  const after = await page.evaluate(async () => {
    await follow.lists.sync();
    const after = await follow.blocked(['evil.example', 'new.example']);
    const back = await follow.goBack();
    const again = await follow.blocked(['evil.example', 'new.example']);
    await follow.lists.close();
    return { after, back, again, told };
  });
  assert.deepEqual(after.after, { version: 2, states: ['absent', 'present'] });
  assert.deepEqual([after.back, after.again], [1, before]);
  assert.deepEqual(after.told, [{ blocked: ['new.example'], freed: ['evil.example'] }, null]);
  // What the other recipes read.
  await writeFile(join(project.dir, 'domains.jsonl'), INPUTS['domains.jsonl']);
  await project.packice('build', '--json');
  await project.packice('publish', '--json');
  errors.length = 0;
});

test('the first run without a network', async () => {
  of('seeded.js');
  await page.context().route(`${edgeUrl}/**`, (route) => route.abort());
  const { states, stored, bytesFetched } = await page.evaluate(async () => {
    await new Promise((ok) => (indexedDB.deleteDatabase('packice/wallet').onsuccess = ok));
    const { lists } = await import('/seeded.js');
    const found = await lists.getMany('domains', ['block/evil.example', 'block/good.example']);
    const { bytesFetched } = await lists.sync();
    const { stored } = await lists.status();
    await lists.close();
    return { states: found.map(({ state }) => state), stored, bytesFetched };
  });
  await page.context().unroute(`${edgeUrl}/**`);
  assert.deepEqual(states, ['present', 'absent']);
  assert.deepEqual([stored, bytesFetched], [true, 0]);
  // The network's failures are the browser's to log.
  errors.length = 0;
});

test('a service worker', async () => {
  of('sw.js');
  const answers = await page.evaluate(async () => {
    const registration = await navigator.serviceWorker.register('/sw.js', { type: 'module' });
    await navigator.serviceWorker.ready;
    const ask = (domain) => new Promise((ok) => {
      navigator.serviceWorker.addEventListener('message', ({ data }) => {
        if (data.domain === domain) ok(data.state);
      });
      registration.active.postMessage(domain);
    });
    navigator.serviceWorker.startMessages();
    const answers = [await ask('evil.example'), await ask('good.example')];
    await registration.unregister();
    return answers;
  });
  assert.deepEqual(answers, ['present', 'absent']);
  assert.deepEqual(errors, []);
});

test('a server in Node', async () => {
  of('server.js');
  const port = await freePort();
  const env = { ...process.env, PORT: String(port) };
  const options = { cwd: consumer.dir, env, stdio: 'inherit' };
  const server = spawn(process.execPath, ['server.js'], options);
  closers.unshift(() => server.kill('SIGKILL'));
  const status = async (domain) => {
    for (let tries = 0; ; tries += 1) {
      try {
        return (await fetch(`http://127.0.0.1:${port}/${domain}`)).status;
      } catch (error) {
        if (tries === 200) throw error;
        await new Promise((ok) => setTimeout(ok, 50));
      }
    }
  };
  assert.equal(await status('evil.example'), 200);
  assert.equal(await status('good.example'), 404);
  const ended = once(server, 'exit');
  server.kill('SIGTERM');
  assert.deepEqual(await ended, [0, null], 'the process ends by itself');
});

test('a test without a network', async () => {
  of('offline.test.js');
  await project.packice('export', join(consumer.dir, 'public'));
  // A runner of its own, not a child of this one.
  const env = { NODE_TEST_CONTEXT: undefined };
  const { stdout } = await consumer.node(['--test', 'offline.test.js'], env);
  assert.match(stdout, /pass 1\b/);
});

test('every block of the page was run', () => {
  assert.deepEqual([...new Set(all.map(({ name }) => name))].filter((name) => !ran.has(name)), []);
});
