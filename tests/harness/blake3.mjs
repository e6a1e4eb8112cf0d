// BLAKE3 (hash mode, 32 bytes) as its specification states it, in plain JavaScript: it shares
// nothing with the crate, so that the tests do not check the crate with itself. Runs in Node and
// in a page.

const IV = [
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];
const PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
const [CHUNK_START, CHUNK_END, PARENT, ROOT] = [1, 2, 4, 8];
const [BLOCK, CHUNK] = [64, 1024];

// Which words of the message each round takes, with the permutations applied beforehand.
const SCHEDULE = [Array.from({ length: 16 }, (_, i) => i)];
for (let round = 1; round < 7; round += 1) {
  SCHEDULE.push(PERMUTATION.map((from) => SCHEDULE[round - 1][from]));
}
const COLUMNS_AND_DIAGONALS = [
  [0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
  [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14],
];

const v = new Uint32Array(16);

function mix([a, b, c, d], x, y) {
  v[a] += v[b] + x;
  let mixed = v[d] ^ v[a];
  v[d] = (mixed >>> 16) | (mixed << 16);
  v[c] += v[d];
  mixed = v[b] ^ v[c];
  v[b] = (mixed >>> 12) | (mixed << 20);
  v[a] += v[b] + y;
  mixed = v[d] ^ v[a];
  v[d] = (mixed >>> 8) | (mixed << 24);
  v[c] += v[d];
  mixed = v[b] ^ v[c];
  v[b] = (mixed >>> 7) | (mixed << 25);
}

/** The compression function's first eight words. */
function compress(chaining, words, counter, length, flags) {
  v.set(chaining, 0);
  v.set(IV.slice(0, 4), 8);
  v.set([counter, 0, length, flags], 12);
  for (const order of SCHEDULE) {
    for (let i = 0; i < 8; i += 1) {
      mix(COLUMNS_AND_DIAGONALS[i], words[order[2 * i]], words[order[2 * i + 1]]);
    }
  }
  return Uint32Array.from({ length: 8 }, (_, i) => v[i] ^ v[i + 8]);
}

function wordsOf(bytes) {
  const block = new Uint8Array(BLOCK);
  block.set(bytes);
  const view = new DataView(block.buffer);
  return Uint32Array.from({ length: 16 }, (_, i) => view.getUint32(4 * i, true));
}

function chunk(bytes, index, root) {
  let chaining = IV;
  for (let at = 0; at === 0 || at < bytes.length; at += BLOCK) {
    const block = bytes.subarray(at, at + BLOCK);
    const end = at + BLOCK >= bytes.length ? CHUNK_END | root : 0;
    const flags = (at === 0 ? CHUNK_START : 0) | end;
    chaining = compress(chaining, wordsOf(block), index, block.length, flags);
  }
  return chaining;
}

/** The subtree over bytes that begin with the chunk of that index. */
function tree(bytes, index, root) {
  if (bytes.length <= CHUNK) return chunk(bytes, index, root);
  const left = 2 ** Math.floor(Math.log2(Math.ceil(bytes.length / CHUNK) - 1));
  const halves = new Uint32Array(16);
  halves.set(tree(bytes.subarray(0, left * CHUNK), index, 0), 0);
  halves.set(tree(bytes.subarray(left * CHUNK), index + left, 0), 8);
  return compress(IV, halves, 0, BLOCK, PARENT | root);
}

/** BLAKE3 of bytes or text, as 64 lower-case hexadecimal digits. */
export function blake3(input) {
  const bytes = typeof input === 'string' ? new TextEncoder().encode(input) : input;
  const out = new DataView(new ArrayBuffer(32));
  tree(bytes, 0, ROOT).forEach((word, i) => out.setUint32(4 * i, word, true));
  const hex = (byte) => byte.toString(16).padStart(2, '0');
  return Array.from(new Uint8Array(out.buffer), hex).join('');
}
