// @ts-check
// The page: loads demo.json, lets a data set be chosen, and keeps the views in step with it.
//
// For a headless driver:
// * `?set=ID` opens that data set; with `&auto=1` it syncs at once, as a visitor's choice does.
// * `window.packiceDemo.ready` resolves to the ids of the data sets once the page is usable.
// * `window.packiceDemo.dataset(id, { sync })` chooses the data set as a click on its tab would
//   (`sync: false` opens it without syncing) and resolves, once it is open, to
//   `{ id, dataset, marks, status, bundles, faults }`: the open Dataset of the public API, and
//   the marks `{ opened, firstVerified, complete }` in ms since open() was called, null until
//   reached. `marks` is live; after "Forget local data" ask again.
// * On <html>: `data-phase` ("none" before a choice, then the Phase of the chosen data set),
//   `data-set`, `data-version`, `data-stored`, `data-running`, `data-synced` (a sync ended well
//   since the set was chosen), `data-error` (the stable code).
// * `#lookup-result[data-answer]` is present, absent, unknown, busy or error.
// * `#change [data-to]` is a version that came since; `#publish-change` has one published where
//   demo.json says how, `#roll-back` goes to the version before.
//   Buttons: #sync #cancel #reload #forget #show-proof #browse-show #browse-next.

import { BrowseView } from "./browse-view.js";
import { ChangeView } from "./change-view.js";
import { byId, h, setText } from "./dom.js";
import { drawIntro } from "./intro-view.js";
import { LogView } from "./log-view.js";
import { LookupView } from "./lookup-view.js";
import { MapView } from "./map-view.js";
import { ProofView } from "./proof-view.js";
import { describeError, Session } from "./session.js";
import { SourcesView } from "./sources-view.js";
import { StatusView } from "./status-view.js";

/** @typedef {import("./session.js").Config} Config */

/** @type {Map<string, Session>} */
const sessions = new Map();
/** @type {Map<string, { tab: HTMLButtonElement, state: HTMLElement }>} */
const tabs = new Map();
/** @type {Session | null} */
let current = null;
let frame = 0;

drawIntro();
const proof = new ProofView();
const lookup = new LookupView((session, collection, key) => proof.show(session, collection, key));
const browse = new BrowseView((collection, key) => {
  byId("lookup-title").scrollIntoView({ block: "start" });
  void lookup.ask(collection, key);
});
const map = new MapView();
const change = new ChangeView();
const sources = new SourcesView();
const log = new LogView();
const status = new StatusView({
  onSync: () => current && startSync(current),
  onCancel: () => {
    current?.cancel();
    if (current) remember(current, false);
  },
  onForget: () => current && void forget(current),
});

/** The address says what a reload shall do: a sync that was cancelled is not begun again. */
function remember(/** @type {Session} */ session, /** @type {boolean} */ auto) {
  const query = new URLSearchParams(location.search);
  query.set("set", session.config.id);
  if (auto) query.set("auto", "1");
  else query.delete("auto");
  history.replaceState(null, "", `?${query}`);
}

/** @param {Session} session */
async function startSync(session) {
  remember(session, true);
  await session.sync();
  if (session === current) status.announceEnd(session);
}

/** @param {Session} session */
async function forget(session) {
  remember(session, false);
  proof.clear();
  lookup.clear();
  browse.clear();
  try {
    await session.forget();
  } catch (error) {
    session.note(`The local data could not be deleted: ${describeError(error).message}`);
  }
  if (session === current) map.show(session);
  render();
}

function render() {
  frame = 0;
  for (const [id, { tab, state }] of tabs) {
    const session = sessions.get(id);
    const chosen = session !== undefined && session === current;
    tab.setAttribute("aria-selected", String(chosen));
    setText(state, session ? brief(session) : "");
    state.dataset.failed = String(Boolean(session?.error));
  }
  if (!current) return;
  status.update(current);
  sources.update(current);
  map.update(current);
  change.update(current);
  lookup.update(current);
  browse.update(current);
}

/** @param {Session} session one word or two for its tab */
function brief({ status: held, phase, running, error, dataset }) {
  if (error) return "failed";
  if (running) return phase === "idle" ? "opening" : phase;
  if (held?.stored) return `version ${held.version}, stored`;
  return dataset ? "open" : "";
}

/** @param {Session} session what drivers read, at once and not with the next frame */
function mirror({ config, phase, status: held, running, synced, error }) {
  const root = document.documentElement.dataset;
  root.set = config.id;
  root.phase = phase;
  root.version = held?.version == null ? "" : String(held.version);
  root.stored = String(held?.stored === true);
  root.running = String(running);
  root.synced = String(synced);
  root.error = error?.code ?? "";
}

/**
 * @param {Session} session
 * @param {boolean} sync
 */
function choose(session, sync) {
  if (session !== current) {
    current = session;
    byId("intro").hidden = true;
    byId("panel").hidden = false;
    byId("panel").setAttribute("aria-labelledby", `tab-${session.config.id}`);
    focusable(session.config.id);
    proof.clear();
    lookup.show(session);
    browse.show(session);
    map.show(session);
    log.show(session);
    remember(session, sync);
    mirror(session);
    render();
  }
  if (sync && !session.running && !session.synced) void startSync(session);
  // A failure to open is in the session's error, and shown from there.
  else session.open().catch(() => {});
}

/** @param {string} id the one tab the Tab key reaches */
function focusable(id) {
  for (const [other, { tab }] of tabs) tab.tabIndex = other === id ? 0 : -1;
}

/** @param {KeyboardEvent} event arrows move, Enter and Space choose: choosing costs a download */
function onTabKey(event) {
  const ids = [...tabs.keys()];
  const at = ids.findIndex((id) => tabs.get(id)?.tab === document.activeElement);
  const last = ids.length - 1;
  /** @type {Record<string, number>} */
  const moves = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1,
    Home: 0, End: last };
  const to = moves[event.key];
  if (at < 0 || to === undefined) return;
  event.preventDefault();
  const id = ids[(to + ids.length) % ids.length] ?? "";
  focusable(id);
  tabs.get(id)?.tab.focus();
}

/** @param {Config} config */
function addDataset(config) {
  const session = new Session(config);
  sessions.set(config.id, session);
  session.addEventListener("change", () => {
    if (session === current) mirror(session);
    frame ||= requestAnimationFrame(render);
  });
  session.addEventListener("log", (event) => {
    if (session === current) log.append(/** @type {CustomEvent} */ (event).detail);
  });
  const state = h("span", { class: "tab-state" });
  const tab = h("button", { type: "button", role: "tab", id: `tab-${config.id}`, class: "tab",
    "aria-selected": "false", "aria-controls": "panel", tabindex: tabs.size === 0 ? "0" : "-1",
    click: () => choose(session, true), keydown: /** @type {EventListener} */ (onTabKey) },
    h("b", {}, config.title), h("span", { class: "about" }, config.about), state);
  tabs.set(config.id, { tab, state });
  byId("sets").append(tab);
}

/** @returns {Promise<string[]>} */
async function boot() {
  const response = await fetch("./demo.json", { cache: "no-cache" });
  if (!response.ok) throw new Error(`demo.json: HTTP ${response.status}`);
  /** @type {{ datasets: Config[] }} */
  const config = await response.json();
  config.datasets.forEach(addDataset);
  const query = new URLSearchParams(location.search);
  const chosen = sessions.get(query.get("set") ?? "");
  if (chosen) choose(chosen, query.get("auto") === "1");
  return [...sessions.keys()];
}

const ready = boot();
ready.catch((error) => {
  const alert = byId("boot-error");
  alert.hidden = false;
  setText(alert, `The list of data sets cannot be read (${describeError(error).message}). ` +
    "`cargo xtask demo` writes demo.json beside this page.");
});

Object.assign(window, {
  packiceDemo: {
    ready,
    async dataset(/** @type {string} */ id, { sync = true } = {}) {
      await ready;
      const session = sessions.get(id);
      if (!session) throw new Error(`no data set ${id}; there are ${[...sessions.keys()]}`);
      if (session !== current) choose(session, sync);
      await session.open();
      const { dataset, marks, status: held, bundles, faults } = session;
      return { id, dataset, marks, status: held, bundles, faults };
    },
  },
});
