// Projects of people who use the package: a fresh folder, the packed tarball installed by npm,
// and nothing of this workspace beside it but the tools of the lock file.

import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { NPM } from '../harness/project.mjs';

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const run = promisify(execFile);

/** The tarball that `npm publish` would send. */
async function tarball() {
  const { version } = JSON.parse(await readFile(join(NPM, 'package.json'), 'utf8'));
  return join(dirname(NPM), `packice-${version}.tgz`);
}

/**
 * Makes a project with the package installed; `files` is a folder to copy in, or a map of names
 * to text. `type` is the module type of its package.json.
 */
export async function makeConsumer(files = {}, { type = 'module' } = {}) {
  const dir = await realpath(await mkdtemp(join(tmpdir(), 'packice-consumer-')));
  await writeFile(join(dir, 'package.json'), JSON.stringify({ private: true, type }));
  if (typeof files === 'string') await cp(files, dir, { recursive: true });
  else for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
  const quiet = ['--offline', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'];
  await run('npm', ['install', ...quiet, await tarball()], { cwd: dir });
  return {
    dir,
    /** Runs a program of Node's in the project: a file, or one of the workspace's tools. */
    node: (args, env = {}) =>
      run(process.execPath, args, {
        cwd: dir,
        env: { ...process.env, ...env },
        maxBuffer: 1 << 24,
        timeout: 60_000,
      }),
    tool: (path) => join(ROOT, 'node_modules', path),
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}
