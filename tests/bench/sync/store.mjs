// IndexedDB as the hand-written workers use it: large transactions, every put issued at once, two
// transactions under way at most, and the last one on disk before the clock stops.

/** A transaction is filled up to so many bytes. */
const BATCH_BYTES = 8 << 20;

export function openDatabase(name) {
  return new Promise((ok, fail) => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore('rows');
    request.onsuccess = () => ok(request.result);
    request.onerror = () => fail(request.error);
  });
}

export class Writer {
  #database;
  #rows = [];
  #bytes = 0;
  #under = [];

  constructor(database) {
    this.#database = database;
  }

  /** Adds a row; waits only where two transactions are under way already. */
  async put(key, value) {
    this.#rows.push([key, value]);
    this.#bytes += value.byteLength;
    if (this.#bytes < BATCH_BYTES) return;
    this.#write('relaxed');
    if (this.#under.length > 2) await this.#under.shift();
  }

  /** Writes what is left, and waits until all of it is durable. */
  async finish() {
    this.#write('strict');
    await Promise.all(this.#under);
  }

  #write(durability) {
    const transaction = this.#database.transaction('rows', 'readwrite', { durability });
    const store = transaction.objectStore('rows');
    for (const [key, value] of this.#rows) store.put(value, key);
    transaction.commit();
    this.#rows = [];
    this.#bytes = 0;
    this.#under.push(
      new Promise((ok, fail) => {
        transaction.oncomplete = ok;
        transaction.onabort = () => fail(transaction.error);
      }),
    );
  }
}

/** Reads every row, sixteen at a time with the next ones on their way; returns their bytes. */
export async function readAll(database, each) {
  const store = () => database.transaction('rows').objectStore('rows');
  const some = (after) =>
    new Promise((ok, fail) => {
      const range = after === undefined ? undefined : IDBKeyRange.lowerBound(after, true);
      const rows = store();
      const [keys, values] = [rows.getAllKeys(range, 16), rows.getAll(range, 16)];
      values.onsuccess = () => ok({ keys: keys.result, values: values.result });
      values.onerror = () => fail(values.error);
    });
  let ahead = some();
  for (;;) {
    const { keys, values } = await ahead;
    if (keys.length === 0) return;
    ahead = some(keys.at(-1));
    for (const value of values) each(value);
  }
}
