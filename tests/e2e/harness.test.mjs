// The hostile proxy must do what its rules say: an attack test that attacks nothing passes.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { matches } from '../harness/datasets.mjs';
import { dependentDepth, kindOf, startProxy } from '../harness/proxy.mjs';
import { startStatic } from '../harness/static.mjs';

const A = Buffer.alloc(1000, 'a');
const B = Buffer.alloc(700, 'b');
let server;
let proxy;

before(async () => {
  const type = 'application/octet-stream';
  server = await startStatic({
    pages: { '/v1/d/bundle/a': { type, body: A }, '/v1/d/bundle/b': { type, body: B } },
  });
  proxy = await startProxy({ target: server.url });
});

after(async () => {
  await proxy.close();
  await server.close();
});

async function ask(action, more = {}) {
  proxy.setRules([{ kind: 'bundle', action, ...more }]);
  const response = await fetch(`${proxy.url}/v1/d/bundle/a`);
  return Buffer.from(await response.arrayBuffer());
}

test('objects are told apart by their path', () => {
  assert.equal(kindOf('/v1/tokens/bundle/00'), 'bundle');
  assert.equal(kindOf('/v1/tokens/log/tile/0/000'), 'log');
  assert.equal(kindOf('/healthz'), 'other');
});

test('what no rule matches passes unchanged and is counted', async () => {
  proxy.setRules([{ kind: 'layout', action: 'flip' }]);
  proxy.reset();
  const response = await fetch(`${proxy.url}/v1/d/bundle/b`);
  assert.deepEqual(Buffer.from(await response.arrayBuffer()), B);
  const { requests, bytes, dependent } = proxy.totals();
  assert.deepEqual({ requests, bytes, dependent }, { requests: 1, bytes: 700, dependent: 1 });
});

test('a flipped body differs in one bit', async () => {
  const body = await ask('flip', { at: 7 });
  assert.equal(body.length, A.length);
  assert.equal(body[7], A[7] ^ 1);
  body[7] ^= 1;
  assert.deepEqual(body, A);
});

test('a body is truncated, extended, emptied or replaced', async () => {
  assert.deepEqual(await ask('truncate', { bytes: 3 }), A.subarray(0, 997));
  assert.equal((await ask('extend', { bytes: 5 })).length, 1005);
  assert.equal((await ask('empty')).length, 0);
  assert.equal((await ask('garbage')).length, A.length);
  assert.match((await ask('html')).toString(), /<!doctype html>/);
});

test('a swapped body is another object of the kind', async () => {
  assert.deepEqual(await ask('swap', { with: '/v1/d/bundle/b' }), B);
});

test('a cut or reset connection is an error for the client', async () => {
  await assert.rejects(ask('cut', { at: 10 }));
  await assert.rejects(ask('reset'));
});

test('a rule strikes after and as often as it says', async () => {
  proxy.setRules([{ kind: 'bundle', action: 'empty', after: 1, times: 1 }]);
  const lengths = [];
  for (let i = 0; i < 3; i += 1) {
    const response = await fetch(`${proxy.url}/v1/d/bundle/a`);
    lengths.push((await response.arrayBuffer()).byteLength);
  }
  assert.deepEqual(lengths, [1000, 0, 1000]);
});

test('depth counts the requests that waited for one another', () => {
  const at = (start, end) => ({ start, end });
  assert.equal(dependentDepth([]), 0);
  assert.equal(dependentDepth([at(0, 5), at(1, 6), at(2, 3)]), 1);
  assert.equal(dependentDepth([at(0, 5), at(6, 9), at(6, 12), at(10, 11)]), 3);
});

test('a record matches its source only when all of it does', () => {
  const source = { json: { a: 1, b: [2, { c: null }] } };
  assert.equal(matches(source, '{"b":[2,{"c":null}],"a":1}'), true);
  assert.equal(matches(source, '{"b":[2,{"c":0}],"a":1}'), false);
  assert.equal(matches(source, '{"a":1}'), false);
  assert.equal(matches(source, 'not JSON'), false);
  assert.equal(matches({ text: '' }, ''), true);
  assert.equal(matches({ text: '' }, '""'), false);
});
