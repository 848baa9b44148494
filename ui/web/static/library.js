// The Library: filters, the grid, what is done with many, and the panel of one clip.
import { el, get, onErrand, poll, say, shortcut, showTab } from '/studio/static/studio.js';
import { Grid } from '/studio/static/library-grid.js';
import { Source } from '/studio/static/library-source.js';
import { askForCollection, askForStars, askForTags, counted, deleteForGood, putIntoBin, saveZip, showCollections, takeOut, takeOutOfCollection } from '/studio/static/library-bulk.js';
import { detailPanel } from '/studio/static/library-detail.js';
import { filterRow } from '/studio/static/library-filters.js';

const FACETS = '/studio/library/facets';
const SECONDS = 3;
const PAUSE = 160; // milliseconds on a cell before the open panel follows the keys

export function mount({ element }) {
  element.replaceChildren(new Library().element);
}

class Library {
  constructor() {
    this.facets = { total: 0, binned: 0, models: [], tags: [], collections: [], ratings: [], visitor: { may_change: false, is_admin: false } };
    this.selection = new Set();
    this.anchor = 0;
    this.awaited = null;
    this.isInBin = false;
    this.source = new Source({ onChange: () => this.changed(), onError: (error) => this.fail(error) });
    this.grid = new Grid({ source: this.source, selection: this.selection, on: {
      pick: (index, event) => this.pick(index, event), toggle: (index) => this.toggle(index), open: (index) => this.open(index),
      move: (index) => this.move(index), key: (event) => this.key(event),
    } });
    this.filters = filterRow({ changed: () => this.find(), manage: () => showCollections(this.facets, () => this.reload()) });
    this.detail = detailPanel({
      changed: (ids, values) => (values ? this.source.patch(ids, values) : this.again()),
      step: (number) => this.step(number), show: (id) => this.showAsset(id), close: () => this.close(),
    });
    this.build();
    this.find();
    this.follow();
    onErrand('library', (errand) => errand.do === 'show' && this.showAsset(errand.asset));
    shortcut('Escape', 'library', () => this.close());
  }

  build() {
    this.count = el('span.library-count', { role: 'status' });
    this.chosen = el('div.row', {});
    this.bin = el('button', { type: 'button', 'aria-pressed': 'false', onclick: () => this.toggleBin() }, say('library.bin'));
    this.note = el('div.empty.library-empty', { hidden: true });
    this.problem = el('p.library-problem', { role: 'alert' });
    const bar = el('div.row.library-bar', {}, this.count, this.chosen, this.bin);
    const main = el('div.library-main', {}, this.problem, this.grid.element, this.note);
    this.element = el('div.library', {}, this.filters.element, bar, el('div.library-split', {}, main, this.detail.element));
  }

  /** Look again while the tab is seen: clips come in, and others change what is here. */
  follow() {
    new IntersectionObserver(([seen]) => {
      if (seen.isIntersecting) this.poller ??= poll(FACETS, (facets) => this.hear(facets), { seconds: SECONDS });
      else if (this.poller) { this.poller.stop(); this.poller = null; }
    }).observe(this.element);
  }

  hear(facets) {
    if (this.take(facets)) this.source.again();
  }

  /** Offer what there is. Returns whether it is news. */
  take(facets) {
    this.facets = facets;
    this.filters.offer(facets);
    this.bin.textContent = facets.binned ? say('library.bin_counted', { count: facets.binned }) : say('library.bin');
    const heard = JSON.stringify(facets);
    const isNews = heard !== this.heard;
    this.heard = heard;
    this.tell();
    return isNews;
  }

  async reload() {
    if (await this.ask()) this.source.again();
    return this.facets;
  }

  /** Ask what there is outside of the usual time, and have the next usual answer heard even if that one was told before. */
  async ask() {
    const facets = await get(FACETS);
    this.poller?.anew();
    return this.take(facets);
  }

  // -- what is found ----------------------------------------------------------------------------------------------

  find() {
    this.selection.clear();
    this.awaited = null;
    this.grid.toTop();
    this.problem.textContent = '';
    return this.source.find({ ...this.filters.wanted(), in_bin: this.isInBin });
  }

  /** Read both again, what there is first: what changes after that is news at the next look, whatever was read since. */
  async again() {
    try {
      await this.ask();
      await this.source.again();
    } catch (error) {
      this.fail(error);
    }
  }

  changed() {
    this.problem.textContent = '';
    this.chooseAwaited();
    this.grid.draw();
    this.tell();
  }

  fail(error) {
    this.problem.textContent = say('library.failed', { reason: error.message });
  }

  toggleBin() {
    this.isInBin = !this.isInBin;
    this.bin.setAttribute('aria-pressed', String(this.isInBin));
    this.close();
    this.find();
  }

  // -- what is chosen ---------------------------------------------------------------------------------------------

  async pick(index, event) {
    if (event.shiftKey) { await this.range(this.anchor, index); return; }
    this.anchor = index;
    if (event.ctrlKey || event.metaKey) { this.toggle(index); return; }
    this.only(index);
    this.open(index);
  }

  /** Keys came to a cell: it alone is chosen, and shown where the panel is open, once the keys rest. */
  move(index) {
    this.anchor = index;
    this.only(index);
    clearTimeout(this.timer);
    if (this.detail.shown()) this.timer = setTimeout(() => this.open(this.grid.active), PAUSE);
  }

  only(index) {
    this.selection.clear();
    this.awaited = index;
    this.changed();
  }

  /** Choose the one that keys came to, as soon as it is read. */
  chooseAwaited() {
    const item = this.awaited === null ? undefined : this.source.at(this.awaited);
    if (!item) return;
    this.awaited = null;
    this.selection.add(item.id);
  }

  toggle(index) {
    const item = this.source.at(index);
    if (!item) return;
    this.awaited = null;
    this.anchor = index;
    if (!this.selection.delete(item.id)) this.selection.add(item.id);
    this.changed();
  }

  /** Choose from one place to another; what was not read yet is asked for by its ids alone. */
  async range(first, last) {
    const [from, to] = first < last ? [first, last] : [last, first];
    const known = Array.from({ length: to - from + 1 }, (_, place) => this.source.at(from + place)?.id);
    const ids = known.includes(undefined) ? (await this.source.ids()).ids.slice(from, to + 1) : known;
    this.selection.clear();
    for (const id of ids) this.selection.add(id);
    this.changed();
  }

  async all() {
    const { ids, total } = await this.source.ids();
    for (const id of ids) this.selection.add(id);
    this.changed();
    this.problem.textContent = total > ids.length ? say('library.too_many', { count: ids.length }) : '';
  }

  none() {
    this.selection.clear();
    this.awaited = null;
    this.changed();
  }

  key(event) {
    if ((event.ctrlKey || event.metaKey) && event.key === 'a') { event.preventDefault(); this.all(); }
    if (event.key === 'Delete' && this.selection.size && this.facets.visitor.may_change) { event.preventDefault(); this.remove(); }
    if (event.key === 'Escape' && this.selection.size) { event.preventDefault(); this.none(); }
  }

  // -- what is done -----------------------------------------------------------------------------------------------

  /** Something was done with these. isMoved: they are not where they were, into the bin or out of it, or gone. */
  done(ids, isMoved = false) {
    const isShown = ids === null || ids.includes(this.detail.shown());
    if (isShown && isMoved) this.close();
    else if (isShown) this.detail.renew();
    this.none();
    this.again();
  }

  remove() {
    const ids = [...this.selection];
    if (this.isInBin) deleteForGood(ids, () => this.done(ids, true));
    else putIntoBin(ids, () => this.done(ids, true));
  }

  actions() {
    const ids = [...this.selection];
    const done = () => this.done(ids);
    const button = (name, run, kind = '') => el(`button${kind}`, { type: 'button', 'data-do': name, onclick: run }, say(`library.do.${name}`));
    const zip = button('zip', () => saveZip(ids));
    if (!this.facets.visitor.may_change) return [zip];
    if (this.isInBin) return [button('restore', () => takeOut(ids, () => this.done(ids, true))), zip, button('delete', () => this.remove(), '.danger')];
    const collection = this.filters.collection();
    return [
      button('tag', () => askForTags(ids, this.facets, done)), button('rate', () => askForStars(ids, done)),
      button('collect', () => askForCollection(ids, this.facets, done)),
      collection ? button('uncollect', () => takeOutOfCollection(ids, collection, done)) : null,
      zip, button('bin', () => this.remove(), '.danger'),
    ].filter(Boolean);
  }

  /** Say how many there are, how many are chosen, and offer what can be done with these. */
  tell() {
    const { total } = this.source;
    if (total === null) return;
    const all = total === 0 ? say('library.total_none') : counted('library.total', total);
    const size = this.selection.size;
    const words = size ? `${all}, ${say('library.selected', { count: size })}` : all;
    if (this.count.textContent !== words) this.count.textContent = words;
    const state = [size, this.isInBin, this.filters.collection(), total > 0, this.facets.visitor.may_change, this.facets.binned > 0,
      this.facets.collections.length, [...this.selection].join()].join('|');
    if (state !== this.state) {
      this.state = state;
      const some = size ? [...this.actions(), this.button('select_none', () => this.none())] : [];
      const any = total && !size ? [this.button('select_all', () => this.all())] : [];
      const empty = this.isInBin && !size && this.facets.visitor.may_change && total
        ? [el('button.danger', { type: 'button', onclick: () => deleteForGood(null, () => this.done(null, true)) }, say('library.do.empty_bin'))] : [];
      const note = this.isInBin && !size && total ? [el('span.quiet', {}, say('library.in_bin_note'))] : [];
      this.chosen.replaceChildren(...some, ...any, ...empty, ...note);
    }
    this.tellEmpty(total);
  }

  button(name, run) {
    return el('button.plain', { type: 'button', onclick: run }, say(`library.${name}`));
  }

  tellEmpty(total) {
    const name = total ? null : this.isInBin ? 'empty_bin' : this.filters.isEmpty() ? 'empty' : 'empty_found';
    this.grid.element.classList.toggle('is-empty', !total);
    this.note.hidden = name === null;
    if (name === this.emptiness) return;
    this.emptiness = name;
    if (name === null) return;
    const action = { empty: ['empty_go', () => showTab('create')], empty_found: ['clear_filters', () => this.filters.clear()] }[name];
    this.note.replaceChildren(el('p', {}, say(`library.${name}`)),
      ...(action ? [el('button.primary', { type: 'button', onclick: action[1] }, say(`library.${action[0]}`))] : []));
  }

  // -- one clip ---------------------------------------------------------------------------------------------------

  open(index) {
    const item = this.source.at(index);
    if (!item) return;
    this.detail.show(item);
    this.element.classList.add('is-open');
  }

  close() {
    if (!this.detail.shown()) return;
    const hadFocus = this.detail.element.contains(document.activeElement);
    this.detail.hide();
    this.element.classList.remove('is-open');
    if (hadFocus) this.grid.element.focus();
  }

  step(number) {
    const place = this.source.placeOf(this.detail.shown());
    const index = Math.max(0, Math.min((place < 0 ? this.grid.active : place) + number, this.grid.total - 1));
    this.grid.go(index);
    this.only(index);
    this.open(index);
  }

  /** Show a clip by its id, wherever it stands: in the grid too, if it is found there. */
  async showAsset(id) {
    this.detail.show({ id });
    this.element.classList.add('is-open');
    let place = this.source.placeOf(id);
    if (place < 0 && this.source.total !== null) place = (await this.source.ids()).ids.indexOf(id);
    if (place < 0) return;
    this.selection.clear();
    this.selection.add(id);
    this.grid.go(place);
    this.changed();
  }
}
