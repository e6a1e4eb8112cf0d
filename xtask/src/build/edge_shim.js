// The entry module of a Rust worker, after worker-build 0.8.7 (Apache-2.0, Cloudflare):
// https://github.com/cloudflare/workers-rs/tree/main/worker-build
// After a trap ("critical error") the next event starts a fresh wasm instance.

import * as exports from "./index.js";

Error.stackTraceLimit = 100;
const initState = exports.__worker_init_state();

function checkReinitialize() {
  if (initState.criticalError) {
    console.log("Reinitializing Wasm application");
    exports.__wbg_reset_state();
    initState.criticalError = false;
    initState.instanceId++;
  }
}

addEventListener('error', (e) => {
  handleMaybeCritical(e.error);
});

function handleMaybeCritical(e) {
  if (e instanceof WebAssembly.RuntimeError) {
    console.error('Critical', e);
    initState.criticalError = true;
  }
}

// A plain object: an entry point class would cost an instance and its proxies for each request.
const handler = (name) => async (arg, env, ctx) => {
  checkReinitialize();
  try {
    return await exports[name](arg, env, ctx);
  } catch (e) {
    handleMaybeCritical(e);
    throw e;
  }
};

// The hot route: the data centre's cache answers a plain read as it is. Wasm says for which URLs,
// and counts; it is not there while the cache is awaited (edge-worker/src/shell/hot.rs).
const hotFirst = (next) => async (request, env, ctx) => {
  checkReinitialize();
  try {
    const kind = request.method === 'GET' ? exports.hotKind(request.url) : undefined;
    if (kind !== undefined) {
      const found = await caches.default.match(request);
      // Validators that hold and ranges are the long way's, and the one condition that the cache
      // knows nothing of.
      if (found?.status === 200 && !request.headers.has('range')
        && !request.headers.has('if-match')) {
        const length = Number(found.headers.get('content-length'));
        if (exports.wasHot(kind, length)) exports.tellRegion(request, env, ctx);
        return found;
      }
    }
  } catch (e) {
    // A cache that fails is a miss; a trap is told, and the long way starts another instance.
    handleMaybeCritical(e);
  }
  return next(request, env, ctx);
};

export default { $HANDLERS };

const instanceProxyHooks = {
  set: (target, prop, value, receiver) => Reflect.set(target.instance, prop, value, receiver),
  has: (target, prop) => Reflect.has(target.instance, prop),
  deleteProperty: (target, prop) => Reflect.deleteProperty(target.instance, prop),
  apply: (target, thisArg, args) => Reflect.apply(target.instance, thisArg, args),
  construct: (target, args, newTarget) => Reflect.construct(target.instance, args, newTarget),
  getPrototypeOf: (target) => Reflect.getPrototypeOf(target.instance),
  setPrototypeOf: (target, proto) => Reflect.setPrototypeOf(target.instance, proto),
  isExtensible: (target) => Reflect.isExtensible(target.instance),
  preventExtensions: (target) => Reflect.preventExtensions(target.instance),
  getOwnPropertyDescriptor: (target, prop) =>
    Reflect.getOwnPropertyDescriptor(target.instance, prop),
  defineProperty: (target, prop, descriptor) =>
    Reflect.defineProperty(target.instance, prop, descriptor),
  ownKeys: (target) => Reflect.ownKeys(target.instance),
};

const classProxyHooks = {
  construct(ctor, args, newTarget) {
    try {
      checkReinitialize();
      const instance = {
        instance: Reflect.construct(ctor, args, newTarget),
        instanceId: initState.instanceId,
        ctor,
        args,
        newTarget
      };
      return new Proxy(instance, {
        ...instanceProxyHooks,
        get(target, prop, receiver) {
          if (target.instanceId !== initState.instanceId) {
            target.instance = Reflect.construct(target.ctor, target.args, target.newTarget);
            target.instanceId = initState.instanceId;
          }
          const original = Reflect.get(target.instance, prop, receiver);
          if (typeof original !== 'function') return original;
          if (original.constructor === Function) {
            return new Proxy(original, {
              apply(target, thisArg, argArray) {
                checkReinitialize();
                try {
                  return target.apply(thisArg, argArray);
                } catch (e) {
                  handleMaybeCritical(e);
                  throw e;
                }
              }
            });
          } else {
            return new Proxy(original, {
              async apply(target, thisArg, argArray) {
                checkReinitialize();
                try {
                  return await target.apply(thisArg, argArray);
                } catch (e) {
                  handleMaybeCritical(e);
                  throw e;
                }
              }
            });
          }
        }
      });
    } catch (e) {
      initState.criticalError = true;
      throw e;
    }
  }
};
