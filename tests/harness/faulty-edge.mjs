// Runs in workerd: the built edge, with an origin that goes away and a clock that is wrong, as a
// request for /fault says: `?origin=away`, `?origin=back`, `?clock={milliseconds}`; it answers with
// what is so, and how many operations of the origin failed. Whatever else
// there is of an isolate, it is the real one.

import edge, * as exported from './index.js';

let away = false;
let refused = 0;
let shift = 0;
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length ? given : [RealDate.now() + shift]));
  }

  static now() {
    return RealDate.now() + shift;
  }
};

/** The origin's bucket; while it is away every operation fails, as one of R2 does. */
function origin(bucket) {
  return new Proxy(bucket, {
    get(target, name) {
      const value = target[name];
      if (name === 'constructor' || typeof value !== 'function') return value;
      return async (...given) => {
        if (away) {
          refused += 1;
          throw new Error(`${String(name)}: Network connection lost.`);
        }
        return value.apply(target, given);
      };
    },
  });
}

const around = (env) => ({ ...env, OBJECTS: origin(env.OBJECTS) });

export default {
  async fetch(request, env, context) {
    const url = new URL(request.url);
    if (url.pathname !== '/fault') return edge.fetch(request, around(env), context);
    const asked = url.searchParams;
    if (asked.has('origin')) away = asked.get('origin') === 'away';
    if (asked.has('clock')) shift = Number(asked.get('clock'));
    return Response.json({ away, shift, refused });
  },
};

const faulty = (name) => new Proxy(exported[name], {
  construct: (target, [state, env]) => Reflect.construct(target, [state, around(env)]),
});

export const Pointer = faulty('Pointer');
export const Live = faulty('Live');
export const Keeper = faulty('Keeper');
export const Catalog = faulty('Catalog');
export const RegionShard = faulty('RegionShard');
