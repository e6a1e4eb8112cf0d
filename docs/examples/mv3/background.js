// The service worker. The browser stops it after half a minute without events and starts it
// again for the next one: so nothing here outlives an event but what Packice has stored, and
// opening that again reads one record.

import { open } from './packice/in-place.js';
import { settings } from './settings.js';

const SYNC = 'sync';
const EVERY_MINUTES = 15;
/** How long somebody waits for an answer that is still on its way. */
const PATIENCE_MS = 2000;

let opening;

/** The data set, opened once in the life of this worker; a failure is tried again. */
function lists() {
  opening ??= open(settings).catch((error) => {
    opening = undefined;
    throw error;
  });
  return opening;
}

/** Brings the newest version. A worker that is stopped in the middle goes on at the next alarm. */
async function sync() {
  const report = await (await lists()).sync();
  return { version: report.version, changed: report.changed };
}

/** `a.b.example` → itself, `b.example`, `example`: a listed domain covers those below it. */
function covering(domain) {
  const labels = domain.toLowerCase().replace(/\.$/, '').split('.');
  return labels.map((_, at) => labels.slice(at).join('.'));
}

/** Whether a domain is listed. An answer that is not known is never "not listed". */
async function lookUp(domain) {
  const domains = covering(domain);
  const keys = ['whitelist', 'blacklist'].flatMap((list) => domains.map((d) => `${list}/${d}`));
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const found = await (await lists()).getMany('domains', keys, { signal });
  const at = (list) => found.findIndex((f, i) => f.state === 'present' && keys[i].startsWith(list));
  const unknown = found.find(({ state }) => state === 'unknown');
  const [allowed, blocked] = [at('whitelist'), at('blacklist')];
  if (allowed >= 0) return { verdict: 'allowed', by: keys[allowed] };
  if (blocked >= 0) return { verdict: 'blocked', by: keys[blocked] };
  if (unknown) return { verdict: 'unknown', why: unknown.reason };
  return { verdict: 'not listed', version: found[0].version };
}

async function status() {
  const { phase, version, stored } = await (await lists()).status();
  return { phase, version, stored };
}

const answers = { lookUp: ({ domain }) => lookUp(domain), sync, status };

chrome.runtime.onMessage.addListener((message, _sender, respond) => {
  const answer = answers[message.ask];
  if (!answer) return false;
  answer(message).then(respond, ({ code, message: text }) => {
    if (code === 'misuse/aborted') respond({ verdict: 'unknown', why: 'still being fetched' });
    else respond({ code, error: text });
  });
  return true; // the answer comes later
});

chrome.alarms.onAlarm.addListener(({ name }) => {
  if (name === SYNC) sync().catch((error) => console.warn(error.code, error.message));
});

// At the first start, and after every update of the extension or the browser.
chrome.runtime.onInstalled.addListener(() => {
  chrome.alarms.create(SYNC, { delayInMinutes: 0.5, periodInMinutes: EVERY_MINUTES });
  sync().catch((error) => console.warn(error.code, error.message));
});
