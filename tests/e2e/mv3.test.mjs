// The Manifest V3 example as docs/examples/mv3 has it, in Chromium: its service worker runs the
// package in place, keeps the list, is stopped, and answers again without a request.

import assert from 'node:assert/strict';
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { startBrowser } from '../harness/browser.mjs';
import { startEdge } from '../harness/edge.mjs';
import { makeProject } from '../harness/project.mjs';
import { startProxy } from '../harness/proxy.mjs';
import { ROOT, makeConsumer } from '../kit/consumer.mjs';
import { publishKey } from '../harness/signer.mjs';

const KEY = publishKey('a key of the extension');
const DOMAINS = [
  ['blacklist/evil.example', ''],
  ['blacklist/shared.example', ''],
  ['whitelist/good.shared.example', ''],
  ...Array.from({ length: 3000 }, (_, i) => [`blacklist/bad-${i}.example`, '']),
];

/** The example with the package beside it, and settings of our own. */
async function makeExtension(settings) {
  const consumer = await makeConsumer();
  const dir = join(consumer.dir, 'extension');
  await cp(join(ROOT, 'docs/examples/mv3'), dir, { recursive: true });
  await cp(join(consumer.dir, 'node_modules/packice'), join(dir, 'packice'), { recursive: true });
  await writeFile(join(dir, 'settings.js'), `export const settings = ${JSON.stringify(settings)};`);
  return { dir, remove: consumer.remove };
}

/** What the popup says about a domain. */
async function lookUp(popup, domain) {
  const output = popup.locator('output');
  await output.evaluate((element) => (element.textContent = ''));
  await popup.fill('input', domain);
  await popup.click('button');
  await popup.waitForFunction(() => document.querySelector('output').textContent !== '');
  return { verdict: await output.getAttribute('data-verdict'), text: await output.textContent() };
}

/** Stops the service workers, and waits until they have stopped. */
async function stopWorkers(devtools) {
  const stopped = new Promise((ok) => {
    devtools.on('ServiceWorker.workerVersionUpdated', ({ versions }) => {
      if (versions.some(({ runningStatus }) => runningStatus === 'stopped')) ok();
    });
  });
  await devtools.send('ServiceWorker.enable');
  await devtools.send('ServiceWorker.stopAllWorkers');
  await stopped;
}

test('the MV3 example syncs, looks domains up, and outlives its service worker', async (t) => {
  const edge = await startEdge({ publishKeys: KEY.entry() });
  t.after(() => edge.close());
  const collections = [
    { name: 'config', priority: 0, records: [['version', '1']] },
    { name: 'domains', priority: 1, records: DOMAINS },
  ];
  const published = { dataset: 'phishing', edge: edge.url, by: KEY, collections };
  const project = await makeProject(published);
  t.after(() => project.remove());
  await project.publish();
  const proxy = await startProxy({
    target: edge.url,
    rules: [{ kind: 'bundle', action: 'stall' }],
  });
  t.after(() => proxy.close());
  const settings = { dataset: 'phishing', sources: [proxy.url], trust: project.trust };
  const extension = await makeExtension(settings);
  t.after(() => extension.remove());

  const browser = await startBrowser({
    args: [`--disable-extensions-except=${extension.dir}`, `--load-extension=${extension.dir}`],
  });
  t.after(() => browser.close());
  const worker = browser.context.serviceWorkers()[0]
    ?? await browser.context.waitForEvent('serviceworker', { timeout: 20_000 });
  const [origin] = /^chrome-extension:\/\/[a-z]+/.exec(worker.url());

  const { page: popup, errors } = await browser.page();
  const openPopup = async () => {
    await popup.goto(`${origin}/popup.html`);
    await popup.waitForFunction(() => document.querySelector('small').textContent !== '');
    return popup.locator('small').textContent();
  };
  const tell = (message) => popup.evaluate((m) => chrome.runtime.sendMessage(m), message);

  // Stopped in the middle of the sync that being installed began; the next one ends it.
  while (!proxy.log.some(({ kind }) => kind === 'bundle')) await popup.waitForTimeout(20);
  assert.equal(await openPopup(), 'Version 1, being fetched.');
  assert.equal((await lookUp(popup, 'evil.example')).verdict, 'unknown');
  const devtools = await browser.context.newCDPSession(popup);
  await stopWorkers(devtools);
  proxy.setRules([]);
  const synced = await tell({ ask: 'sync' });
  assert.equal(synced.version, 1, JSON.stringify(synced));
  assert.equal(await openPopup(), 'Version 1, stored.');

  const check = async () => {
    assert.deepEqual(await lookUp(popup, 'www.evil.example'), {
      verdict: 'blocked',
      text: 'Blocked: the publisher lists blacklist/evil.example.',
    });
    assert.equal((await lookUp(popup, 'bad-2999.example')).verdict, 'blocked');
    assert.equal((await lookUp(popup, 'shared.example')).verdict, 'blocked');
    assert.equal((await lookUp(popup, 'good.shared.example')).verdict, 'allowed');
    assert.deepEqual(await lookUp(popup, 'innocent.example'), {
      verdict: 'not listed',
      text: 'Not listed: proven for version 1.',
    });
  };
  await check();

  // Stopped, as the browser does it after half a minute.
  await worker.evaluate(() => (globalThis.life = 'before'));
  await stopWorkers(devtools);
  proxy.reset();
  await check();
  assert.equal(await worker.evaluate(() => globalThis.life), undefined, 'another life');
  assert.equal(proxy.totals().requests, 0, 'what is stored needs no request');
  assert.equal(await openPopup(), 'Version 1, stored.');
  assert.deepEqual(errors, []);
});
