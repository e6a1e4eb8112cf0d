// Runs in workerd: the built edge, with stores that go away and a clock that is wrong, as a request
// for /fault says: `?origin=away`, `?regions=away`, `=back`, `?clock={milliseconds}`; it answers
// with what is so, and how many operations of stores failed. Whatever else there is of an isolate,
// it is the real one.

import edge, * as exported from './index.js';

const away = { origin: false, regions: false };
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

/** A bucket; while it is away every operation fails, as one of R2 does. */
function bucket(real, which) {
  return new Proxy(real, {
    get(target, name) {
      const value = target[name];
      if (name === 'constructor' || typeof value !== 'function') return value;
      return async (...given) => {
        if (away[which]) {
          refused += 1;
          throw new Error(`${String(name)}: Network connection lost.`);
        }
        return value.apply(target, given);
      };
    },
  });
}

function around(env) {
  const faulty = { ...env, OBJECTS: bucket(env.OBJECTS, 'origin') };
  for (const [name, binding] of Object.entries(env)) {
    const region = name.startsWith('REGION_') && typeof binding === 'object';
    if (region) faulty[name] = bucket(binding, 'regions');
  }
  return faulty;
}

export default {
  async fetch(request, env, context) {
    const url = new URL(request.url);
    if (url.pathname !== '/fault') return edge.fetch(request, around(env), context);
    const asked = url.searchParams;
    for (const which of Object.keys(away)) {
      if (asked.has(which)) away[which] = asked.get(which) === 'away';
    }
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
