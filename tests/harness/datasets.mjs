// What the demo's data sets must hold, read from the npm packages themselves: the other side of
// the comparison with what a browser reads back. Independent of xtask's JSON lines on purpose.

import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';

const MODULES = resolve(dirname(fileURLToPath(import.meta.url)), '../../node_modules');

async function source(alias, file) {
  const read = async (name) => JSON.parse(await readFile(join(MODULES, alias, name), 'utf8'));
  const { name, version } = await read('package.json');
  return { data: await read(file), npm: `${name} ${version}` };
}

/** A value that must come back as the bytes of this text, and one that must parse to this JSON. */
const text = (value) => ({ text: value });
const json = (value) => ({ json: value });

async function phishing() {
  const { data, npm } = await source('data-phish', 'src/config.json');
  const config = new Map();
  const domains = new Map();
  for (const [name, value] of Object.entries(data)) {
    if (!Array.isArray(value)) config.set(name, json(value));
    else for (const domain of value) domains.set(`${name}/${domain}`, text(''));
  }
  return { npm, collections: { config, domains } };
}

async function solana() {
  const file = 'dist/main/tokens/solana.tokenlist.json';
  const { data, npm } = await source('data-solana', file);
  const info = new Map();
  const tokens = new Map();
  for (const [name, value] of Object.entries(data)) {
    if (name !== 'tokens') info.set(name, json(value));
  }
  for (const { chainId, address, ...rest } of data.tokens) {
    tokens.set(`${chainId}/${address}`, json(rest));
  }
  return { npm, collections: { info, tokens } };
}

async function compat() {
  const { data, npm } = await source('data-bcd', 'data.json');
  const meta = new Map();
  const browsers = new Map();
  const features = new Map();
  for (const [name, value] of Object.entries(data.__meta)) meta.set(name, json(value));
  const names = Object.entries(data.browsers).map(([id, browser]) => [id, browser.name]);
  meta.set('browsers', json(Object.fromEntries(names)));
  for (const [id, { releases, ...rest }] of Object.entries(data.browsers)) {
    browsers.set(id, json(rest));
    for (const [version, release] of Object.entries(releases)) {
      browsers.set(`${id}/${version}`, json(release));
    }
  }
  const open = Object.entries(data).filter(([name]) => name !== '__meta' && name !== 'browsers');
  while (open.length > 0) {
    const [path, value] = open.pop();
    for (const [name, below] of Object.entries(value)) {
      if (name === '__compat') features.set(path, json(below));
      else open.push([`${path}.${name}`, below]);
    }
  }
  return { npm, collections: { meta, browsers, compat: features } };
}

/** The sets by name, smallest first, with what the page says about them. */
export const DATASETS = {
  'eth-phishing': {
    title: 'Phishing domains',
    about: 'What wallets warn about: eth-phishing-detect 1.2.0',
    collections: {
      config: 'How lists are matched',
      domains: 'Blocked, allowed and fuzzily matched domains, as list/domain',
    },
    samples: [
      { collection: 'domains', key: 'whitelist/auctic.net', label: 'An allowed domain' },
      { collection: 'config', key: 'tolerance', label: 'A setting' },
      { collection: 'domains', key: 'blacklist/example.org', label: 'A domain that is not listed' },
    ],
    load: phishing,
  },
  'solana-tokens': {
    title: 'Solana tokens',
    about: 'Every token wallets show by name: @solana/spl-token-registry 0.2.4574',
    collections: {
      info: 'The list itself: its name, date, tags',
      tokens: 'Tokens by chain and mint address',
    },
    samples: [
      {
        collection: 'tokens',
        key: '101/EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v',
        label: 'USD Coin',
      },
      {
        collection: 'tokens',
        key: '101/So11111111111111111111111111111111111111112',
        label: 'Wrapped SOL',
      },
      { collection: 'tokens', key: '101/nobody', label: 'A token that does not exist' },
    ],
    load: solana,
  },
  'browser-compat': {
    title: 'Browser compatibility',
    about: '20 MB of what browsers support: @mdn/browser-compat-data 8.1.9',
    collections: {
      meta: 'The edition, and the browsers by name',
      browsers: 'Browsers, and their releases as browser/version',
      compat: 'Support of every feature, by dotted path',
    },
    samples: [
      { collection: 'compat', key: 'api.IDBFactory', label: 'IndexedDB' },
      { collection: 'compat', key: 'webassembly.api', label: 'WebAssembly in JavaScript' },
      { collection: 'browsers', key: 'firefox/140', label: 'Firefox 140' },
    ],
    load: compat,
  },
};

/** True when the stored text is what the source says. */
export function matches(expected, stored) {
  if ('text' in expected) return stored === expected.text;
  try {
    return isDeepStrictEqual(JSON.parse(stored), expected.json);
  } catch {
    return false;
  }
}
