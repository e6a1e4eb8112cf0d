// An honest edge whose bootstrap and head carry no objects. They only save requests: without
// what is inlined a client must fetch each object by its name, which is what tests want to see.

import { createServer } from 'node:http';
import { listen } from './child.mjs';
import { close } from './static.mjs';

/** Reads the numbers and byte strings of docs/spec/encoding.md. */
function reader(bytes, at) {
  const number = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      if (at >= bytes.length) throw new Error('the bootstrap ends inside a number');
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  const skipRaw = (length) => {
    at += length;
  };
  return { number, skip: () => skipRaw(number()), skipRaw, at: () => at };
}

/** The same bootstrap with an empty list of objects (docs/spec/bootstrap.md). */
export function strip(bootstrap) {
  const r = reader(bootstrap, 4);
  r.skip(); // checkpoint
  for (let roots = r.number(); roots > 0; roots--) r.skip();
  r.skip(); // head state
  r.skipRaw(32 * r.number()); // inclusion proof
  return Buffer.concat([bootstrap.subarray(0, r.at()), Buffer.from([0])]);
}

/** Starts the server in front of an edge. */
export async function startStripped({ target, host = '127.0.0.1', port = 0 }) {
  const answer = async (request, response) => {
    const { range } = request.headers;
    const got = await fetch(new URL(request.url, target), {
      method: request.method,
      headers: range ? { range } : {},
    });
    let body = Buffer.from(await got.arrayBuffer());
    if (got.ok && /\/(bootstrap|head)\//.test(request.url)) body = strip(body);
    const kept = ['content-range', 'content-type', 'access-control-expose-headers'];
    const headers = { 'access-control-allow-origin': '*', 'content-length': body.length };
    for (const name of kept) if (got.headers.has(name)) headers[name] = got.headers.get(name);
    response.writeHead(got.status, headers).end(body);
  };
  const server = createServer((request, response) => {
    answer(request, response).catch((error) => response.writeHead(502).end(String(error)));
  });
  const address = await listen(server, host, port);
  return { ...address, close: () => close(server) };
}
