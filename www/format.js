// @ts-check
// Numbers, bytes and hashes as people read them. Pure functions.

const utf8 = new TextDecoder("utf-8", { fatal: true });
const NBSP = "\u00a0";

/** @param {number} n */
export function count(n) {
  return n.toLocaleString("en");
}

/** @param {number} n bytes */
export function bytes(n) {
  if (n < 1024) return `${Math.round(n)}${NBSP}B`;
  const units = ["KiB", "MiB", "GiB"];
  let value = n;
  let unit = -1;
  do {
    value /= 1024;
    unit += 1;
  } while (value >= 1000 && unit < units.length - 1);
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)}${NBSP}${units[unit]}`;
}

/** @param {number | null} ms */
export function duration(ms) {
  if (ms === null || !Number.isFinite(ms)) return "–";
  if (ms < 10) return `${ms.toFixed(1)}${NBSP}ms`;
  if (ms < 1000) return `${Math.round(ms)}${NBSP}ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)}${NBSP}s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}${NBSP}min ${seconds % 60}${NBSP}s`;
}

/** @param {string} hex */
export function shortHash(hex) {
  return hex.length <= 20 ? hex : `${hex.slice(0, 10)}…${hex.slice(-6)}`;
}

/** @param {Uint8Array} data */
export function hex(data) {
  return Array.from(data, (b) => b.toString(16).padStart(2, "0")).join("");
}

/**
 * The bytes as text, or null when they are not UTF-8 or hold control characters.
 * @param {Uint8Array} data
 * @returns {string | null}
 */
export function asText(data) {
  try {
    const text = utf8.decode(data);
    return /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

/**
 * A key for display: its text, or its hex.
 * @param {Uint8Array} key
 */
export function keyText(key) {
  return asText(key) ?? `0x${hex(key)}`;
}

/**
 * @param {number} n
 * @param {string} one
 * @param {string} [many]
 */
export function plural(n, one, many = `${one}s`) {
  return `${count(n)}${NBSP}${n === 1 ? one : many}`;
}
