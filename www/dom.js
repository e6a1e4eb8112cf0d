// @ts-check
// Elements without markup strings: text goes in as text, so data can never become HTML.

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | null | undefined | false} Child */
/** @typedef {Record<string, string | number | boolean | null | undefined | EventListener>} Props */

/**
 * @param {Element} element
 * @param {Props} props
 */
function assign(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Props} [props] attributes; functions become listeners of the event so named
 * @param {Child[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  assign(element, props);
  for (const child of children) if (child) element.append(child);
  return element;
}

/**
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Props} [props]
 * @param {Child[]} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(tag, props = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  assign(element, props);
  for (const child of children) if (child) element.append(child);
  return element;
}

/**
 * The element of index.html with this id.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no element #${id}`);
  return element;
}

/**
 * Writes only what changed: spares layout, and a screen reader hears nothing twice.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {string} message spoken by a screen reader, not shown */
export function announce(message) {
  setText(byId("announce"), message);
}

/**
 * A shortened hash that copies itself whole.
 * @param {string} full
 * @param {string} shown
 * @param {string} what
 */
export function copyable(full, shown, what) {
  const label = h("span", {}, shown);
  const mark = h("span", { class: "copy-mark", "aria-hidden": "true" }, "copy");
  const button = h(
    "button",
    { type: "button", class: "hash", title: full, "aria-label": `Copy ${what} ${shown}` },
    label,
    mark,
  );
  button.addEventListener("click", async () => {
    let done = "copied";
    try {
      await navigator.clipboard.writeText(full);
    } catch {
      done = "blocked";
    }
    mark.textContent = done;
    announce(done === "copied" ? `${what} copied` : "The browser refused the clipboard");
    setTimeout(() => (mark.textContent = "copy"), 1500);
  });
  return button;
}
