// How each bundler builds the page of tests/kit/app for production, with the least that it needs
// to be told. What docs/cookbook.md says about bundlers is what is done here.

import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import webpack from 'webpack';

/** What webpack needs to be told: nothing but where the page begins. */
export const WEBPACK = { mode: 'production', entry: './main.js' };

/** What esbuild needs to be told: the worker, the wasm file and the seed are entry points too. */
export const ESBUILD = [
  'main.js',
  'worker=packice/worker',
  'packice_client_bg=packice/packice_client_bg.wasm',
  'kit.seed',
  '--bundle',
  '--format=esm',
  '--splitting',
  '--minify',
  '--loader:.wasm=copy',
  '--loader:.seed=copy',
  '--outdir=dist',
];

/** Each builds `dist` in the project, and returns what it warned about. */
export const BUNDLERS = {
  /** Nothing: no configuration file at all. */
  async vite({ node, tool }) {
    const { stdout, stderr } = await node([tool('vite/bin/vite.js'), 'build']);
    const lines = `${stdout}\n${stderr}`.split('\n');
    return lines.filter((line) => /warn|externalized|error/i.test(line));
  },

  async webpack({ dir }) {
    const stats = await new Promise((ok, fail) => {
      // Where its command line, called in the project, puts it.
      const settings = { ...WEBPACK, context: dir, output: { path: join(dir, 'dist') } };
      webpack(settings, (error, stats) => (error ? fail(error) : ok(stats)));
    });
    const { errors, warnings } = stats.toJson({ errors: true, warnings: true });
    await ownPage(dir);
    // A wasm file over 244 KiB is remarked on; it is a file of its own, fetched once.
    const said = [...errors, ...warnings].map(({ message }) => message);
    return said.filter((message) => !/recommended size limit/.test(message));
  },

  async esbuild({ dir, node, tool }) {
    const { stderr } = await node([tool('esbuild/bin/esbuild'), ...ESBUILD, '--log-level=warning']);
    await ownPage(dir);
    return stderr.split('\n').filter(Boolean);
  },
};

/** Bundlers that make no page get the fixture's beside what they built. */
async function ownPage(dir) {
  await copyFile(join(dir, 'index.html'), join(dir, 'dist/index.html'));
}
