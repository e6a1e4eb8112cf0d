// A line with a round trip, a rate and stalls, between a server of this process and its clients.
//
// What comes from a client reaches the server half a round trip later; what the server sends goes
// through one bucket that all connections share, in turns of a few packets, and arrives half a
// round trip after it left. A connection is usable a whole round trip after it was made. There is
// no slow start and no loss: bytes over rate is a time that a client could reach.
//
// The bucket keeps the time at which the line is free again, so a timer that comes late loses
// nothing while there is something to send; an idle line saves nothing up.

import { createServer } from 'node:net';
import { Duplex } from 'node:stream';
import { listen } from '../../harness/child.mjs';

/** The largest part that goes in one turn: two milliseconds of the line, or one packet. */
const TURN_MS = 2;
const PACKET_BYTES = 1460;

/** What a client may leave unread in this process before its connection has to wait. */
const UNREAD_BYTES = 256 << 10;

const NO_ALARM = { at: Infinity, stop() {} };

export class Line {
  /** `mbit` is the rate; `stall` is `{ everyMs, forMs }`: no byte leaves in an interval's end. */
  constructor({ mbit = Infinity, rttMs = 0, stall = null }) {
    this.bytesPerMs = mbit * 125;
    this.delayMs = rttMs / 2;
    this.stall = stall;
    this.sent = 0;
    this.cut = { after: Infinity };
    this.turnBytes = Math.max(PACKET_BYTES, Math.floor(this.bytesPerMs * TURN_MS));
    this.reset();
    this.ready = [];
    this.events = [];
    this.alarm = NO_ALARM;
  }

  /** Lets the stalls' clock begin now. */
  reset() {
    this.zero = performance.now();
    this.freeAt = this.zero;
  }

  /** The time at which `bytes` that may begin to leave at `from` have left. */
  leftAt(from, bytes) {
    const need = bytes / this.bytesPerMs;
    if (!this.stall) return from + need;
    // Counted on a clock that stands still in stalls.
    const { everyMs, forMs } = this.stall;
    const runMs = everyMs - forMs;
    const rounds = Math.floor((from - this.zero) / everyMs);
    const into = Math.min(from - this.zero - rounds * everyMs, runMs);
    const left = rounds * runMs + into + need;
    const after = Math.floor(left / runMs);
    return this.zero + after * everyMs + (left - after * runMs);
  }

  /** Milliseconds that so many bytes need alone, from the stalls' beginning on. */
  idealMs(bytes) {
    return this.leftAt(this.zero, bytes) - this.zero;
  }

  /** Calls `run` once so many bytes were sent. */
  cutAfter(after, run) {
    this.cut = { after, run };
  }

  /** Calls `run` half a round trip after `at`; a line's calls are in the order of their times. */
  later(at, run) {
    const due = at + this.delayMs;
    let place = this.events.length;
    while (place > 0 && this.events[place - 1].due > due) place -= 1;
    this.events.splice(place, 0, { due, run });
    this.#arm();
  }

  /** Says that a wire has something to send. */
  offer(wire) {
    if (this.ready.includes(wire)) return;
    if (this.ready.length === 0) this.freeAt = Math.max(this.freeAt, performance.now());
    this.ready.push(wire);
    this.#arm();
  }

  withdraw(wire) {
    this.ready = this.ready.filter((other) => other !== wire);
  }

  /** Sees to it that work goes on when the next thing is due. */
  #arm() {
    const next = Math.min(
      this.events[0]?.due ?? Infinity,
      this.ready.length > 0 ? this.freeAt : Infinity,
    );
    if (next >= this.alarm.at) return;
    this.alarm.stop();
    const run = () => {
      this.alarm = NO_ALARM;
      this.#work();
      this.#arm();
    };
    const wait = next - performance.now();
    if (wait < 0.5) {
      // A timer takes a millisecond at least.
      const immediate = setImmediate(run);
      this.alarm = { at: -Infinity, stop: () => clearImmediate(immediate) };
    } else {
      const timer = setTimeout(run, wait);
      this.alarm = { at: next, stop: () => clearTimeout(timer) };
    }
  }

  #work() {
    const now = performance.now();
    while (this.ready.length > 0 && this.freeAt <= now) {
      const wire = this.ready.shift();
      const part = wire.take(this.turnBytes);
      this.sent += part.length;
      this.freeAt = this.leftAt(this.freeAt, part.length);
      this.later(this.freeAt, () => wire.deliver(part));
      // Its writer may have offered it already.
      if (wire.hasMore() && !this.ready.includes(wire)) this.ready.push(wire);
      if (this.sent >= this.cut.after) {
        this.cut.after = Infinity;
        this.cut.run();
      }
    }
    while (this.events.length > 0 && this.events[0].due <= now) this.events.shift().run();
  }
}

/** One connection, as the HTTP server sees it. */
class Wire extends Duplex {
  #queue = [];
  #done = null;
  #usableAt;
  #underWay = 0;
  #arrived = null;
  /** Bytes that left. */
  sent = 0;
  /** When the client sent what it sent last. */
  askedAt = 0;

  constructor(socket, line) {
    super({ allowHalfOpen: true });
    this.socket = socket;
    this.line = line;
    this.#usableAt = performance.now() + 2 * line.delayMs;
    socket.setNoDelay(true);
    socket.on('data', (bytes) => {
      const asked = performance.now();
      const at = Math.max(asked, this.#usableAt);
      line.later(at, () => {
        this.askedAt = asked;
        if (!this.destroyed) this.push(bytes);
      });
    });
    const ended = () => this.destroyed || this.push(null);
    socket.on('end', () => line.later(performance.now(), ended));
    socket.on('error', () => this.destroy());
    socket.on('close', () => this.destroy());
    socket.on('drain', () => this.#offer());
  }

  _read() {}

  _write(bytes, _encoding, done) {
    this._writev([{ chunk: bytes }], done);
  }

  _writev(parts, done) {
    this.#queue = parts.map(({ chunk }) => chunk).filter(({ length }) => length > 0);
    if (this.#queue.length === 0) return done();
    this.#done = done;
    this.#offer();
  }

  _final(done) {
    this.line.later(this.line.freeAt, () => this.socket.end());
    done();
  }

  _destroy(error, done) {
    this.line.withdraw(this);
    this.socket.destroy();
    done(error);
  }

  #offer() {
    if (this.hasMore()) this.line.offer(this);
  }

  hasMore() {
    return this.#queue.length > 0 && this.socket.writableLength < UNREAD_BYTES;
  }

  /** At most `bytes` of what waits; the writer goes on when its last byte is taken. */
  take(bytes) {
    const part = this.#queue[0].subarray(0, bytes);
    this.#queue[0] = this.#queue[0].subarray(part.length);
    this.sent += part.length;
    this.#underWay += 1;
    if (this.#queue[0].length === 0) this.#queue.shift();
    if (this.#queue.length === 0) {
      const done = this.#done;
      this.#done = null;
      done();
    }
    return part;
  }

  deliver(part) {
    this.#underWay -= 1;
    if (this.socket.destroyed) return;
    this.socket.write(part);
    if (this.#underWay === 0) this.#arrived?.();
  }

  /** Calls `run` when all that left has arrived; it must have left. */
  whenArrived(run) {
    this.#arrived = () => {
      this.#arrived = null;
      run();
    };
    if (this.#underWay === 0) this.#arrived();
  }
}

/** Puts an HTTP server behind a line; `cut` breaks every connection and refuses new ones. */
export async function behind(line, server) {
  const wires = new Set();
  const door = createServer({ allowHalfOpen: true }, (socket) => {
    const wire = new Wire(socket, line);
    wires.add(wire);
    wire.on('close', () => wires.delete(wire));
    server.emit('connection', wire);
  });
  const address = await listen(door, '127.0.0.1', 0);
  const cut = () => {
    door.close();
    for (const wire of wires) wire.destroy();
  };
  return { ...address, cut };
}
