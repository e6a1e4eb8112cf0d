// A headless Chromium that can be killed: its own process group, SIGKILL to all of it at once, and
// its profile folder stays. playwright-core only talks to it.

import { spawn } from 'node:child_process';
import { readdir, readFile, rm } from 'node:fs/promises';
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
    await gone(child.pid);
  };
  try {
    const browser = await chromium.connectOverCDP(await endpoint(portFile));
    return { context: browser.contexts()[0], kill };
  } catch (error) {
    await kill();
    throw error;
  }
}

/**
 * Waits until no process of a group runs any more: one that is still being ended may hold the lock
 * of its database, and the next Chromium's would be refused. Where there is no /proc, for nothing.
 */
async function gone(group) {
  const runs = async (pid) => {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    // Behind the name, which is in brackets: state, parent, group.
    const [state, , own] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(own) === group && state !== 'Z';
  };
  const deadline = performance.now() + START_MS_MAX;
  while (performance.now() < deadline) {
    const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
    if (!(await Promise.all(pids.map(runs))).includes(true)) return;
    await new Promise((ok) => setTimeout(ok, 5));
  }
  throw new Error(`processes of Chromium still run ${START_MS_MAX} ms after they were killed`);
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
