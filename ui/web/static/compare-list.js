// All comparisons, the newest first; several of them can be taken along as one page.
import { el, get, media, moment, poll, say, attempt } from '/studio/static/studio.js';
import { takeAlong } from '/studio/static/compare.js';

const LIST = '/studio/comparisons';

export async function showList({ go }) {
  return new List(go).start();
}

class List {
  constructor(go) {
    Object.assign(this, { go, chosen: new Set(), older: [], newest: [] });
    this.rows = el('ul.compare-list', { 'aria-label': say('compare.nav.list') });
    this.take = el('button', { type: 'button', disabled: true, onclick: () => takeAlong([...this.chosen], this.take) }, say('compare.list.take'));
    this.more = el('button', { type: 'button', hidden: true, onclick: () => attempt(() => this.readOlder()) }, say('compare.list.more'));
    this.begin = el('button.primary', { type: 'button', onclick: () => go('new') }, say('compare.list.begin'));
    this.bar = el('div.row.compare-listhead', {}, el('h2', {}, say('compare.nav.list')), this.take);
    this.empty = el('div.empty.stack', { hidden: true }, el('h2', {}, say('compare.list.empty')), el('p', {}, say('compare.list.empty_how')), el('div', {}, this.begin));
    this.element = el('section.stack', { 'aria-label': say('compare.nav.list') }, this.bar, this.empty, this.rows, this.more);
  }

  async start() {
    const first = await get(LIST);
    this.show(first);
    this.poller = poll(LIST, (told) => this.show(told), { seconds: 2 });
    return { element: this.element, dispose: () => this.poller.stop() };
  }

  show(told) {
    this.newest = told.comparisons;
    if (!this.older.length) this.more.hidden = !told.has_more;
    this.begin.hidden = !told.can_make;
    this.draw();
  }

  async readOlder() {
    const last = [...this.newest, ...this.older].at(-1);
    const told = await get(`${LIST}?after=${encodeURIComponent(last.id)}`);
    this.older.push(...told.comparisons);
    this.more.hidden = !told.has_more;
    this.draw();
  }

  draw() {
    const known = new Set(this.newest.map((item) => item.id));
    const all = [...this.newest, ...this.older.filter((item) => !known.has(item.id))];
    const focused = document.activeElement?.dataset?.focus;
    this.rows.replaceChildren(...all.map((item) => this.row(item)));
    this.empty.hidden = all.length > 0;
    this.bar.hidden = all.length === 0;
    this.take.disabled = this.chosen.size === 0;
    if (focused) this.rows.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
  }

  row(item) {
    const name = item.title || item.prompt || say('compare.no_prompt');
    const choose = el('input', {
      type: 'checkbox', checked: this.chosen.has(item.id), 'aria-label': say('compare.list.choose', { name }), 'data-focus': `choose ${item.id}`,
      disabled: item.finished === 0,
      onchange: (event) => {
        this.chosen[event.target.checked ? 'add' : 'delete'](item.id);
        this.take.disabled = this.chosen.size === 0;
      },
    });
    const open = el('button.compare-open', { type: 'button', 'data-focus': `open ${item.id}`, onclick: () => this.go(item.id) }, name);
    const state = item.is_over ? say('compare.list.finished', { finished: item.finished, count: item.entries.length })
      : say('compare.list.making', { finished: item.finished, count: item.entries.length });
    const picture = item.asset_id ? el('video', { src: `${media(item.asset_id)}#t=0.001`, muted: true, preload: 'metadata', tabindex: -1, 'aria-hidden': 'true' }) : null;
    return el('li.panel.compare-card', {},
      choose, el('div.compare-thumb', {}, picture),
      el('div.compare-cardtext', {}, open,
        item.title && item.prompt ? el('p.quiet.compare-clamp', {}, item.prompt) : null,
        el('div.row', {}, item.entries.map((entry) => el(`span.badge.${TONES[entry.state] ?? 'quiet'}`, {}, entry.label)))),
      el('div.compare-cardfacts', {},
        el(item.is_over ? 'span.badge' : 'span.badge.good', {}, state), el('span.quiet', {}, say('compare.list.votes', { votes: item.votes })),
        item.tags.length ? el('div.row', {}, item.tags.map((tag) => el('span.badge.compare-tag', { title: say('compare.list.tag') }, tag))) : null,
        el('span.quiet', {}, [moment(item.created_at), item.owner].filter(Boolean).join(', '))));
  }
}

const TONES = { failed: 'bad', refused: 'bad', held: 'warn', removed: 'warn' };
