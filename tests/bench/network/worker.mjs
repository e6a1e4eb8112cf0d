// A first sync in a service worker that the browser stops again and again: what is fetched twice.
// The page wakes it with a message each time, as a wallet would.

import { setTimeout as sleep } from 'node:timers/promises';
import { filesOf, startOrigin } from './origin.mjs';
import { inBrowser, say, verify } from './stage.mjs';

const PROFILE = { rttMs: 50, mbit: 25 };
const STOP_EVERY_MS = 20_000;

/** Fewer stops than that would measure nothing. */
const STOPS_MIN = 2;

/** Stops the service workers, and waits until they have stopped. */
async function stop(devtools) {
  const stopped = new Promise((ok) => {
    devtools.on('ServiceWorker.workerVersionUpdated', function seen({ versions }) {
      if (!versions.some(({ runningStatus }) => runningStatus === 'stopped')) return;
      devtools.off('ServiceWorker.workerVersionUpdated', seen);
      ok();
    });
  });
  await devtools.send('ServiceWorker.stopAllWorkers');
  await stopped;
}

async function sync({ page, call, browser }, set, origin, everyMs) {
  const options = { dataset: set.name, sources: [origin.url], trust: set.trust };
  await call('register');
  const devtools = await browser.context.newCDPSession(page);
  await devtools.send('ServiceWorker.enable');
  origin.reset();
  const from = performance.now();
  let said = null;
  // A worker that is stopped answers nothing.
  const wake = () => void call('ask', { what: 'sync', options }).then(
    (answer) => (said = answer),
    () => {},
  );
  wake();
  let stops = 0;
  while (!said) {
    await sleep(20);
    if (said || performance.now() < from + (stops + 1) * everyMs) continue;
    await stop(devtools);
    stops += 1;
    say(`stop ${stops}: ${(origin.line.sent / 1e6).toFixed(1)} MB so far`);
    wake();
  }
  if (said.error) throw new Error(`the service worker said: ${said.error}`);
  const took = { ms: performance.now() - from, stops, bytes: origin.line.sent };
  verify(set, await call('ask', { what: 'check', options }));
  if (origin.line.sent !== took.bytes) throw new Error('reads of what is stored fetched bytes');
  return took;
}

export async function worker({ site, config }) {
  const set = config.worker;
  const files = await filesOf(set);
  const run = async (everyMs) => {
    const origin = await startOrigin(files, PROFILE);
    try {
      return await inBrowser(site, (stage) => sync(stage, set, origin, everyMs));
    } finally {
      origin.close();
    }
  };
  const whole = await run(Infinity);
  say(`uninterrupted: ${(whole.bytes / 1e6).toFixed(1)} MB`);
  const stopped = await run(STOP_EVERY_MS);
  say(`${stopped.stops} stops: ${(stopped.bytes / 1e6).toFixed(1)} MB`);
  if (stopped.stops < STOPS_MIN) throw new Error('the set is too small: it was hardly stopped');
  const figures = { 'd7.extra_ratio': stopped.bytes / whole.bytes - 1 };
  return { figures, detail: { set: set.name, profile: PROFILE, whole, stopped } };
}
