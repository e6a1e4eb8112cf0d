// Prints `{ path: { raw, brotli } }` as JSON for the files it is given: sizes as a server that
// sends brotli at its best (quality 11, the largest window) would send them.

import { readFile } from 'node:fs/promises';
import { brotliCompressSync, constants } from 'node:zlib';

const sizes = {};
for (const path of process.argv.slice(2)) {
  const bytes = await readFile(path);
  const packed = brotliCompressSync(bytes, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
    },
  });
  sizes[path] = { raw: bytes.length, brotli: packed.length };
}
process.stdout.write(`${JSON.stringify(sizes)}\n`);
