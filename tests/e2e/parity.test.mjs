// One core, several machines: the frozen vectors made again in wasm, in Node and in Chromium; and
// the roots of the real data sets, built by wasm and by the native publisher, from the lines as
// they come and from shuffled ones.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { startBrowser } from '../harness/browser.mjs';
import { PACKICE } from '../harness/project.mjs';
import { startStatic } from '../harness/static.mjs';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const VECTORS = join(ROOT, 'tests/vectors');
const PARITY = process.env.PACKICE_PARITY ?? join(ROOT, 'target/parity');
const DATA = process.env.PACKICE_DATA ?? join(ROOT, 'target/data');
const run = promisify(execFile);

/** Parameters of a collection whose packice.toml names none. */
const TARGETS = [16 << 10, 256 << 10, 4 << 10];

let wasm;
let formats;
let encoder;

before(async () => {
  wasm = await import(pathToFileURL(join(PARITY, 'packice_tests_wasm.js')));
  const bytes = await readFile(join(PARITY, 'packice_tests_wasm_bg.wasm'));
  await wasm.default({ module_or_path: bytes });
  formats = new Map();
  for (const file of await readdir(VECTORS)) {
    const json = JSON.parse(await readFile(join(VECTORS, file), 'utf8'));
    if (json.vectors) formats.set(json.format, json.vectors);
  }
  encoder = formats.get('encoder').map(({ name, bytes }) => `${name}=${bytes}\n`).join('');
});

/** What the files of tests/vectors say, in the shape of `regenerate_vectors`. */
function expected() {
  const lines = new Map();
  for (const [format, vectors] of formats) {
    if (format === 'encoder') continue;
    for (const { name, about, bytes = '', lines: text = [], ...facts } of vectors) {
      lines.set(`${format}/${name}`, bytes);
      for (const [fact, value] of Object.entries(facts)) {
        lines.set(`${format}/${name}:${fact}`, value);
      }
      text.forEach((line, at) => lines.set(`${format}/${name}@${at}`, line));
    }
  }
  return lines;
}

function parse(text) {
  const lines = text.split('\n').filter(Boolean);
  return new Map(lines.map((line) => [line.split('=', 1)[0], line.slice(line.indexOf('=') + 1)]));
}

function assertVectors(text) {
  const made = parse(text);
  const wanted = expected();
  assert.deepEqual([...made.keys()].sort(), [...wanted.keys()].sort());
  for (const [place, value] of wanted) assert.equal(made.get(place), value, place);
}

test('every vector made again in wasm, in Node, is the frozen one', () => {
  assert.ok(formats.size >= 18);
  assertVectors(wasm.regenerate_vectors(encoder));
});

test('every vector made again in wasm, in Chromium, is the frozen one', async () => {
  const blank = { type: 'text/html', body: '<!doctype html><link rel="icon" href="data:,">' };
  const site = await startStatic({ mounts: { '/parity/': PARITY }, pages: { '/': blank } });
  after(() => site.close());
  const browser = await startBrowser();
  after(() => browser.close());
  const { page, errors } = await browser.page();
  await page.goto(`${site.url}/`);
  const text = await page.evaluate(async (encoder) => {
    const wasm = await import('/parity/packice_tests_wasm.js');
    await wasm.default({ module_or_path: '/parity/packice_tests_wasm_bg.wasm' });
    return wasm.regenerate_vectors(encoder);
  }, encoder);
  assertVectors(text);
  assert.deepEqual(errors, []);
});

test('frames decode in wasm to the plain bytes of the vectors', () => {
  const bytes = (hex) => Buffer.from(hex, 'hex');
  const [dictionary] = formats.get('dictionary');
  for (const frame of formats.get('frame')) {
    const held = frame.dictionary ? bytes(dictionary.bytes) : new Uint8Array();
    const held_len = Number(dictionary.plain_len);
    const plain = wasm.decode_check(bytes(frame.bytes), Number(frame.plain_len), held, held_len);
    assert.deepEqual(Buffer.from(plain), bytes(frame.plain), frame.name);
    assert.throws(() => {
      wasm.decode_check(bytes(frame.bytes), Number(frame.plain_len) - 1, held, held_len);
    }, frame.name);
  }
});

/** The collections of a packice.toml that xtask wrote: flat sections of `name = value`. */
function collections(toml) {
  return toml.split('[[collection]]').slice(1).map((section) => {
    const pairs = section.matchAll(/^(\w+) = (.*)$/gm);
    return Object.fromEntries([...pairs].map(([, name, value]) => [name, JSON.parse(value)]));
  });
}

/** A record by the collection's mapping (docs of packice.toml), independent of the publisher. */
function record({ key, value, value_text: text }, line) {
  const fields = JSON.parse(line);
  const used = [...key.matchAll(/\{(\w+)\}/g)].map(([, field]) => field);
  const name = key.replace(/\{(\w+)\}/g, (_, field) => fields[field]);
  let content = fields[value];
  if (value === '*') {
    content = { ...fields };
    for (const field of used) delete content[field];
  }
  return [Buffer.from(name), Buffer.from(text ? content : JSON.stringify(content))];
}

/** The same shuffle for the same list. */
function shuffled(list) {
  const out = [...list];
  let state = 1;
  for (let at = out.length - 1; at > 0; at -= 1) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const other = state % (at + 1);
    [out[at], out[other]] = [out[other], out[at]];
  }
  return out;
}

/** A collection's root as wasm builds it. */
function rootOf(records) {
  const tree = new wasm.TreeRoot(...TARGETS);
  for (const [key, value] of records.sort(([a], [b]) => Buffer.compare(a, b))) {
    tree.push(key, value);
  }
  const { root, level, records: count, plain_len, frames } = tree.finish();
  return { root, level, records: Number(count), plain: Number(plain_len), frames: Number(frames) };
}

/** A project with the set's lines, in another order where asked for, built by the publisher. */
async function build(set, reorder) {
  const dir = await mkdtemp(join(tmpdir(), 'packice-parity-'));
  after(() => rm(dir, { recursive: true, force: true }));
  const packice = (...args) => run(PACKICE, args, { cwd: dir, maxBuffer: 1 << 26 });
  await packice('init', '--dataset', set, '--json');
  for (const file of await readdir(join(DATA, set))) {
    const [from, to] = [join(DATA, set, file), join(dir, file)];
    if (file === 'packice.toml') await cp(from, to);
    if (!file.endsWith('.jsonl')) continue;
    const lines = (await readFile(from, 'utf8')).split('\n').filter(Boolean);
    await writeFile(to, reorder(lines).map((line) => `${line}\n`).join(''));
  }
  const { stdout } = await packice('build', '--json');
  const { build: built, dir: objects } = JSON.parse(stdout);
  const roots = {};
  for (const { name, root, level, records, plain_bytes: plain, frames } of built.collections) {
    roots[name] = { root, level, records, plain, frames };
  }
  const files = await readdir(join(dir, objects), { recursive: true });
  const objectsOf = (kind) => files.filter((file) => file.includes(kind)).sort();
  return { roots, wire: ['bundle', 'layout', 'dictionary'].flatMap(objectsOf) };
}

for (const set of ['eth-phishing', 'solana-tokens', 'browser-compat']) {
  test(`${set}: one root, natively and in wasm, in any order; one set of wire names`, async () => {
    const toml = await readFile(join(DATA, set, 'packice.toml'), 'utf8');
    const inWasm = {};
    for (const collection of collections(toml)) {
      const text = await readFile(join(DATA, set, collection.input), 'utf8');
      const lines = text.split('\n').filter(Boolean);
      const records = (list) => list.map((line) => record(collection, line));
      inWasm[collection.name] = rootOf(records(lines));
      assert.deepEqual(rootOf(records(shuffled(lines))), inWasm[collection.name]);
    }
    const native = await build(set, (lines) => lines);
    assert.deepEqual(native.roots, inWasm);
    const again = await build(set, shuffled);
    assert.deepEqual(again, native);
    assert.ok(native.wire.length >= 4);
  });
}
