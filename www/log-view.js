// @ts-check
// The event list: appended to, so that a screen reader hears each event once.

import { byId, h } from "./dom.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./session.js").LogEntry} LogEntry */

/** @type {Record<LogEntry["kind"], string>} */
const KINDS = { phase: "phase", fault: "fault", note: "note", error: "error" };
const SHOWN_MAX = 300;

export class LogView {
  #list = h("ol", { class: "log" });

  constructor() {
    byId("log").append(this.#list);
  }

  /** @param {Session} session draws the whole list again, unspoken */
  show(session) {
    const box = byId("log");
    box.setAttribute("aria-live", "off");
    this.#list.replaceChildren(...session.log.map((entry) => this.#row(entry)));
    box.scrollTop = box.scrollHeight;
    setTimeout(() => box.setAttribute("aria-live", "polite"));
  }

  /** @param {LogEntry} entry */
  append(entry) {
    const box = byId("log");
    const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 24;
    this.#list.append(this.#row(entry));
    if (this.#list.childElementCount > SHOWN_MAX) this.#list.firstElementChild?.remove();
    if (atEnd) box.scrollTop = box.scrollHeight;
  }

  /** @param {LogEntry} entry */
  #row({ at, kind, text }) {
    return h("li", { "data-kind": kind },
      h("time", { datetime: at.toISOString() }, at.toTimeString().slice(0, 8)),
      h("span", { class: "kind" }, KINDS[kind]),
      h("span", { class: "what" }, text));
  }
}
