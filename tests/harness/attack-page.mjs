// Runs one phase of an attack in a page, on the npm package as a wallet has it: changes rows of the
// store past the client, opens, syncs, reads, closes, and tells what happened. Runs in the page.

import { open } from '/packice/index.js';
import { blake3 } from '/harness/blake3.mjs';
import { putRows, rows } from '/harness/database.mjs';

const decode = new TextDecoder();
const PATIENCE = 100_000;

/** Does to rows what `alter` of attack.json says; the same as tests/src/attacks/check.rs. */
async function alter(database, { row, how, plant }) {
  if (how === 'plant') return putRows(database, [['state', new Uint8Array(plant)]]);
  const all = await rows(database);
  const keys = [...all.keys()].filter((key) => key.split('/')[0] === row).sort();
  if (keys.length === 0) throw new Error(`no row of kind ${row}`);
  const changed = keys.map((key, at) => {
    const bytes = all.get(key);
    switch (how) {
      case 'flip':
        for (let i = 0; i < bytes.length; i += 64) bytes[i] ^= 1;
        return [key, bytes];
      case 'truncate':
        return [key, bytes.slice(0, bytes.length >> 1)];
      case 'extend':
        return [key, new Uint8Array([...bytes, 0])];
      case 'swap':
        return [key, all.get(keys[(at + 1) % keys.length])];
      case 'remove':
        return [key, null];
      default:
        throw new Error(`there is no way '${how}' to alter a row`);
    }
  });
  return putRows(database, changed);
}

/** The rows that the first phase left, by database. */
const first = new Map();

async function putBack(database) {
  const gone = [...(await rows(database)).keys()].map((key) => [key, null]);
  return putRows(database, [...gone, ...first.get(database)]);
}

/** The rows but the state and the notes: key, and hash of the bytes. */
async function hashes(database) {
  const found = await rows(database);
  for (const key of ['state', 'audit', 'sources']) found.delete(key);
  return [...found].map(([key, bytes]) => [key, blake3(bytes)]);
}

/** One phase; `probes` are `[collection, key]`. */
export async function runPhase(phase) {
  const { database, trust, sources, restart, alters, whenExpired, sync, probes } = phase;
  if (restart) await putBack(database);
  for (const change of alters) await alter(database, change);
  // Who is asked first is not to hang on who was quick a phase ago.
  if (first.has(database)) await putRows(database, [['sources', null]]);
  const outcome = { open: null, sync: null, faults: [], damaged: [], answers: {}, freshness: null };
  const before = await hashes(database);
  let dataset;
  try {
    const bytes = new Uint8Array(trust);
    dataset = await open({ dataset: 'test-set', trust: bytes, database, sources, whenExpired });
  } catch ({ code, message }) {
    return { ...outcome, open: code ?? message, before, rows: before };
  }
  dataset.on('fault', ({ source, code }) => outcome.faults.push({ source, code }));
  dataset.on('damaged', ({ object }) => outcome.damaged.push(object.split('/')[0]));
  if (sync) {
    const signal = AbortSignal.timeout(PATIENCE);
    outcome.sync = await dataset.sync({ signal })
      .then(({ version }) => ({ version }), ({ code, message }) => ({ code: code ?? message }));
    const faults = outcome.faults.splice(0);
    outcome.syncFaults = faults;
  }
  outcome.freshness = (await dataset.status()).freshness.level;
  for (const [collection, key] of probes) {
    outcome.answers[collection] = await dataset.get(collection, key).then(
      (found) => (found.state === 'present'
        ? { value: decode.decode(found.value) }
        : { code: found.state }),
      ({ code, message }) => ({ code: code ?? message }),
    );
  }
  await dataset.close();
  if (!first.has(database)) first.set(database, await rows(database));
  return { ...outcome, faults: outcome.syncFaults ?? [], before, rows: await hashes(database) };
}

window.runPhase = runPhase;
