// One loopback server for everybody in the benchmark: every body is in memory before the clock
// starts, so that what is measured is the client. It counts requests and bytes by path.

import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { listen } from '../../harness/child.mjs';
import { close } from '../../harness/static.mjs';

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm',
};

/** Reads every file below a folder to `/prefix/its/path`. */
export async function readTree(files, prefix, folder, headers = {}) {
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const path = prefix + file.slice(folder.length);
    files.set(path, { body: await readFile(file), headers });
  }
}

/** The range of a `Range` header; undefined where there is none that can be met. */
export function range(header, length) {
  const found = /^bytes=(\d+)-(\d+)$/.exec(header ?? '');
  if (!found) return undefined;
  const [start, last] = [Number(found[1]), Math.min(Number(found[2]), length - 1)];
  return start <= last ? { start, end: last + 1 } : undefined;
}

/** Serves the files. `counts()` gives what was asked for since the last `reset()`. */
export async function startServer(files) {
  let seen = [];
  const server = createServer((request, response) => {
    const found = files.get(request.url);
    if (!found) {
      response.writeHead(404, { 'content-type': 'text/plain' });
      return response.end(`no ${request.url}\n`);
    }
    const part = range(request.headers.range, found.body.length);
    const body = part ? found.body.subarray(part.start, part.end) : found.body;
    const headers = {
      'content-type': TYPES[extname(request.url)] ?? 'application/octet-stream',
      'content-length': body.length,
      'cache-control': 'no-store',
      ...found.headers,
    };
    if (part) {
      headers['content-range'] = `bytes ${part.start}-${part.end - 1}/${found.body.length}`;
    }
    seen.push({ path: request.url, bytes: body.length });
    response.writeHead(part ? 206 : 200, headers);
    response.end(body);
  });
  const address = await listen(server, '127.0.0.1', 0);
  return {
    ...address,
    reset: () => void (seen = []),
    seen: () => seen,
    close: () => close(server),
  };
}
