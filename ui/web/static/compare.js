// The tab Compare: which of its views is shown stands in the address, so that a refresh or the back button leads there.
import { attempt, el, get, onErrand, say, shownTab, toast } from '/studio/static/studio.js';
import { showForm } from '/studio/static/compare-form.js';
import { showList } from '/studio/static/compare-list.js';
import { showOne } from '/studio/static/compare-one.js';
import { showRanking } from '/studio/static/ranking.js';
import { showBlind } from '/studio/static/voting.js';

const TAB = 'compare';
const VIEWS = { '': 'list', new: 'form', ranking: 'ranking' };

export function mount({ element }) {
  new Compare(element);
}

class Compare {
  constructor(element) {
    Object.assign(this, { element, place: null, shown: null, number: 0 });
    this.body = el('div.compare-body');
    const tab = ([place, name]) => el('button', { type: 'button', 'data-place': place, onclick: () => this.go(place) }, say(`compare.nav.${name}`));
    this.tabs = Object.entries(VIEWS).map(tab);
    this.nav = el('nav.row.compare-nav', { 'aria-label': say('compare.nav.label') }, this.tabs);
    element.replaceChildren(this.nav, this.body);
    const follow = () => this.follow();
    window.addEventListener('hashchange', follow);
    window.addEventListener('popstate', follow);
    document.addEventListener('keydown', (event) => this.press(event));
    // A click on the tab itself leads back to what was shown there last.
    document.getElementById(`tab-${TAB}-button`)?.addEventListener('click', () => setTimeout(() => this.comeBack()));
    onErrand(TAB, (errand) => this.run(errand));
    this.follow();
    if (this.place === null) this.show('');
  }

  /** Show a view and write it into the address. place: '', 'new', 'ranking', an id, or an id and '/blind'. */
  go(place) {
    const hash = place ? `#${TAB}/${place}` : `#${TAB}`;
    if (location.hash !== hash) history.pushState(null, '', hash);
    this.show(place);
  }

  follow() {
    const [tab, ...rest] = location.hash.slice(1).split('/');
    if (tab === TAB && rest.join('/') !== this.place) this.show(rest.join('/'));
  }

  comeBack() {
    if (this.place && location.hash === `#${TAB}`) history.replaceState(null, '', `#${TAB}/${this.place}`);
  }

  async show(place, given = null) {
    const number = (this.number += 1);
    this.shown?.dispose?.();
    this.shown = null;
    this.place = place;
    const [id, what] = place.split('/');
    this.tabs.forEach((item) => item.setAttribute('aria-current', item.dataset.place === place ? 'page' : 'false'));
    // While clips are judged blind, nothing on this tab names anybody.
    this.nav.hidden = what === 'blind';
    this.body.replaceChildren(el('p.empty', { role: 'status' }, say('shell.loading')));
    const go = (where) => this.go(where);
    const views = { '': showList, new: showForm, ranking: showRanking };
    const draw = views[place] ?? (what === 'blind' ? showBlind : showOne);
    try {
      const shown = await draw({ go, id, given, edit: (start) => this.edit(start) });
      if (number !== this.number) { shown.dispose?.(); return; }
      this.shown = shown;
      this.body.replaceChildren(shown.element);
    } catch (error) {
      if (number === this.number) this.body.replaceChildren(this.sorry(error));
    }
  }

  /** Open the form with something in it: {base}, as `/studio/comparisons/base` tells, or {request, entries}. */
  edit(start) {
    history.pushState(null, '', `#${TAB}/new`);
    this.show('new', start);
  }

  async run(errand) {
    if (errand.do === 'open') this.go(errand.comparison);
    if (errand.do === 'with') {
      const base = await attempt(() => get(`/studio/comparisons/base/${encodeURIComponent(errand.asset)}`));
      if (base) this.edit({ base });
    }
  }

  sorry(error) {
    return el('div.empty', { role: 'alert' }, el('p', {}, error.message),
      el('button', { type: 'button', onclick: () => this.go('') }, say('compare.back_to_list')));
  }

  press(event) {
    const isTyping = event.target.closest?.('input, textarea, select, [contenteditable=true], [role=slider]');
    if (shownTab() !== TAB || isTyping || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (document.querySelector('dialog[open]')) return;
    if (event.key === ' ' && event.target.closest?.('button, a, summary')) return; // it presses what has the focus
    if (this.shown?.key?.(event.key)) event.preventDefault();
  }
}

/** Ask before something that cannot be undone. Resolves to whether it is to be done. */
export function confirmed(text, label) {
  return new Promise((resolve) => {
    const dialog = el('dialog.sheet', { 'aria-label': label },
      el('p', {}, text),
      el('div.row.compare-dialog', {},
        el('button', { type: 'button', onclick: () => dialog.close() }, say('shell.cancel')),
        el('button.danger', { type: 'button', onclick: () => dialog.close('yes') }, label)));
    dialog.addEventListener('close', () => { dialog.remove(); resolve(dialog.returnValue === 'yes'); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Fetch one page about comparisons, with their clips in it, and hand it to the browser to keep. */
export async function takeAlong(ids, button) {
  const query = ids.map((id) => `id=${encodeURIComponent(id)}`).join('&');
  button.disabled = true;
  try {
    const answer = await fetch(`/studio/comparisons/report?${query}`);
    if (!answer.ok) {
      const told = (await answer.json().catch(() => null))?.error;
      throw new Error([told?.message ?? answer.statusText, told?.fix].filter(Boolean).join('. '));
    }
    const name = /filename="([^"]+)"/.exec(answer.headers.get('content-disposition') ?? '')?.[1] ?? 'comparison.html';
    const address = URL.createObjectURL(await answer.blob());
    el('a', { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  } catch (error) {
    toast(error.message, { kind: 'bad', seconds: 12 });
  } finally {
    button.disabled = false;
  }
}
