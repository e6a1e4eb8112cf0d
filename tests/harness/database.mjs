// Looks into a client's IndexedDB from a page, past the client: what is stored, and whether each
// object is what its name says. Runs in the page.

import { blake3 } from './blake3.mjs';

const done = (request) =>
  new Promise((ok, fail) => {
    request.onsuccess = () => ok(request.result);
    request.onerror = () => fail(request.error);
  });

async function withDatabase(name, use) {
  // Opening would make a database that is not there.
  const there = await indexedDB.databases();
  if (!there.some((database) => database.name === name)) return use(null);
  const database = await done(indexedDB.open(name));
  try {
    return await use(database);
  } finally {
    database.close();
  }
}

/** The rows of a store by their keys, their parts put together again. */
function whole(name, from) {
  return withDatabase(name, async (database) => {
    const found = new Map();
    if (!database) return found;
    const store = database.transaction(from).objectStore(from);
    const [keys, values] = await Promise.all([done(store.getAllKeys()), done(store.getAll())]);
    keys.forEach((row, i) => {
      const key = row.split('#')[0];
      const part = new Uint8Array(values[i]);
      const before = found.get(key) ?? new Uint8Array();
      const bytes = new Uint8Array(before.length + part.length);
      bytes.set(before);
      bytes.set(part, before.length);
      found.set(key, bytes);
    });
    return found;
  });
}

/** Every stored object by its key. */
export function objects(name) {
  return whole(name, 'objects');
}

/** The keys of stored objects, without their parts. */
export function keys(name) {
  return withDatabase(name, async (database) => {
    if (!database) return [];
    const store = database.transaction('objects').objectStore('objects');
    const rows = await done(store.getAllKeys());
    return [...new Set(rows.map((row) => row.split('#')[0]))];
  });
}

/** The keys of objects, and those whose bytes do not have the hash in their key. */
export async function audit(name) {
  const found = await objects(name);
  const bad = [...found].filter(([key, bytes]) => !key.endsWith(`/${blake3(bytes)}`));
  return { keys: [...found.keys()], bad: bad.map(([key]) => key) };
}

/** Changes bytes all over a stored object, in each of its parts, as a failing disk would. */
export function damage(name, key) {
  return withDatabase(name, async (database) => {
    const store = database.transaction('objects', 'readwrite').objectStore('objects');
    const rows = (await done(store.getAllKeys())).filter((row) => row.split('#')[0] === key);
    for (const row of rows) {
      const bytes = await done(store.get(row));
      for (let at = 0; at < bytes.length; at += 512) bytes[at] ^= 1;
      await done(store.put(bytes, row));
    }
  });
}

/** Every row as the client's engine knows it, the state and the notes among them. */
export async function rows(name) {
  const found = await objects(name);
  for (const [key, bytes] of await whole(name, 'state')) found.set(key, bytes);
  return found;
}

/** Puts rows in the place of those that are there; `null` removes one. */
export function putRows(name, changed) {
  return withDatabase(name, async (database) => {
    const transaction = database.transaction(['objects', 'state'], 'readwrite');
    for (const [key, bytes] of changed) {
      const place = /^(state|audit|sources)$/.test(key) ? 'state' : 'objects';
      const store = transaction.objectStore(place);
      // With the parts of a row that is kept in several.
      store.delete(IDBKeyRange.bound(key, `${key}#9`));
      if (bytes) store.put(bytes, key);
    }
    await new Promise((ok, fail) => {
      transaction.oncomplete = ok;
      transaction.onabort = () => fail(transaction.error);
    });
  });
}
