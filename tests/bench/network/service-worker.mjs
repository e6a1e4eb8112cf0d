// The service worker of the network benchmark: runs the package in place, as the example for
// Manifest V3 does, and answers the page. Nothing outlives it but what is stored.

import { open } from '/packice/in-place.js';

let opening;

function opened(options) {
  opening ??= open(options);
  return opening;
}

/** Reads every record. */
async function check(dataset) {
  const found = { records: 0, bytes: 0 };
  for await (const { key, value } of dataset.range('records')) {
    found.records += 1;
    found.bytes += key.length + value.length;
  }
  const { collections, stored } = await dataset.status();
  return { ...found, root: collections[0].root, stored };
}

const answers = { sync: (dataset) => dataset.sync(), check };

self.addEventListener('message', (event) => {
  const { what, options } = event.data;
  const answer = opened(options)
    .then((dataset) => answers[what](dataset))
    .catch((error) => ({ error: `${error.code}: ${error.message}` }));
  event.waitUntil(answer.then((said) => event.ports[0].postMessage(said)));
});
