// A headless Chromium with a profile of its own, driven by playwright-core. The profile is a
// real folder, not an in-memory context: IndexedDB behaves as in a user's browser, and a second
// start on the same folder is a reload after a crash.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

export const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Milliseconds that a busy machine may take to show a page. */
const PATIENCE = 120_000;

/** `PACKICE_CHROMIUM`, or the first Chromium on PATH. */
export function chromiumPath() {
  if (process.env.PACKICE_CHROMIUM) return process.env.PACKICE_CHROMIUM;
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
  for (const name of names) {
    for (const folder of (process.env.PATH ?? '').split(delimiter)) {
      const file = join(folder, name);
      if (existsSync(file)) return file;
    }
  }
  throw new Error('no Chromium: install one (Debian: apt-get install chromium)');
}

/**
 * Starts Chromium. `profile` names a folder to keep; without it a fresh one is made, and removed
 * by `close`. `preferences` are what a user has set there; `options` go to playwright's
 * `launchPersistentContext`.
 */
export async function startBrowser({ profile, preferences, args = [], options = {} } = {}) {
  const temporary = profile ? null : await mkdtemp(join(tmpdir(), 'packice-chromium-'));
  if (preferences) {
    const folder = join(profile ?? temporary, 'Default');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'Preferences'), JSON.stringify(preferences));
  }
  const context = await chromium.launchPersistentContext(profile ?? temporary, {
    executablePath: chromiumPath(),
    headless: true,
    args: [...FLAGS, ...args],
    ...options,
  });
  return {
    context,
    profile: profile ?? temporary,
    /** A page whose console errors and uncaught errors are collected in `errors`. */
    async page() {
      const page = await context.newPage();
      page.setDefaultTimeout(PATIENCE);
      const errors = [];
      page.on('pageerror', (error) => errors.push(String(error)));
      page.on('console', (message) => {
        if (message.type() === 'error') errors.push(message.text());
      });
      return { page, errors };
    },
    async close() {
      await context.close();
      if (temporary) await rm(temporary, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}
