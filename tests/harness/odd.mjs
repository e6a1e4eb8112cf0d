// Makes a worker's scope odd before the package is loaded in it, as its URL says: `clock` moves its
// clocks by so many milliseconds, `indexeddb=none` takes IndexedDB away.

const odd = new URLSearchParams(self.location.search);
const shift = Number(odd.get('clock') ?? 0);
const { now } = Date;
Date.now = () => now() + shift;
Object.defineProperty(performance, 'timeOrigin', { value: performance.timeOrigin + shift });
if (odd.get('indexeddb') === 'none') {
  Object.defineProperty(self, 'indexedDB', { value: undefined });
}
