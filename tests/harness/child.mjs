// What the harness servers share: listening on loopback, and running as a child process that
// says where it is and ends with its parent.

import { fileURLToPath } from 'node:url';

/** True when the module was started as a program. */
export function isMain(url) {
  return process.argv[1] === fileURLToPath(url);
}

/** Listens and returns `{ url, host, port }`; port 0 takes a free one. */
export function listen(server, host, port) {
  return new Promise((ok, fail) => {
    server.once('error', fail);
    server.listen(port, host, () => {
      server.off('error', fail);
      const got = server.address().port;
      ok({ url: `http://${host}:${got}`, host, port: got });
    });
  });
}

/**
 * Runs a started server as a child process: prints one line of JSON with its address, then
 * closes and exits when stdin ends (the parent closed it, or died) or on a signal.
 */
export function asChild(server, extra = {}) {
  const { url, host, port } = server;
  process.stdout.write(`${JSON.stringify({ url, host, port, ...extra })}\n`);
  let closing = false;
  const stop = async () => {
    if (closing) return;
    closing = true;
    await server.close();
    process.exit(0);
  };
  process.stdin.resume();
  process.stdin.on('end', stop);
  process.stdin.on('error', stop);
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
}
