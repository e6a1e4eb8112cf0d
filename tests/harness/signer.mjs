// Publish keys of tests, and what they sign: HTTP Message Signatures (RFC 9421) with
// Content-Digest (RFC 9530), written from the RFCs with Node's own Ed25519. The publisher and the
// edge share their code for it, so this is the second opinion.

import { createHash, createPrivateKey, createPublicKey, randomBytes, sign } from 'node:crypto';

/** An Ed25519 seed as PKCS #8 begins like this. */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

const sha256 = (bytes) => createHash('sha256').update(bytes).digest();

/** The `content-digest` of a body. */
export const contentDigest = (body) => `sha-256=:${sha256(body).toString('base64')}:`;

/** The publish key that a text stands for. */
export const publishKey = (text) => keyOfSeed(sha256(text));

/** The publish key of a seed of 32 bytes. */
export function keyOfSeed(seed) {
  const secret = createPrivateKey({
    key: Buffer.concat([PKCS8, seed]),
    format: 'der',
    type: 'pkcs8',
  });
  const { x } = createPublicKey(secret).export({ format: 'jwk' });
  const id = Buffer.from(x, 'base64url').toString('hex');
  return {
    /** The seed in hex: what PACKICE_PUBLISH_KEY takes. */
    seed: seed.toString('hex'),
    /** The public key in hex. */
    id,
    /** What the edge's PUBLISH_KEYS lists for it. */
    entry: (dataset = '*') => `${dataset}=${id}`,
    /** The headers of a signed request: those given, and those of the signature. */
    headers: (request) => signed(secret, id, request),
  };
}

/**
 * Signs a request. `covered` and the parameters are what the profile wants unless a test says
 * otherwise.
 */
function signed(secret, id, {
  method,
  authority,
  path,
  headers = {},
  body,
  covered,
  created = Math.floor(Date.now() / 1000),
  nonce = randomBytes(16).toString('hex'),
  keyid = id,
  alg = 'ed25519',
  tag = 'packice-publish',
}) {
  const digest = body === undefined ? {} : { 'content-digest': contentDigest(body) };
  const all = { ...digest, ...headers };
  const [where, query = ''] = path.split('?');
  const derived = {
    '@method': method,
    '@authority': authority.toLowerCase(),
    '@path': where,
    '@query': `?${query}`,
  };
  const fields = ['content-digest', 'if-match', 'if-none-match'].filter((name) => name in all);
  const components = covered ?? [...Object.keys(derived), ...fields];
  const list = components.map((name) => `"${name}"`).join(' ');
  const params =
    `(${list});created=${created};nonce="${nonce}";keyid="${keyid}";alg="${alg}";tag="${tag}"`;
  const value = (name) => derived[name] ?? String(all[name]).trim();
  const lines = components.map((name) => `"${name}": ${value(name)}`);
  const base = [...lines, `"@signature-params": ${params}`].join('\n');
  const signature = sign(null, Buffer.from(base, 'latin1'), secret).toString('base64');
  return {
    ...all,
    'signature-input': `packice=${params}`,
    signature: `packice=:${signature}:`,
  };
}
