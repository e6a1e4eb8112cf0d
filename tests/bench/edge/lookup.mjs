// The smallest worker that does the edge's look-up, the cache, else the bucket, and gives its
// answer. It checks nothing, knows no ranges and no errors: what `cargo xtask bench edge` measures
// ours against. With the binding `BARE` it leaves out what a browser of another origin needs.

const BARE = { 'cache-control': 'public, max-age=31536000, immutable' };
const WHOLE = {
  ...BARE,
  'accept-ranges': 'bytes',
  'access-control-allow-origin': '*',
  'access-control-expose-headers': 'etag, content-range, content-length, accept-ranges, age, '
    + 'cache-status, retry-after',
  'cache-status': 'packice-edge; hit',
  'content-type': 'application/octet-stream',
  'cross-origin-resource-policy': 'cross-origin',
  'x-content-type-options': 'nosniff',
};

export default {
  async fetch(request, env, context) {
    const hit = await caches.default.match(request);
    if (hit) return hit;
    const object = await env.OBJECTS.get(new URL(request.url).pathname.slice('/v1/'.length));
    if (!object) return new Response(null, { status: 404 });
    const headers = {
      ...(env.BARE ? BARE : WHOLE),
      'content-length': `${object.size}`,
      etag: object.httpEtag,
    };
    const response = new Response(object.body, { headers });
    context.waitUntil(caches.default.put(request, response.clone()));
    return response;
  },
};
