// schemathesis makes requests up from docs/spec/openapi.yaml, thousands of them, and holds the real
// worker's answers to it: no 5xx, and nothing that the document does not say. Half of the runs go
// through a proxy that signs, so that they come further than the door.
//
// `cargo xtask test` installs it from PyPI into a virtual environment under target/. Where this
// machine has no Python, or no way to PyPI, there is none and the test is skipped, and says so. It
// runs in one thread (Python 3.11 trips over several) for four minutes, so it is asked for:
// `cargo xtask bench edge --only api`, or `PACKICE_API_FUZZ=1 cargo xtask test e2e`.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parse } from 'yaml';
import { startEdge } from '../harness/edge.mjs';
import { Client } from '../harness/raw-client.mjs';
import { publishKey } from '../harness/signer.mjs';
import { startSigningProxy } from '../harness/signing-proxy.mjs';

const TOOL = process.env.PACKICE_SCHEMATHESIS;
const ASKED = process.env.PACKICE_API_FUZZ === '1';
const WHY = ASKED ? 'schemathesis is not installed: no Python 3, or no way to PyPI' :
  'it takes minutes: cargo xtask bench edge --only api';
const SKIP = TOOL && ASKED ? false : WHY;
const LONG = { skip: SKIP, timeout: 3_600_000 };
const DOCUMENT = new URL('../../docs/spec/openapi.yaml', import.meta.url);
/** How many cases all runs together have at least. */
const CASES = 5000;
const CHECKS = ['not_a_server_error', 'status_code_conformance', 'content_type_conformance',
  'response_headers_conformance', 'response_schema_conformance', 'unsupported_method'];
const KEY = publishKey('makes requests up');
let edge;
let proxy;
let cases = 0;
let objects = [];

/** Publishes a frozen release, so that there is something to read. */
async function publish() {
  const log = JSON.parse(await readFile(new URL('../vectors/edge-log.json', import.meta.url)));
  const client = new Client(edge);
  const bytes = (hex) => Buffer.from(hex, 'hex');
  const put = async (path, hex, headers = {}) => {
    const given = { body: bytes(hex), by: KEY, headers };
    const reply = await client.call('PUT', `/v1/alpha/${path}`, given);
    assert.equal(reply.status, 201, `${path}: ${reply.body}`);
  };
  await put('trust-root/1', log.trust_roots['1']);
  const { first } = log.releases;
  objects = first.objects.map(({ path }) => path.split('/').at(-1));
  for (const { path, bytes: hex } of [...first.tiles, ...first.objects]) await put(path, hex);
  await put('bootstrap/stable', first.bootstrap, { 'if-none-match': '*' });
  await client.close();
}

/** The document; `narrow` to what is published, so that more than a 404 is answered. */
async function document(narrow) {
  const read = parse(await readFile(DOCUMENT, 'utf8'));
  const { parameters } = read.components;
  if (narrow) {
    parameters.Dataset.schema = { enum: ['alpha', 'beta'] };
    parameters.Channel.schema = { enum: ['stable', 'beta'] };
    parameters.Version.schema = { enum: ['1', '2'] };
    parameters.Name.schema = { enum: [...objects, '0'.repeat(64)] };
  }
  return JSON.stringify(read);
}

/** One run; the number of cases that it made up. */
async function run(url, seed, narrow) {
  const dir = await mkdtemp(join(tmpdir(), 'packice-schemathesis-'));
  const file = join(dir, 'openapi.json');
  await writeFile(file, await document(narrow));
  const args = [
    'run', file, '--url', url, '--checks', CHECKS.join(), '--seed', String(seed),
    '--max-examples', '100', '--phases', 'examples,coverage,fuzzing',
    '--continue-on-failure', '--no-color',
  ];
  try {
    const { code, said } = await new Promise((done) => {
      const options = { cwd: dir, maxBuffer: 1 << 28, env: { ...process.env, HOME: dir } };
      execFile(TOOL, args, options, (error, stdout, stderr) => {
        done({ code: error ? error.code : 0, said: `${stdout}${stderr}` });
      });
    });
    assert.equal(code, 0, said.slice(-8000));
    const found = /(\d+) generated/.exec(said);
    assert.ok(found, said.slice(-2000));
    return Number(found[1]);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

before(async () => {
  if (SKIP) return;
  const bindings = { PUBLISH_QUOTA: 'requests=1000000, mib=100000' };
  edge = await startEdge({ publishKeys: KEY.entry(), bindings });
  await publish();
  proxy = await startSigningProxy(edge, KEY);
});

after(async () => {
  await proxy?.close();
  await edge?.close();
});

test('whoever does not sign gets what the document says', LONG, async () => {
  cases += await run(edge.url, 1, false);
});

test('a publisher gets what the document says', LONG, async () => {
  cases += await run(proxy.url, 2, true);
});

test('there were thousands of cases', { skip: SKIP }, (t) => {
  t.diagnostic(`cases: ${cases}`);
  assert.ok(cases >= CASES, `${cases} cases`);
});
