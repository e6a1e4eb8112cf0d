// A plain HTTP client for tests of the edge: sends paths and headers exactly as they are written,
// and keeps count, so that a test can say at its end that no request came to a 5xx, and that every
// answer was one that docs/spec/openapi.yaml lists.

import assert from 'node:assert/strict';
import http from 'node:http';
import { loadApi } from './openapi.mjs';

const api = await loadApi();

/** A client of one edge. */
export class Client {
  #edge;
  #agent = new http.Agent({ keepAlive: true });
  #failed = [];
  #faults = [];
  #mayFail;
  /** Which `METHOD template status` of the document were seen. */
  seen = new Set();

  /** `mayFail` for an edge that is broken on purpose. */
  constructor(edge, { mayFail = false } = {}) {
    this.#edge = edge;
    this.#mayFail = mayFail;
  }

  /**
   * One request. `headersOnly` sends the headers and waits for the answer without a body, for
   * uploads that are refused by their length. `by` is the publish key that signs, and `signing`
   * what its signature says otherwise than it should.
   */
  call(method, path, { headers = {}, body, by, headersOnly = false, ...signing } = {}) {
    const length = body === undefined ? {} : { 'content-length': body.length };
    const { host, port } = this.#edge;
    const authority = `${host}:${port}`;
    const signed = method === 'PUT' ? body ?? '' : body;
    const request = { method, authority, path, headers, body: signed, ...signing };
    const sent = by ? by.headers(request) : headers;
    return new Promise((ok, fail) => {
      const request = http.request({
        agent: this.#agent,
        host,
        port,
        method,
        path,
        headers: { ...length, ...sent },
      });
      request.on('error', fail);
      request.on('response', async (response) => {
        const chunks = [];
        for await (const piece of response) chunks.push(piece);
        const status = response.statusCode;
        if (status >= 500) this.#failed.push(`${status} ${method} ${path}`);
        const reply = { status, headers: response.headers, body: Buffer.concat(chunks) };
        this.#judge(method, path, reply);
        ok(reply);
        if (headersOnly) request.destroy();
      });
      if (headersOnly) request.flushHeaders();
      else request.end(body);
    });
  }

  #judge(method, path, reply) {
    const { which, faults } = api.judge(method, path, reply);
    if (which) this.seen.add(which);
    const request = `${method} ${path.slice(0, 100)}: ${reply.status}`;
    this.#faults.push(...faults.map((fault) => `${request}: ${fault}`));
  }

  /** Ends the connections; fails if any request came to a 5xx, or to what is not listed. */
  async close() {
    this.#agent.destroy();
    assert.deepEqual(this.#faults, [], 'docs/spec/openapi.yaml does not say so');
    if (!this.#mayFail) assert.deepEqual(this.#failed, [], 'no request may end in a 5xx');
  }
}

/** Checks that an answer is a problem of a type and says what is wrong; returns its fields. */
export function assertProblem(reply, status, code) {
  assert.equal(reply.status, status, reply.body.toString());
  assert.equal(reply.headers['content-type'], 'application/problem+json');
  const problem = JSON.parse(reply.body);
  assert.equal(problem.type, `urn:packice:problem:${code}`);
  assert.equal(problem.status, status);
  assert.ok(problem.title && problem.detail, 'title and detail');
  return problem;
}
