// Puts the moves of an attack to a real edge on workerd: honest releases are published with a
// key, and then whoever stole the key tries to move the pointer.

import { startEdge } from './edge.mjs';
import { Client } from './raw-client.mjs';
import { publishKey } from './signer.mjs';

const KEY = publishKey('a stolen key');
const POINTER = 'bootstrap/stable';

/**
 * One move; `sets` are `{path: hash}` by name, `read` gives the bytes of a hash. Returns all that
 * is not as it must be.
 */
export async function attackEdge({ published, put, code }, { sets, root, read }) {
  const edge = await startEdge({ publishKeys: KEY.entry('test-set') });
  const client = new Client(edge);
  const send = (path, body, headers) => (
    client.call('PUT', `/v1/test-set/${path}`, { body, headers, by: KEY })
  );
  const wrong = [];
  const upload = async (name) => {
    for (const [path, hash] of Object.entries(sets[name])) {
      if (path === 'checkpoint' || path === POINTER) continue;
      const { status } = await send(path, await read(hash));
      // Tiles below the log's size are there for good.
      if (![201, 204, 409].includes(status)) wrong.push(`${name}: uploading ${path}: ${status}`);
    }
  };
  const move = async (name, condition) => send(POINTER, await read(sets[name][POINTER]), condition);
  try {
    await send('trust-root/1', await read(root));
    let condition = { 'if-none-match': '*' };
    for (const name of published) {
      await upload(name);
      const moved = await move(name, condition);
      if (moved.status >= 300) wrong.push(`${name}: ${moved.status} ${moved.body}`);
      condition = { 'if-match': moved.headers.etag };
    }
    await upload(put);
    const refused = await move(put, condition);
    const { reason } = refused.status === 422 ? JSON.parse(refused.body) : {};
    if (reason !== code) {
      wrong.push(`putting ${put}: expected ${code}, found ${refused.status} ${refused.body}`);
    }
    const stands = await client.call('GET', `/v1/test-set/${POINTER}`);
    const last = await read(sets[published.at(-1)][POINTER]);
    if (!stands.body.equals(last)) wrong.push(`putting ${put} moved the pointer`);
    await client.close();
  } finally {
    await edge.close();
  }
  return wrong;
}
