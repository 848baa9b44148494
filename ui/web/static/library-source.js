// What is found in the library, page by page as it is looked at: a long library is never loaded whole.
import { get } from '/studio/static/studio.js';

const PAGE = 60;
const MOST_PAGES = 60;

/** The words of a filter as they stand in an address; what is not set is left out. */
export function asAddress(filter, more = {}) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...filter, ...more })) {
    if (value !== '' && value !== null && value !== undefined && value !== false) words.set(name, String(value));
  }
  return words.toString();
}

export class Source {
  /** onChange(): something can be drawn that could not before. onError(error): a page could not be read. */
  constructor({ onChange, onError }) {
    Object.assign(this, { onChange, onError, filter: {}, total: null, pages: new Map(), busy: new Map(), run: 0 });
    this.seen = [0, 0];
  }

  /** Look for something else. What is drawn stays until the first page is there, so that nothing flickers. */
  async find(filter) {
    this.filter = filter;
    this.run += 1;
    for (const { stop } of this.busy.values()) stop.abort();
    this.busy.clear();
    this.isNew = true;
    await this.load(0);
  }

  /** The item at a place, undefined while it is not known. */
  at(index) {
    return this.pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  /** Have the items from one place to another read, if they are not. */
  want(first, last) {
    this.seen = [Math.floor(first / PAGE), Math.floor(last / PAGE)];
    for (let page = this.seen[0]; page <= this.seen[1]; page += 1) if (!this.pages.has(page)) this.load(page);
  }

  /** Read again what is seen: something changed. What is not seen is read when it is. */
  async again() {
    const [first, last] = this.seen;
    for (const page of [...this.pages.keys()]) if (page < first || page > last) this.pages.delete(page);
    const wanted = Array.from({ length: last - first + 1 }, (_, index) => first + index);
    await Promise.all(wanted.map((page) => this.load(page, { isAnew: true })));
  }

  /** Put other values into the items with these ids, until they are read again. */
  patch(ids, values) {
    const changed = new Set(ids);
    for (const items of this.pages.values()) for (const item of items) if (changed.has(item.id)) Object.assign(item, values);
    this.onChange();
  }

  /** The place of an item that has been read, -1 for one that has not. */
  placeOf(id) {
    for (const [page, items] of this.pages) {
      const index = items.findIndex((item) => item.id === id);
      if (index >= 0) return page * PAGE + index;
    }
    return -1;
  }

  /** The ids of everything that is found, in order. */
  async ids() {
    return get(`/studio/library/ids?${asAddress(this.filter)}`);
  }

  /** Read a page, once at a time. isAnew: what is on its way may be older than the change, so it is read once more. */
  load(page, { isAnew = false } = {}) {
    const busy = this.busy.get(page);
    if (busy) {
      busy.isStale ||= isAnew;
      return busy.done;
    }
    const reading = { stop: new AbortController(), isStale: false };
    this.busy.set(page, reading);
    reading.done = this.read(page, reading, this.run);
    return reading.done;
  }

  async read(page, reading, run) {
    try {
      const address = asAddress(this.filter, { offset: page * PAGE, limit: PAGE });
      const told = await get(`/studio/library?${address}`, { signal: reading.stop.signal });
      if (run !== this.run) return;
      if (this.isNew) { this.pages.clear(); this.isNew = false; }
      this.total = told.total;
      this.pages.set(page, told.items);
      this.forget();
      this.onChange();
    } catch (error) {
      if (error.name !== 'AbortError' && run === this.run) this.onError(error);
    } finally {
      if (this.busy.get(page) === reading) this.busy.delete(page);
    }
    if (reading.isStale && run === this.run) await this.load(page);
  }

  /** Keep what is near to what is seen. */
  forget() {
    const far = [...this.pages.keys()].sort((one, other) => Math.abs(other - this.seen[0]) - Math.abs(one - this.seen[0]));
    while (this.pages.size > MOST_PAGES) this.pages.delete(far.shift());
  }
}
