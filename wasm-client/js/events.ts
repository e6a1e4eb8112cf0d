/** The replay of an event log (docs/spec/events.md): in order, without a gap, from where it was. */
import { PackiceError } from "./errors.js";
import type { EventOptions, LoggedEvent, Reader } from "./types.js";

const utf8 = new TextDecoder("utf-8", { fatal: true });

export async function* replay(
  reader: Reader,
  collection: string,
  { after = 0, signal }: EventOptions,
): AsyncGenerator<LoggedEvent, void, undefined> {
  if (!Number.isSafeInteger(after) || after < 0) {
    throw new PackiceError("misuse/after", "after: it is the number of an event, or 0");
  }
  // Begins with the one that was replayed last: where it is gone, the log was rolled back.
  let expected = Math.max(after, 1);
  const range = { start: key(expected), ...(signal && { signal }) };
  for await (const record of reader.range(collection, range)) {
    const found = sequence(record.key);
    if (found !== expected) {
      const message = `event ${expected} is missing: the publisher's log has a gap`;
      throw new PackiceError("events/gap", message);
    }
    expected += 1;
    if (found > after) yield parse(found, record.value);
  }
  if (after > 0 && expected === after) {
    const message = `event ${after} was replayed and is not in the log: it was rolled back`;
    throw new PackiceError("events/rolled-back", message);
  }
}

function parse(sequence: number, value: Uint8Array): LoggedEvent {
  try {
    const { kind, at, data } = JSON.parse(utf8.decode(value)) as Partial<LoggedEvent>;
    if (typeof kind === "string" && typeof at === "number") return { sequence, kind, at, data };
  } catch {
    // It is said below.
  }
  const message = `event ${sequence} is not an object with kind, at and data`;
  throw new PackiceError("events/malformed", message);
}

function key(sequence: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(sequence));
  return bytes;
}

function sequence(key: Uint8Array): number {
  if (key.length !== 8) return NaN;
  return Number(new DataView(key.buffer, key.byteOffset).getBigUint64(0));
}
