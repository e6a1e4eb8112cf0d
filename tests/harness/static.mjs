// Serves one or more folders on loopback, with the MIME types that browsers insist on, and
// counts what it sends. For the demo page and the browser tests; not a server for the world.

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize, resolve, sep } from 'node:path';
import { parseArgs } from 'node:util';
import { asChild, isMain, listen } from './child.mjs';

const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
  '.woff2': 'font/woff2',
};

/** The file under `folder` that a URL path names, or null where it would leave the folder. */
function inside(folder, path) {
  const file = normalize(join(folder, path));
  return file === folder || file.startsWith(folder + sep) ? file : null;
}

/** The bytes that a request asks for, as hosts understand it: one range, or else the whole. */
function rangeOf(header, size) {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(header ?? '') ?? [];
  const start = Number(first ?? 0);
  const end = Math.min(Number(last ?? size - 1), size - 1);
  return start <= end ? { start, end } : { start: 0, end: size - 1 };
}

/**
 * Starts the server. `mounts` maps URL prefixes to folders (`{ '/': 'www', '/pkg/': … }`, the
 * longest prefix wins); `pages` maps exact paths to `{ type, body }` made up by a test; `posts`
 * maps exact paths to what a POST there does, given the URL: its promise is answered as JSON;
 * `headers` stand in the answers with files.
 */
export async function startStatic(options) {
  const { mounts = {}, pages = {}, posts = {}, headers = {} } = options;
  const { host = '127.0.0.1', port = 0 } = options;
  const table = Object.entries(mounts)
    .map(([prefix, folder]) => [prefix, resolve(folder)])
    .sort((a, b) => b[0].length - a[0].length);
  const counts = { requests: 0, bytes: 0 };

  async function answer(request, response) {
    counts.requests += 1;
    const url = new URL(request.url, 'http://x');
    const path = decodeURIComponent(url.pathname);
    if (request.method === 'POST' && posts[path]) {
      const said = JSON.stringify(await posts[path](url));
      return send(response, 200, TYPES['.json'], said);
    }
    if (pages[path]) return send(response, 200, pages[path].type, pages[path].body);
    for (const [prefix, folder] of table) {
      if (!path.startsWith(prefix)) continue;
      let file = inside(folder, path.slice(prefix.length));
      if (!file) break;
      let found = await stat(file).catch(() => null);
      if (found?.isDirectory()) {
        file = join(file, 'index.html');
        found = await stat(file).catch(() => null);
      }
      if (!found?.isFile()) continue;
      const { start, end } = rangeOf(request.headers.range, found.size);
      const whole = end - start + 1 === found.size;
      counts.bytes += end - start + 1;
      response.writeHead(whole ? 200 : 206, {
        'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
        'content-length': end - start + 1,
        'cache-control': 'no-store',
        ...(whole ? {} : { 'content-range': `bytes ${start}-${end}/${found.size}` }),
        ...headers,
      });
      if (request.method === 'HEAD' || found.size === 0) return response.end();
      return createReadStream(file, { start, end }).pipe(response);
    }
    return send(response, 404, 'text/plain; charset=utf-8', `no file for ${path}\n`);
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error) => {
      if (!response.headersSent) response.writeHead(500);
      response.end(String(error));
    });
  });
  const address = await listen(server, host, port);
  return { ...address, counts, close: () => close(server) };
}

function send(response, status, type, body) {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
  response.end(body);
}

/** Closes the server and the connections that browsers keep open. */
export function close(server) {
  return new Promise((done) => {
    server.close(() => done());
    server.closeAllConnections();
  });
}

if (isMain(import.meta.url)) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { port: { type: 'string', default: '0' } },
  });
  // `PREFIX=FOLDER …`, such as `/=www /packice/=target/npm/packice`.
  const mounts = Object.fromEntries(positionals.map((pair) => pair.split('=', 2)));
  asChild(await startStatic({ mounts, port: Number(values.port) }));
}
