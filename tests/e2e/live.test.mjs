// Live push on workerd: listeners are greeted, told of releases, and held to the rules of
// docs/spec/live.md; a page of Chromium follows without a request.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { records, startWorld } from '../harness/client.mjs';
import { startEdge } from '../harness/edge.mjs';
import { makeProject } from '../harness/project.mjs';
import { publishKey } from '../harness/signer.mjs';

const KEY = publishKey('a key of the live tests');
const later = (ms) => new Promise((done) => setTimeout(done, ms));

/** A listener of a channel: what it hears, and how it ended. */
class Listener {
  messages = [];
  #waiting = [];

  constructor(edge, dataset, channel = 'stable') {
    const url = edge.url.replace('http', 'ws');
    this.socket = new WebSocket(`${url}/v1/${dataset}/live/${channel}`);
    this.socket.binaryType = 'arraybuffer';
    this.socket.addEventListener('message', ({ data }) => {
      this.messages.push(typeof data === 'string' ? data : Buffer.from(data));
      for (const look of this.#waiting) look();
    });
    this.ended = new Promise((ended) => {
      this.socket.addEventListener('close', ({ code }) => ended(code));
      this.socket.addEventListener('error', () => ended('refused'));
    });
  }

  /** The message of a number, once it came. */
  async message(number) {
    while (this.messages.length <= number) {
      await Promise.race([
        new Promise((heard) => this.#waiting.push(heard)),
        this.ended.then((code) => Promise.reject(new Error(`it ended: ${code}`))),
      ]);
    }
    return this.messages[number];
  }

  close() {
    this.socket.close();
    return this.ended;
  }
}

const CHECKPOINT = 0;
const RELEASE = 1;

function assertPush(message, kind) {
  assert.equal(message.subarray(0, 4).toString(), 'PKL1');
  assert.equal(message[4], kind);
}

let edge;
let project;
let texts = records(40, 60);
before(async () => {
  edge = await startEdge({ publishKeys: KEY.entry() });
  const collections = [{ name: 'config', priority: 0, records: texts }];
  project = await makeProject({ dataset: 'told', edge: edge.url, by: KEY, collections });
  await project.publish();
});
after(async () => {
  await project?.remove();
  await edge?.close();
});

/** Publishes a change of one record. */
async function release(text) {
  texts[0][1] = text;
  return JSON.parse(await project.publish());
}

test('listeners are greeted with the checkpoint and told of a release', async () => {
  const listeners = Array.from({ length: 12 }, () => new Listener(edge, 'told'));
  for (const listener of listeners) assertPush(await listener.message(0), CHECKPOINT);
  const note = await (await fetch(`${edge.url}/v1/told/checkpoint`)).text();
  assert.ok(listeners[0].messages[0].includes(note), 'the newest checkpoint');
  await release('told to all');
  for (const listener of listeners) {
    const message = await listener.message(1);
    assertPush(message, RELEASE);
    const headers = { 'cache-control': 'no-cache' };
    const head = await fetch(`${edge.url}/v1/told/head/stable`, { headers });
    const bytes = Buffer.from(await head.arrayBuffer());
    assert.ok(message.includes(bytes), 'the head');
    const whole = await fetch(`${edge.url}/v1/told/bootstrap/stable`, { headers });
    assert.ok(bytes.length < (await whole.arrayBuffer()).byteLength, 'without the cold data');
  }
  for (const listener of listeners) await listener.close();
});

test('a listener says nothing but ping', async () => {
  const listener = new Listener(edge, 'told');
  await listener.message(0);
  listener.socket.send('ping');
  assert.equal(await listener.message(1), 'pong');
  listener.socket.send('give me something else');
  assert.equal(await listener.ended, 1008);
  const loud = new Listener(edge, 'told');
  await loud.message(0);
  loud.socket.send('x'.repeat(65));
  assert.equal(await loud.ended, 1009);
});

test('a channel that does not exist has no listeners', async () => {
  assert.equal(await new Listener(edge, 'told', 'nightly').ended, 'refused');
  assert.equal(await new Listener(edge, 'nothing').ended, 'refused');
});

test('one address may listen so many times, and a shard has so many places', async () => {
  const small = await startEdge({
    publishKeys: KEY.entry(),
    bindings: { LIVE_LIMITS: '1/8000/3' },
  });
  const collections = [{ name: 'config', priority: 0, records: records(10, 20) }];
  const own = await makeProject({ dataset: 'small', edge: small.url, by: KEY, collections });
  try {
    await own.publish();
    const three = Array.from({ length: 3 }, () => new Listener(small, 'small'));
    for (const listener of three) await listener.message(0);
    assert.equal(await new Listener(small, 'small').ended, 'refused');
    await three[0].close();
    // The shard learns of the end by a message of its own.
    for (let tries = 0; ; tries++) {
      const again = new Listener(small, 'small');
      const came = await Promise.race([again.message(0), again.ended]).catch(() => 'refused');
      if (Buffer.isBuffer(came)) break;
      assert.ok(tries < 50, 'a place that became free is given away');
      await later(100);
    }
  } finally {
    await own.remove();
    await small.close();
  }
});

test('pages follow over the line without a request, or by asking', async () => {
  const collections = [{ name: 'config', priority: 0, records: texts }];
  const world = await startWorld({ dataset: 'followed', collections });
  try {
    const { page } = await world.page();
    const url = world.edge.url;
    await page.evaluate(async (url) => {
      window.follow = async (options) => {
        const settings = { run: 'in-place', store: 'memory', ...options };
        const { dataset, faults } = await window.client([url], settings);
        const seen = { versions: [], live: [], faults };
        dataset.on('state', ({ phase, version }) => {
          if (phase === 'complete') seen.versions.push(version);
        });
        dataset.on('live', ({ connected }) => seen.live.push(connected));
        return { dataset, seen };
      };
      window.live = await Promise.all([1, 2, 3].map(() => window.follow({ live: true })));
      window.requests = () => performance.getEntriesByType('resource')
        .filter(({ name }) => name.includes('/v1/')).length;
    }, url);
    const until = (check, arg) => page.waitForFunction(check, arg, { timeout: 60_000 });
    await until(() => window.live.every(({ seen }) => seen.live[0] && seen.versions.includes(1)));
    const before = await page.evaluate(() => window.requests());
    texts[0][1] = 'followed';
    await world.project.publish();
    await until(() => window.live.every(({ seen }) => seen.versions.includes(2)));
    assert.equal(await page.evaluate(() => window.requests()), before, 'no request was made');
    const found = await page.evaluate(async () => {
      const got = await Promise.all(window.live.map(({ dataset }) =>
        dataset.get('config', 'key/0000000')));
      return got.map((lookup) => window.plain(lookup).text);
    });
    assert.deepEqual(found, Array(3).fill('followed'));
    const faults = await page.evaluate(() => window.live.flatMap(({ seen }) => seen.faults));
    assert.deepEqual(faults, []);
    // Who does not listen, and whose line cannot be opened: both ask, and begin with a sync.
    await page.evaluate(async () => {
      for (const { dataset } of window.live) await dataset.close();
      const asking = [window.follow({ poll: 1 })];
      window.WebSocket = undefined;
      asking.push(window.follow({ live: true, poll: 1 }));
      window.asking = await Promise.all(asking);
    });
    await until(() => window.asking.every(({ seen }) => seen.versions.includes(2)));
    texts[0][1] = 'asked for';
    await world.project.publish();
    await until(() => window.asking.every(({ seen }) => seen.versions.includes(3)));
    const heard = await page.evaluate(() => window.asking.map(({ seen }) => seen.live));
    assert.deepEqual(heard, [[], []]);
  } finally {
    await world.close();
  }
});
