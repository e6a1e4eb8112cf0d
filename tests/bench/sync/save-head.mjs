// Keeps what an edge answers for a data set's mutable paths: `save-head.mjs URL FOLDER` writes
// `checkpoint` and `bootstrap/stable` below FOLDER. All else of a data set is in its build.

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

const [base, folder] = process.argv.slice(2);
for (const path of ['checkpoint', 'bootstrap/stable']) {
  const response = await fetch(`${base}/${path}`);
  if (!response.ok) throw new Error(`${base}/${path} answered ${response.status}`);
  const file = join(folder, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, new Uint8Array(await response.arrayBuffer()));
}
