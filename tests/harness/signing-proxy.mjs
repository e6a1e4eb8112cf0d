// A proxy that signs every request by a publish key and passes it on as it is: what a tool that
// knows nothing of signatures is put in front of an edge with.

import { Agent, createServer, request as httpRequest } from 'node:http';
import { listen } from './child.mjs';
import { close } from './static.mjs';

/** Starts the proxy in front of an edge. */
export async function startSigningProxy(edge, key) {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const authority = `${edge.host}:${edge.port}`;
  const server = createServer(async (request, response) => {
    const { method, url: path } = request;
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    const { host: _, connection: __, 'transfer-encoding': ___, ...given } = request.headers;
    const sent = key.headers({
      method, authority, path, headers: given, body: method === 'PUT' ? body : undefined,
    });
    if (method === 'PUT' || body.length > 0) sent['content-length'] = body.length;
    const options = { agent, host: edge.host, port: edge.port, method, path, headers: sent };
    const out = httpRequest(options, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    out.on('error', () => request.socket.destroy());
    out.end(body);
  });
  const address = await listen(server, '127.0.0.1', 0);
  return {
    ...address,
    close() {
      agent.destroy();
      return close(server);
    },
  };
}
