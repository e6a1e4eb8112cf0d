// What trust adds to the npm package: the wasm module, with its functions' names, as brotli with
// and without the bodies of the functions that are there for trust alone. Prints JSON for
// `cargo xtask bench trust`; the argument is the module.
//
// Counted: trust roots, checkpoints, head states, bootstraps, full proofs, the log and its tiles,
// the search for the head, freshness; Ed25519 and its curve, SHA-256 and SHA-512, base64. What a
// compiler has put into functions of other names is not seen, nor are tables of constants but
// those that are counted as `data`; what is shared (the reader of formats, allocation, sorting)
// would be there without trust, too.

import { readFile } from 'node:fs/promises';
import { brotliCompressSync, constants } from 'node:zlib';

const TRUST = [
  /packice_core::trust::/,
  /packice_core::format::(note|trust_root|head|bootstrap)::/,
  /packice_core::engine::(head|clock)::/,
  /verify_?proof/i,
  /ed25519/,
  /curve25519/,
  /\bsha2?::|sha2::|sha256|sha512/i,
  /base64ct/,
  /\b(subtle|digest|block_buffer|crypto_common|signature|zeroize)::/,
];

const bytes = await readFile(process.argv[2]);
const { bodies, names } = parse(bytes);
const cut = [];
const kept = [];
let at = 0;
let raw = 0;
const largest = [];
for (const { index, start, end } of bodies) {
  const name = names.get(index) ?? '';
  if (!TRUST.some((pattern) => pattern.test(name))) continue;
  kept.push(bytes.subarray(at, start));
  cut.push(bytes.subarray(start, end));
  at = end;
  raw += end - start;
  largest.push({ name, bytes: end - start });
}
kept.push(bytes.subarray(at));
const whole = brotli(withoutNames(bytes));
const without = brotli(withoutNames(Buffer.concat(kept)));
const alone = brotli(Buffer.concat(cut));
largest.sort((a, b) => b.bytes - a.bytes);
process.stdout.write(`${JSON.stringify({
  functions: cut.length,
  all_functions: bodies.length,
  raw_bytes: raw,
  brotli_whole: whole,
  brotli_without: without,
  brotli_added: whole - without,
  brotli_alone: alone,
  largest: largest.slice(0, 25),
})}\n`);

function brotli(content) {
  return brotliCompressSync(content, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
      [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
    },
  }).length;
}

/** The names are the last section, and do not ship. */
function withoutNames(module) {
  const tail = bytes.length - parse(bytes).namesStart;
  return module.subarray(0, module.length - tail);
}

/** The bodies of all functions, and their names by index. */
function parse(module) {
  let at = 8;
  const byte = () => module[at++];
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const next = byte();
      value += (next & 0x7f) * 2 ** shift;
      if (next < 0x80) return value;
    }
  };
  const text = () => {
    const length = number();
    at += length;
    return module.toString('utf8', at - length, at);
  };
  let imported = 0;
  let namesStart = module.length;
  const bodies = [];
  const names = new Map();
  while (at < module.length) {
    const sectionStart = at;
    const id = byte();
    const end = number() + at;
    if (id === 2) {
      for (let left = number(); left > 0; left--) {
        text();
        text();
        imported += skipImport() ? 1 : 0;
      }
    } else if (id === 10) {
      const count = number();
      for (let index = 0; index < count; index++) {
        const start = at;
        const length = number();
        at += length;
        bodies.push({ index: imported + index, start, end: at });
      }
    } else if (id === 0 && text() === 'name') {
      namesStart = sectionStart;
      while (at < end) {
        const kind = byte();
        const subEnd = number() + at;
        if (kind === 1) {
          for (let left = number(); left > 0; left--) {
            const index = number();
            names.set(index, text());
          }
        }
        at = subEnd;
      }
    }
    at = end;
  }
  if (names.size === 0) throw new Error('the module names no functions');
  return { bodies, names, namesStart };

  /** Whether it was a function. */
  function skipImport() {
    const kind = byte();
    if (kind === 0) number();
    else if (kind === 3) at += 2;
    else {
      if (kind === 1) byte();
      const flags = byte();
      number();
      if (flags & 1) number();
    }
    return kind === 0;
  }
}
