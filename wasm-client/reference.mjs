// Writes the reference of the npm package from its sources to stdout: what the two entries export
// with the comments that stand there, and every error code. `cargo xtask docs` makes docs/api.md
// of it.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from 'rolldown/utils';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const read = (path) => readFileSync(join(ROOT, path), 'utf8');

/** Interfaces whose every member must say what it is for. */
const SAID_IN_FULL = [
  'OpenOptions', 'DestroyOptions', 'VerifyOptions', 'Reader', 'View', 'Dataset', 'Events',
];

/** Codes that TypeScript or the shell's Rust make: core's stand with their variants. */
const SHELL_CODES = {
  'misuse/deadline': 'the deadline of a sync is no time in milliseconds',
  'misuse/trace': 'the option `trace` is no number of bytes, or `trace()` of a data set without it',
  'misuse/after': '`after` is the number of an event, or 0',
  'events/gap': 'an event log lacks an event: the publisher\'s own fault',
  'events/malformed': 'a record of an event log is no event: the publisher\'s own fault',
  'events/rolled-back': 'an event that was replayed is not in the log any more: use nothing of it',
  'internal/error': 'something was thrown that has no code: a bug of ours',
  'internal/no-random': 'the platform has no source of random numbers',
  'internal/no-worker': 'no worker can be started here: open with `run: "in-place"`',
  'internal/wasm-missing': 'the wasm file is not where it was looked for: set `wasmUrl`',
  'internal/worker-died': 'the engine stopped: open again; nothing that was stored is lost',
  'misuse/aborted': 'the call was aborted; its `name` is `AbortError`',
  'misuse/closed': 'the data set was closed: open it again',
  'misuse/key': 'a key is a string or a `Uint8Array`',
  'misuse/proof': 'a proof is a `Uint8Array`',
  'misuse/released': 'the view was released: `pin()` gives another',
  'misuse/range': 'a prefix, or start and end: not both',
  'misuse/options': 'what was handed to the engine is not of the right shape',
  'misuse/unknown-request': 'the page and its worker are of different versions',
  'peer/cancelled': 'a fetch was cut off',
  'peer/false-alarm': 'a source that is listened to calls, and has nothing newer',
  'peer/hash-mismatch': 'what a source sent is not what its name says',
  'peer/http-status': 'a source answered with a status that is no success',
  'peer/network': 'a source could not be reached, or the connection broke',
  'peer/no-source': 'no source is left to ask',
  'peer/not-found': 'the source does not have it',
  'peer/slow': 'another source would long have given it, and is asked instead',
  'peer/stale': 'a source has nothing newer than what is stale, and others are asked too',
  'peer/timeout': 'no answer in time',
  'peer/too-long': 'a source sent more bytes than the object has',
  'peer/truncated': 'a source sent fewer bytes than the object has',
  'peer/wrong-range': 'a source answered with other bytes than were asked for',
  'read/no-version': 'there is no version to pin yet: `sync()` brings one',
  'read/version-changed': 'a newer version took over during a `range`: begin it again',
  'read/version-gone': 'a version that is not here any more, or never was: see `pin`, `keep`',
  'store/aborted': 'IndexedDB ended a transaction',
  'store/blocked': 'another tab holds an older version of the database open',
  'store/closed': 'the database was closed or deleted by somebody else',
  'store/conflict': 'another tab committed first; the sync starts again on what it wrote',
  'store/io': 'IndexedDB could not read or write',
  'store/newer-format': 'a newer version of the package wrote the database',
  'store/quota': 'the disk or the quota is full: what was committed before still stands',
  'store/unreadable': 'a row of the database cannot be read: it counts as missing',
  'store/unavailable': 'there is no IndexedDB here, or it is forbidden',
};

/** Text of a JSDoc comment, its lines joined into paragraphs. */
function proseOf(comment) {
  const lines = comment.replace(/^\*+|\*+$/g, '').split('\n');
  return lines.map((line) => line.replace(/^\s*\*? ?/, '').trimEnd()).join('\n').trim();
}

/** A source file's exported declarations, with the comment that stands before each node. */
function declarations(path) {
  const text = read(path);
  const { program, comments, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path}: ${errors[0].message}`);
  const before = (node) => {
    const comment = comments.findLast(({ end, value }) => end <= node.start && value[0] === '*');
    if (!comment || text.slice(comment.end, node.start).trim() !== '') return '';
    return proseOf(comment.value);
  };
  const source = (node) => text.slice(node.start, node.end);
  const exported = program.body.filter(({ type, declaration }) => {
    return type === 'ExportNamedDeclaration' && declaration?.id;
  });
  return exported.map((node) => {
    const { declaration } = node;
    const members = declaration.body?.body ?? [];
    return {
      kind: declaration.type,
      name: declaration.id.name,
      prose: before(node),
      code: source(declaration),
      head: text.slice(declaration.start, declaration.body?.start ?? declaration.end).trim(),
      members: members.map((member) => ({
        code: source(member).replace(/;$/, ''),
        prose: before(member),
        name: member.key?.name,
      })),
    };
  });
}

const oneLine = (text) => text.replace(/\/\*\*.*?\*\/|\n\s*\*[^\n]*|\/\/[^\n]*/gs, '')
  .replace(/\s+/g, ' ').replace(/(\() | (\))/g, (_, open, close) => open ?? close);
const cell = (text) => text.replaceAll('|', '\\|').replace(/\n+/g, ' ');

function section({ kind, name, prose, code, members }) {
  const lines = [`### ${name}`, ''];
  if (prose) lines.push(prose, '');
  if (kind !== 'TSInterfaceDeclaration') {
    return [...lines, '```ts', code, '```', ''].join('\n');
  }
  lines.push('| member | what |', '| --- | --- |');
  for (const member of members) {
    if (SAID_IN_FULL.includes(name) && !member.prose) {
      throw new Error(`types.ts: ${name}.${member.name} has no comment that says what it is for`);
    }
    lines.push(`| \`${cell(oneLine(member.code))}\` | ${cell(member.prose)} |`);
  }
  return [...lines, ''].join('\n');
}

/** A function of an entry: its comment and its head. */
function callable({ name, prose, head, kind, members }) {
  if (kind === 'FunctionDeclaration') {
    const code = head.replace(/^async /, '');
    return [`### ${name}`, '', prose, '', '```ts', code, '```', ''].join('\n');
  }
  const fields = members.filter(({ prose: said }) => said);
  const lines = fields.map(({ code, prose: said }) => `| \`${oneLine(code)}\` | ${cell(said)} |`);
  const table = ['| member | what |', '| --- | --- |', ...lines];
  return [`### ${name}`, '', prose, '', ...table, ''].join('\n');
}

/** Core's codes, each with the comment of its variant. */
function coreCodes() {
  const text = read('core/src/error.rs');
  const codes = new Map();
  for (const [, name, body] of text.matchAll(/pub enum (\w+) \{\n([\s\S]*?)\n\}\n/g)) {
    const said = new Map();
    for (const [, comment, variant] of body.matchAll(/((?: {4}\/\/\/[^\n]*\n)+) {4}(\w+)/g)) {
      said.set(variant, comment.replace(/\s*\/\/\/ ?/g, ' ').trim());
    }
    const [, arms] = new RegExp(`impl ${name} \\{\\n[\\s\\S]*?fn code([\\s\\S]*?)\\n    \\}\\n`)
      .exec(text) ?? [];
    for (const [, variant, code] of (arms ?? '').matchAll(/Self::(\w+)[^=]*=> "([^"]+)"/g)) {
      codes.set(code, said.get(variant) ?? '');
    }
  }
  return codes;
}

/** Every code that a source names, tests aside. */
function namedCodes() {
  const found = new Set();
  const folders = [['wasm-client/js', '.ts'], ['wasm-client/src', '.rs'], ['core/src', '.rs']];
  for (const [folder, suffix] of folders) {
    for (const name of readdirSync(join(ROOT, folder), { recursive: true })) {
      if (!name.endsWith(suffix) || /tests/.test(name)) continue;
      const text = read(join(folder, name)).split('#[cfg(test)]')[0];
      const code = /"((?:events|internal|misuse|peer|read|store)\/[a-z][a-z-]*)"/g;
      for (const [, one] of text.matchAll(code)) found.add(one);
    }
  }
  return found;
}

function codeTable() {
  const codes = new Map([...coreCodes(), ...Object.entries(SHELL_CODES)]);
  for (const code of namedCodes()) {
    if (!codes.has(code)) throw new Error(`reference.mjs does not say what ${code} means`);
  }
  for (const code of Object.keys(SHELL_CODES)) {
    if (!namedCodes().has(code)) throw new Error(`no source names ${code} any more`);
  }
  const fields = /(?:misuse|checkName)\("(\w+)"/g;
  for (const [, field] of read('wasm-client/js/options.ts').matchAll(fields)) {
    if (codes.has(`misuse/${field}`)) continue;
    codes.set(`misuse/${field}`, `the option \`${field}\` is not what it should be`);
  }
  const rows = [...codes].sort(([a], [b]) => (a < b ? -1 : 1));
  return rows.map(([code, said]) => `| \`${code}\` | ${cell(said).replace(/\.$/, '')} |`);
}

const entry = declarations('wasm-client/js/index.ts');
const types = declarations('wasm-client/js/types.ts');
const errors = declarations('wasm-client/js/errors.ts')
  .filter(({ name }) => name === 'PackiceError');
process.stdout.write(`# The npm package's interface

Written by \`cargo xtask docs\` from the sources; the [README](../wasm-client/npm/README.md) of the
package explains, the [cookbook](cookbook.md) shows. \`packice\` and \`packice/in-place\` export the
same; \`packice/worker\` is the worker's script, for \`createWorker\`.

## Functions and classes

${[...entry, ...errors].map(callable).join('\n')}
## Types

${types.map(section).join('\n')}
## Error codes

What stands before the slash says whose fault it is. Codes are stable; messages are for people.

| code | meaning |
| --- | --- |
${codeTable().join('\n')}
`);
