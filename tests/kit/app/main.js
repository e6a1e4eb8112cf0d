// The same page for every bundler: written as a wallet would write it, with nothing said about
// workers or wasm, and with a seed beside it. The test calls `lookUp` with what a wallet would
// have built in.

import { PackiceError, open } from 'packice';

const text = new TextDecoder();
const seed = new URL('./kit.seed', import.meta.url);

/** Syncs a data set and reads from it, in a worker or on the page's own thread. */
window.lookUp = async ({ collection, keys, prefix, seeded, ...options }) => {
  const dataset = await open(seeded ? { ...options, seed } : options);
  try {
    const report = await dataset.sync();
    const found = await dataset.getMany(collection, keys);
    const listed = [];
    for await (const { key } of dataset.range(collection, { prefix })) {
      listed.push(text.decode(key));
    }
    const proof = await dataset.proof(collection, keys[0]);
    const status = await dataset.status();
    const misuse = await dataset.get('no such collection', 'x').catch((error) => error);
    return {
      version: report.version,
      stored: status.stored,
      fetched: report.bytesFetched > 0,
      found: found.map(({ state, value }) => (value ? text.decode(value) : state)),
      listed,
      proofBytes: proof.bytes.length,
      code: misuse instanceof PackiceError ? misuse.code : String(misuse),
    };
  } finally {
    await dataset.close();
  }
};
