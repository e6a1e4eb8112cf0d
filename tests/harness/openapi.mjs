// docs/spec/openapi.yaml as a judge of real answers: which operation a request was, and whether
// the answer is one that it may have, header by header.

import { readFile } from 'node:fs/promises';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse } from 'yaml';

const FILE = new URL('../../docs/spec/openapi.yaml', import.meta.url);
const METHODS = ['get', 'head', 'put', 'post', 'patch', 'delete', 'options'];
/** Headers of the connection, and those that stand elsewhere in the document. */
const ASIDE = new Set(['connection', 'content-length', 'content-type', 'date', 'keep-alive',
  'transfer-encoding']);

/** Reads the document. */
export async function loadApi() {
  return new Api(parse(await readFile(FILE, 'utf8')));
}

export class Api {
  #ajv = new Ajv2020({ strict: false, allErrors: true });
  #compiled = new Map();
  #paths;

  constructor(document) {
    this.document = document;
    this.#ajv.addSchema(document, 'edge');
    const literal = (path) => path.split('/').filter((part) => !part.startsWith('{')).length;
    this.#paths = Object.entries(document.paths)
      .map(([template, item]) => ({ template, item, pattern: this.#pattern(template, item) }))
      .sort((a, b) => literal(b.template) - literal(a.template));
  }

  /** Every `METHOD template status` that the document lists. */
  listed() {
    const all = [];
    for (const { template, item } of this.#paths) {
      for (const method of methodsOf(item)) {
        for (const status of Object.keys(item[method].responses)) {
          if (status !== 'default') all.push(`${method.toUpperCase()} ${template} ${status}`);
        }
      }
    }
    return all.sort();
  }

  /** The methods of each path. */
  methods() {
    return this.#paths.map(({ template, item }) => [template, methodsOf(item).map(upper)]);
  }

  /** The path of the document that a path is; the most literal one first. */
  find(path) {
    // Dot segments and backslashes are gone before the Worker sees the path.
    const { pathname } = new URL(`http://x${path}`);
    return this.#paths.find(({ pattern }) => pattern.test(pathname));
  }

  /** What a request was: `METHOD template status` where the document lists it, and the faults. */
  judge(method, path, reply) {
    const found = this.find(path);
    if (!found) return this.#refusal(404, 'not-found', method, reply);
    const { template, item } = found;
    const operation = item[method.toLowerCase()];
    if (!operation) {
      const refused = this.#refusal(405, 'method-not-allowed', method, reply);
      const allowed = (reply.headers.allow ?? '').split(', ').sort().join();
      const listed = methodsOf(item).map(upper).sort().join();
      if (allowed !== listed) refused.faults.push(`allow: ${allowed}, listed: ${listed}`);
      return refused;
    }
    const name = operation.responses[reply.status] ? String(reply.status) : 'default';
    const reference = operation.responses[name];
    if (!reference) return { faults: [`${reply.status} is not listed for ${method} ${template}`] };
    const place = reference.$ref.split('/').at(-1);
    const faults = [];
    const others = method === 'OPTIONS' ? [404, 429, 431, 500] : [400, 408, 429, 431, 500];
    if (name === 'default' && !others.includes(reply.status)) {
      faults.push(`${reply.status} is not listed for ${method} ${template}`);
    }
    faults.push(...this.#headers(place, reply), ...this.#body(place, method, reply));
    return { which: `${method} ${template} ${name}`, faults };
  }

  /** An answer to what the document does not have. */
  #refusal(status, code, method, reply) {
    if (reply.status !== status) return { faults: [`${reply.status} where nothing is listed`] };
    const faults = this.#body('OtherProblem', method, reply);
    const { type } = method === 'HEAD' || faults.length > 0 ? {} : JSON.parse(reply.body);
    if (type && type !== `urn:packice:problem:${code}`) faults.push(`it is a ${type}`);
    return { faults };
  }

  #headers(place, reply) {
    const { headers } = this.document.components.responses[place];
    const faults = [];
    const known = new Set(ASIDE);
    for (const [name, { $ref }] of Object.entries(headers)) {
      known.add(name.toLowerCase());
      const header = this.document.components.headers[$ref.split('/').at(-1)];
      const value = reply.headers[name.toLowerCase()];
      const schema = this.#validator(`${$ref}/schema`);
      if (value === undefined && header.required) faults.push(`no ${name}`);
      if (value !== undefined && !schema(value)) faults.push(`${name}: ${value}`);
    }
    for (const name of Object.keys(reply.headers)) {
      if (!known.has(name)) faults.push(`${name} is not listed`);
    }
    return faults;
  }

  #body(place, method, reply) {
    const { content } = this.document.components.responses[place];
    const type = reply.headers['content-type'];
    if (!content) return reply.body.length > 0 ? ['a body is not listed'] : [];
    if (!content[type]) return [`content-type: ${type}`];
    if (method === 'HEAD') return reply.body.length > 0 ? ['HEAD has a body'] : [];
    if (!/json/.test(type)) return [];
    const inside = `${place}/content/${type.replaceAll('/', '~1')}/schema`;
    const schema = this.#validator(`#/components/responses/${inside}`);
    if (schema(JSON.parse(reply.body))) return [];
    return schema.errors.map(({ instancePath, message }) => `body${instancePath} ${message}`);
  }

  #validator(pointer) {
    if (!this.#compiled.has(pointer)) {
      this.#compiled.set(pointer, this.#ajv.compile({ $ref: `edge${pointer}` }));
    }
    return this.#compiled.get(pointer);
  }

  /** A path's template with the patterns of its parameters. */
  #pattern(template, item) {
    const parameters = (item.parameters ?? []).map(({ $ref }) => {
      return this.document.components.parameters[$ref.split('/').at(-1)];
    });
    const pattern = template.replace(/\{(\w+)\}/g, (_, name) => {
      const { schema } = parameters.find((parameter) => parameter.name === name);
      if (schema.enum) return `(${schema.enum.join('|')})`;
      return schema.pattern.replace(/^\^|\$$/g, '');
    });
    return new RegExp(`^${pattern}$`);
  }
}

const methodsOf = (item) => METHODS.filter((method) => item[method]);
const upper = (text) => text.toUpperCase();
