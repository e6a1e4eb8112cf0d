// @ts-check
// A value as a person wants to see it: a token as a card, browser support as a table, other JSON
// indented and coloured, text as text, and bytes as hex. Everything goes in as text: names and
// addresses in these sets are written by strangers, so no image is loaded and no link is made.

import { h } from "./dom.js";
import { asText, bytes, count, hex } from "./format.js";

const SHOWN_MAX = 24_000;

/** @typedef {Record<string, unknown>} Json */

/** @param {unknown} value @returns {value is Json} */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @param {string} text @returns {unknown} undefined when it is not JSON */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * @param {Uint8Array} value
 * @returns {HTMLElement}
 */
export function valueElement(value) {
  if (value.length === 0) {
    return h("p", { class: "note" }, "The value is empty: the key alone is the record.");
  }
  const text = asText(value);
  if (text === null) return block(hex(value.subarray(0, 2048)), value.length, "bytes, as hex");
  const json = parse(text);
  if (!isObject(json) && !Array.isArray(json)) return block(text, value.length, "text");
  const card = isObject(json) ? tokenCard(json) ?? supportTable(json) : null;
  const pretty = jsonBlock(json, value.length);
  if (!card) return pretty;
  return h("div", {}, card, h("details", { class: "raw" }, h("summary", {}, "As JSON"), pretty));
}

/**
 * @param {string} text
 * @param {number} length
 * @param {string} kind
 */
function block(text, length, kind) {
  return h("figure", { class: "value" },
    h("pre", { tabindex: "0" }, text.slice(0, SHOWN_MAX)),
    h("figcaption", {}, `${bytes(length)} of ${kind}`));
}

/**
 * @param {unknown} json
 * @param {number} length
 */
function jsonBlock(json, length) {
  const text = JSON.stringify(json, null, 2);
  const shown = text.slice(0, SHOWN_MAX);
  const pre = h("pre", { tabindex: "0" });
  // Strings (with the colon that makes them keys), numbers, and words; all else is punctuation.
  const token = /("(?:\\.|[^"\\])*")(\s*:)?|-?\d[\d.eE+-]*|\b(?:true|false|null)\b/g;
  let from = 0;
  for (const match of shown.matchAll(token)) {
    const [all, string, colon] = match;
    pre.append(shown.slice(from, match.index));
    const kind = string === undefined ? "j-atom" : colon === undefined ? "j-text" : "j-key";
    pre.append(h("span", { class: kind }, string ?? all), colon ?? "");
    from = match.index + all.length;
  }
  pre.append(shown.slice(from));
  const more = text.length > shown.length ? `, the first ${count(SHOWN_MAX)} characters` : "";
  return h("figure", { class: "value" }, pre,
    h("figcaption", {}, `${bytes(length)} of JSON${more}`));
}

/** @param {Json} json */
function tokenCard(json) {
  const { symbol, name, decimals, tags } = json;
  if (typeof symbol !== "string" || typeof name !== "string") return null;
  const extensions = isObject(json.extensions) ? json.extensions : {};
  /** @type {[string, unknown][]} */
  const rows = [["Decimals", decimals], ["Tags", Array.isArray(tags) ? tags.join(", ") : ""],
    ["Website", extensions.website], ["CoinGecko", extensions.coingeckoId]];
  const shown = rows.filter(([, v]) => typeof v === "number" || (typeof v === "string" && v));
  return h("div", { class: "token" },
    h("div", { class: "token-sign", "aria-hidden": "true" },
      Array.from(symbol).slice(0, 4).join("")),
    h("div", {},
      h("p", { class: "token-name" }, name),
      h("p", { class: "token-symbol" }, symbol)),
    h("dl", {}, ...shown.map(([term, v]) =>
      h("div", {}, h("dt", {}, term), h("dd", {}, String(v))))));
}

/** @param {Json} json a feature of browser-compat-data, or its `__compat` */
function supportTable(json) {
  const compat = isObject(json.__compat) ? json.__compat : json;
  if (!isObject(compat.support)) return null;
  const cells = Object.entries(compat.support).map(([browser, entry]) => {
    const newest = Array.isArray(entry) ? entry[0] : entry;
    const added = isObject(newest) ? newest.version_added : undefined;
    const removed = isObject(newest) && newest.version_removed;
    const has = added !== false && added !== null && added !== undefined && !removed;
    const gone = removed && typeof added === "string" ? `${added} to ${String(removed)}` : "no";
    const since = has ? (added === true ? "yes" : String(added)) : gone;
    return h("div", { "data-has": String(has) },
      h("dt", {}, browser.replaceAll("_", " ")), h("dd", {}, since));
  });
  return cells.length === 0 ? null : h("dl", { class: "support" }, ...cells);
}
