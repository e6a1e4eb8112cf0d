// BLAKE3 (hash mode, 32 bytes) as the paper states it, in plain JavaScript: an implementation
// that shares nothing with the crate, so that the tests do not check the crate with itself.

const IV = [
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];
const PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
const [CHUNK_START, CHUNK_END, PARENT, ROOT] = [1, 2, 4, 8];
const [BLOCK, CHUNK] = [64, 1024];

const rotr = (x, n) => (x >>> n) | (x << (32 - n));

function mix(v, a, b, c, d, x, y) {
  v[a] = (v[a] + v[b] + x) | 0;
  v[d] = rotr(v[d] ^ v[a], 16);
  v[c] = (v[c] + v[d]) | 0;
  v[b] = rotr(v[b] ^ v[c], 12);
  v[a] = (v[a] + v[b] + y) | 0;
  v[d] = rotr(v[d] ^ v[a], 8);
  v[c] = (v[c] + v[d]) | 0;
  v[b] = rotr(v[b] ^ v[c], 7);
}

function compress(chaining, words, counter, length, flags) {
  const v = Int32Array.from([...chaining, ...IV.slice(0, 4), counter, 0, length, flags]);
  let m = words;
  for (let round = 0; round < 7; round += 1) {
    mix(v, 0, 4, 8, 12, m[0], m[1]);
    mix(v, 1, 5, 9, 13, m[2], m[3]);
    mix(v, 2, 6, 10, 14, m[4], m[5]);
    mix(v, 3, 7, 11, 15, m[6], m[7]);
    mix(v, 0, 5, 10, 15, m[8], m[9]);
    mix(v, 1, 6, 11, 12, m[10], m[11]);
    mix(v, 2, 7, 8, 13, m[12], m[13]);
    mix(v, 3, 4, 9, 14, m[14], m[15]);
    m = PERMUTATION.map((from) => m[from]);
  }
  return v.slice(0, 8).map((word, i) => word ^ v[i + 8]);
}

function words(bytes, at, end) {
  const block = new Uint8Array(BLOCK);
  block.set(bytes.subarray(at, end));
  const view = new DataView(block.buffer);
  return Array.from({ length: 16 }, (_, i) => view.getInt32(4 * i, true));
}

function chunk(bytes, index, root) {
  const [start, end] = [index * CHUNK, Math.min((index + 1) * CHUNK, bytes.length)];
  let chaining = IV;
  for (let at = start; at === start || at < end; at += BLOCK) {
    const last = at + BLOCK >= end;
    const stop = Math.min(at + BLOCK, end);
    const flags =
      (at === start ? CHUNK_START : 0) | (last ? CHUNK_END | (root ? ROOT : 0) : 0);
    chaining = compress(chaining, words(bytes, at, stop), index, stop - at, flags);
  }
  return chaining;
}

/** The subtree over chunks `first` to `first + count`. */
function tree(bytes, first, count, root) {
  if (count === 1) return chunk(bytes, first, root);
  const left = 2 ** Math.floor(Math.log2(count - 1));
  const halves = [tree(bytes, first, left, false), tree(bytes, first + left, count - left, false)];
  return compress(IV, halves.flatMap((half) => [...half]), 0, BLOCK, PARENT | (root ? ROOT : 0));
}

/** BLAKE3 of bytes or text, as 64 lower-case hexadecimal digits. */
export function blake3(input) {
  const bytes = typeof input === 'string' ? new TextEncoder().encode(input) : input;
  const root = tree(bytes, 0, Math.max(1, Math.ceil(bytes.length / CHUNK)), true);
  const out = Buffer.alloc(32);
  root.forEach((word, i) => out.writeInt32LE(word, 4 * i));
  return out.toString('hex');
}
