// What all scripts of the page share: words, elements, requests, polling, errands, toasts, shortcuts.

// The tab that somebody chooses goes into the address. This listens before it waits for anything: a tab may be chosen
// before the scripts of the page are there.
document.addEventListener('click', (event) => {
  const [, tab] = /^tab-(\w+)-button$/.exec(event.target.closest?.('button[role=tab]')?.id ?? '') ?? [];
  if (tab && tabInAddress() !== tab) history.pushState(null, '', `#${tab}`);
});

const answer = await fetch('/studio/words.json');
const words = await answer.json();

/** The sentence of this name, its gaps filled. */
export function say(name, values = {}) {
  return (words[name] ?? name).replace(/\{(\w+)\}/g, (gap, key) => (key in values ? String(values[key]) : gap));
}

/** An element: el('button.primary', {type: 'button', onclick, 'aria-label': '...'}, child, 'text').
 *  Text is always text: nothing that somebody typed is ever read as markup. */
export function el(selector, attributes = {}, ...children) {
  const [tag, ...classes] = selector.split('.');
  const svg = SVG_TAGS.has(tag);
  const node = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag || 'div');
  if (classes.length) node.setAttribute('class', classes.join(' '));
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name in PROPERTIES) node[PROPERTIES[name]] = value;
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.flat(4).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
const SVG_TAGS = new Set(['svg', 'path', 'line', 'polyline', 'polygon', 'rect', 'circle', 'g', 'text', 'title-svg']);
const PROPERTIES = { value: 'value', checked: 'checked', disabled: 'disabled', muted: 'muted', srcObject: 'srcObject' };

/** Ask for JSON. Throws an Error whose `told` is what the studio said: message, field, got, allowed, fix. */
export async function get(path, { signal } = {}) {
  return read(await fetch(path, { headers: { accept: 'application/json' }, signal }));
}

/** Send JSON, or a FormData, and read JSON. method: POST unless told. */
export async function post(path, body = {}, { method = 'POST', signal } = {}) {
  const isForm = body instanceof FormData;
  const headers = isForm ? {} : { 'content-type': 'application/json' };
  return read(await fetch(path, { method, headers, body: isForm ? body : JSON.stringify(body), signal }));
}

async function read(response) {
  if (response.status === 401) location.assign('/login');
  const data = await response.json().catch(() => null);
  if (response.ok) return data;
  const told = data?.error ?? { message: `${response.status} ${response.statusText}` };
  const error = new Error([told.message, told.fix].filter(Boolean).join('. '));
  error.told = told;
  error.status = response.status;
  throw error;
}

/** Do something that may fail, and tell the user in a toast if it does. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    toast(error.message, { kind: 'bad' });
    return undefined;
  }
}

/** Read a path again and again while the page is seen; `show` is called when the answer has changed.
 *  All pollers of one path share one request. Returns {stop, now, anew}: anew() has the next answer shown even if it is
 *  the same, for who learned of something newer in another way. */
export function poll(path, show, { seconds = 1 } = {}) {
  let poller = pollers.get(path);
  if (!poller) pollers.set(path, (poller = new Poller(path)));
  return poller.add(show, seconds * 1000);
}
const pollers = new Map();

class Poller {
  constructor(path) {
    Object.assign(this, { path, shows: new Map(), etag: null, last: undefined, timer: null, failures: 0, isRefused: false, isBusy: false });
    this.whenSeen = () => !document.hidden && this.look();
    document.addEventListener('visibilitychange', this.whenSeen);
  }

  add(show, interval) {
    this.shows.set(show, interval);
    if (this.last !== undefined) this.draw([show]);
    this.look();
    return { stop: () => this.remove(show), now: () => this.look(), anew: () => { this.etag = null; } };
  }

  remove(show) {
    this.shows.delete(show);
    if (this.shows.size) return;
    clearTimeout(this.timer);
    document.removeEventListener('visibilitychange', this.whenSeen);
    if (pollers.get(this.path) === this) pollers.delete(this.path);
  }

  async look() {
    clearTimeout(this.timer);
    if (!this.shows.size) return;
    if (this.isBusy) { this.isAskedAgain = true; return; }
    this.isBusy = true;
    const answer = await this.ask();
    this.isBusy = false;
    if (answer) {
      this.last = answer.told;
      if (this.draw([...this.shows.keys()])) this.etag = answer.etag; // what was not drawn is told again
    }
    if (this.isAskedAgain) { this.isAskedAgain = false; this.look(); return; }
    if (this.shows.size && !document.hidden) this.timer = setTimeout(() => this.look(), this.pause());
  }

  /** What is new: {told, etag}. Null if nothing is, or nobody answered. */
  async ask() {
    try {
      const response = await fetch(this.path, { headers: this.etag ? { 'if-none-match': this.etag } : {} });
      if (response.status === 401) location.assign('/login');
      if (response.status >= 500) throw new Error(response.statusText);
      const told = response.ok ? await response.json() : null;
      this.isRefused = response.status >= 400; // gone, or not for this visitor: that does not mend itself soon
      if (this.failures > 1) toast(say('shell.online'));
      this.failures = 0;
      return told && { told, etag: response.headers.get('etag') };
    } catch {
      if (++this.failures === 2) toast(say('shell.offline'), { kind: 'bad', seconds: 10 });
      return null;
    }
  }

  /** Whether all of them could show it. One that cannot is the page's own fault, not the studio's. */
  draw(shows) {
    let isDrawn = true;
    for (const show of shows) {
      try { show(this.last); } catch (error) { isDrawn = false; reportError(error); }
    }
    return isDrawn;
  }

  pause() {
    const usual = Math.min(...this.shows.values());
    if (this.isRefused) return Math.max(usual, REFUSED_PAUSE_MS);
    return Math.min(usual * Math.min(2 ** this.failures, 16), Math.max(usual, LONGEST_PAUSE_MS));
  }
}
const REFUSED_PAUSE_MS = 30_000;
const LONGEST_PAUSE_MS = 16_000;

/** Look at once at everything that is polled: something was just changed from here. */
export function refresh() {
  for (const poller of [...pollers.values()]) poller.look();
}

// -- errands: from one tab to another ----------------------------------------------------------------------------

const errands = new Map();
const undelivered = new Map();
let carry = null;

/** Show a tab, and tell it what to do: send({to: 'create', do: 'again', asset: ID}). One with a `file` is for scripts alone. */
export function send(errand) {
  showTab(errand.to);
  const listeners = errands.get(errand.to) ?? [];
  for (const listener of listeners) listener(errand);
  if (!listeners.length) undelivered.set(errand.to, errand); // its script is loaded when the tab is first shown
  if (!errand.file) carry?.(errand);
}

/** Hear the errands of a tab. One that came before the script was there is told at once. */
export function onErrand(to, listener) {
  errands.set(to, [...(errands.get(to) ?? []), listener]);
  const waiting = undelivered.get(to);
  if (waiting) { undelivered.delete(to); listener(waiting); }
}

/** For the courier alone: it takes errands on to Python. */
export function setCourier(deliver) {
  carry = deliver;
}

/** Show a tab by its id. */
export function showTab(name) {
  document.getElementById(`tab-${name}-button`)?.click();
}

/** The id of the tab that is shown. */
export function shownTab() {
  return document.querySelector('button[role=tab][aria-selected=true]')?.id.replace(/^tab-|-button$/g, '') ?? null;
}

/** The id of the tab in the address, `#library/...`; empty if there is none. */
export function tabInAddress() {
  return location.hash.slice(1).split('/')[0];
}

// -- telling ------------------------------------------------------------------------------------------------------

/** Say something in the corner. kind: note or bad. action: {label, run}, such as undo. */
export function toast(text, { kind = 'note', seconds = 6, action = null } = {}) {
  const corner = document.getElementById('toasts') ?? makeCorner();
  const button = action && el('button.plain', { type: 'button', onclick: () => { item.remove(); action.run(); } }, action.label);
  const close = el('button.plain', { type: 'button', 'aria-label': say('shell.close'), onclick: () => item.remove() }, '×');
  const item = el(`div.toast.${kind}`, { role: kind === 'bad' ? 'alert' : 'status' }, el('span', {}, text), button, close);
  // The same words twice say no more than once; two ways back are two.
  const saidBefore = [...corner.children].filter((other) => !action && other.textContent === item.textContent);
  for (const other of saidBefore) other.remove();
  corner.append(item);
  setTimeout(() => item.remove(), seconds * 1000);
  return item;
}

function makeCorner() {
  const corner = el('div', { id: 'toasts', role: 'region', 'aria-label': say('shell.title') });
  document.body.append(corner);
  return corner;
}

// -- shortcuts ----------------------------------------------------------------------------------------------------

const shortcuts = [];

/** Listen to a key while a tab is shown (null: always), unless somebody is typing. key: as KeyboardEvent.key. */
export function shortcut(key, tab, run) {
  shortcuts.push({ key, tab, run });
}

document.addEventListener('keydown', (event) => {
  const isTyping = event.target.closest?.('input, textarea, select, [contenteditable=true], [role=slider]');
  if (isTyping && event.key === 'Escape' && !event.defaultPrevented) event.target.blur(); // and the keys below work again
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (document.querySelector('dialog[open]')) return;
  const found = shortcuts.find((item) => item.key === event.key && (item.tab === null || item.tab === shownTab()));
  if (found) { event.preventDefault(); found.run(event); }
});

// -- figures ------------------------------------------------------------------------------------------------------

export function bytes(number) {
  if (number === null || number === undefined) return '–';
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let index = 0;
  while (number >= 1000 && index < units.length - 1) { number /= 1000; index += 1; }
  return `${number >= 100 || index === 0 ? Math.round(number) : number.toFixed(1)} ${units[index]}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export function money(cost) {
  return cost ? `${cost.amount.toFixed(cost.amount !== 0 && cost.amount < 0.1 ? 3 : 2)} ${cost.currency}` : '–';
}

export function moment(iso) {
  return iso ? new Date(iso).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' }) : '–';
}

/** The address of a sealed file, byte for byte. */
export function media(assetId) {
  return `/studio/media/${encodeURIComponent(assetId)}`;
}
