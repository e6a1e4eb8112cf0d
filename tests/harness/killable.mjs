// A headless Chromium that can be killed: its own process group, SIGKILL to all of it at once, and
// its profile folder stays. playwright-core only talks to it.

import { spawn } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { chromiumPath, FLAGS } from './browser.mjs';

const START_MS_MAX = 20_000;

/** Starts Chromium on a profile folder; `kill` ends all of its processes without a warning. */
export async function startKillable(profile) {
  const portFile = join(profile, 'DevToolsActivePort');
  await rm(portFile, { force: true });
  // What a killed Chromium left keeps the next one from starting.
  for (const name of ['SingletonLock', 'SingletonCookie', 'SingletonSocket']) {
    await rm(join(profile, name), { force: true });
  }
  const own = ['--headless', '--remote-debugging-port=0', `--user-data-dir=${profile}`];
  const child = spawn(chromiumPath(), [...FLAGS, ...own, 'about:blank'], {
    detached: true,
    stdio: 'ignore',
  });
  const ended = new Promise((ok) => child.once('exit', ok));
  const kill = async () => {
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
    await ended;
  };
  try {
    const browser = await chromium.connectOverCDP(await endpoint(portFile));
    return { context: browser.contexts()[0], kill };
  } catch (error) {
    await kill();
    throw error;
  }
}

/** Waits for the file in which Chromium says where it listens. */
async function endpoint(file) {
  const deadline = performance.now() + START_MS_MAX;
  while (performance.now() < deadline) {
    const [port, path] = (await readFile(file, 'utf8').catch(() => '')).split('\n');
    if (path) return `ws://127.0.0.1:${port}${path}`;
    await new Promise((ok) => setTimeout(ok, 20));
  }
  throw new Error(`Chromium did not start in ${START_MS_MAX} ms`);
}
