// What a wallet does today: the same content as files with `Content-Encoding: zstd`, decoded by
// the browser, six at a time, into IndexedDB in values of 1 MiB.

import { openDatabase, readAll, Writer } from './store.mjs';

const LANES = 6;
const VALUE_BYTES = 1 << 20;

let database;

async function run({ urls }) {
  const writer = new Writer(database);
  let next = 0;
  let bytes = 0;
  const lane = async () => {
    for (let at = next++; at < urls.length; at = next++) {
      const response = await fetch(urls[at], { cache: 'no-store' });
      if (!response.ok) throw new Error(`${urls[at]}: ${response.status}`);
      const reader = response.body.getReader();
      let value = new Uint8Array(VALUE_BYTES);
      let [filled, row] = [0, 0];
      for (;;) {
        const { done, value: chunk } = await reader.read();
        if (done) break;
        bytes += chunk.length;
        for (let from = 0; from < chunk.length;) {
          const take = Math.min(chunk.length - from, VALUE_BYTES - filled);
          value.set(chunk.subarray(from, from + take), filled);
          filled += take;
          from += take;
          if (filled === VALUE_BYTES) {
            await writer.put(at * 1000 + row, value);
            value = new Uint8Array(VALUE_BYTES);
            [filled, row] = [0, row + 1];
          }
        }
      }
      if (filled > 0) await writer.put(at * 1000 + row, value.slice(0, filled));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  await writer.finish();
  return { bytes };
}

/** Reads the rows back: nothing is looked for in them. */
async function scan() {
  let bytes = 0;
  await readAll(database, (value) => (bytes += value.byteLength));
  return { bytes };
}

onmessage = async ({ data }) => {
  try {
    if (data.open) {
      database = await openDatabase(data.open);
      postMessage({});
    } else if (data.scan) {
      postMessage(await scan());
    } else {
      postMessage(await run(data.run));
    }
  } catch (error) {
    postMessage({ error: String(error) });
  }
};
