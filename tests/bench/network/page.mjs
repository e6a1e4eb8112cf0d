// The page's side of the network benchmark. The clock runs here: from `sync()` on a data set that
// is open to the answer that all is durable.

/** Opens the data set that the calls after this are about; fetches nothing. */
export async function prepare(options) {
  const { open } = await import('/packice/index.js');
  globalThis.dataset = await open(options);
}

/** Syncs a small set to its end, so that compilers have seen all of the hot paths. */
export async function warm(options) {
  await prepare(options);
  await globalThis.dataset.sync();
  await globalThis.dataset.close();
  await new Promise((done) => setTimeout(done, 400));
}

export async function sync() {
  const from = performance.now();
  const report = await globalThis.dataset.sync();
  return { ms: performance.now() - from, ...report };
}

/** A read of one key, before anything was fetched. */
export async function get(key) {
  const from = performance.now();
  const { state } = await globalThis.dataset.get('records', new Uint8Array(key));
  return { ms: performance.now() - from, state };
}

/** Reads every record, and says what is stored. */
export async function check() {
  const { dataset } = globalThis;
  const found = { records: 0, bytes: 0 };
  for await (const { key, value } of dataset.range('records')) {
    found.records += 1;
    found.bytes += key.length + value.length;
  }
  return { ...found, ...(await standing()) };
}

/** What the data set says of itself. */
export async function standing() {
  const { collections, stored, wasmMemoryBytes, sources } = await globalThis.dataset.status();
  return { root: collections[0].root, stored, wasmMemoryBytes, sources };
}

/** Fetches the same URLs six at a time and looks at nothing: what the line itself takes. */
export async function plain(urls) {
  const from = performance.now();
  let next = 0;
  const lane = async () => {
    while (next < urls.length) {
      const response = await fetch(urls[next++], { cache: 'no-store' });
      await response.arrayBuffer();
    }
  };
  await Promise.all(Array.from({ length: 6 }, lane));
  return { ms: performance.now() - from };
}

/** Asks the service worker; the browser starts it where it was stopped. */
export async function ask(what) {
  const registration = await navigator.serviceWorker.ready;
  const { port1, port2 } = new MessageChannel();
  const answer = new Promise((done) => (port1.onmessage = ({ data }) => done(data)));
  registration.active.postMessage(what, [port2]);
  return answer;
}

export async function register() {
  await navigator.serviceWorker.register('/service-worker.js', { type: 'module' });
  await navigator.serviceWorker.ready;
}
