// The row of filters above the library's grid: search, kind, model, tag, stars, checks, collection, time, order.
import { el, say, shortcut } from '/studio/static/studio.js';

const KINDS = ['video', 'picture', 'animation', 'sound'];
const STANDINGS = ['passed', 'flagged', 'released', 'inconclusive', 'unchecked'];
const ORDERS = ['newest', 'oldest', 'best-rated'];
const KEPT = 'studio-library-filter';
const EMPTY = { text: '', kind: '', model: '', tag: '', rating: '', standing: '', collection: '', since: '', until: '', order: 'newest' };
const DEBOUNCE = 250;

/** The filters. changed(): is called when they are. manage(): shows the collections.
 *  Returns {element, wanted(), offer(facets), clear(), isEmpty()}. */
export function filterRow({ changed, manage }) {
  const kept = read();
  const search = el('input.library-search', { type: 'search', placeholder: say('library.search'), 'aria-label': say('library.search_label'), value: kept.text, maxlength: 1000 });
  const fields = {
    text: search,
    kind: select('kind', KINDS.map((name) => [name, say(`library.kinds.${name}`)])),
    model: select('model'),
    tag: select('tag'),
    rating: select('rating', [5, 4, 3, 2, 1].map((stars) => [stars, stars === 5 ? say('library.filter.five') : say('library.filter.at_least', { count: '★'.repeat(stars) })])),
    standing: select('standing', STANDINGS.map((name) => [name, say(`library.standings.${name}`)])),
    collection: select('collection'),
    since: el('input', { type: 'date' }),
    until: el('input', { type: 'date' }),
    order: select('order', ORDERS.map((name) => [name, say(`library.orders.${name}`)]), false),
  };
  for (const [name, value] of Object.entries(kept)) {
    if (value && fields[name] instanceof HTMLSelectElement && ![...fields[name].options].some((option) => option.value === value)) {
      fields[name].append(el('option', { value }, value));
    }
    fields[name].value = value;
  }
  const clear = el('button.plain', { type: 'button', onclick: () => set(EMPTY) }, say('library.clear_filters'));
  const label = (name) => {
    fields[name].id = `library-filter-${name}`;
    return el('div.library-filter', {}, el('label', { for: fields[name].id }, say(`library.filter.${name}`)), fields[name]);
  };
  const known = el('datalist', { id: 'library-tags' });
  const element = el('div.row.library-filters', { role: 'search', 'aria-label': say('library.filters') }, search,
    ['kind', 'model', 'tag', 'rating', 'standing', 'collection'].map(label),
    el('button.library-manage', { type: 'button', onclick: manage, title: say('library.do.collections') }, say('library.do.manage')),
    ['since', 'until', 'order'].map(label), clear, known);
  let timer = null;
  const now = () => { clearTimeout(timer); keep(values()); fit(); changed(); };
  search.addEventListener('input', () => { clearTimeout(timer); timer = setTimeout(now, DEBOUNCE); });
  search.addEventListener('search', now); // the small cross, and Enter
  for (const [name, field] of Object.entries(fields)) if (name !== 'text') field.addEventListener('change', now);
  shortcut('/', 'library', () => search.focus());

  const values = () => Object.fromEntries(Object.keys(EMPTY).map((name) => [name, fields[name].value || EMPTY[name]]));
  const isEmpty = () => Object.entries(values()).every(([name, value]) => name === 'order' || value === '');
  const fit = () => { clear.style.visibility = isEmpty() ? 'hidden' : 'visible'; };
  const set = (wanted) => { for (const name of Object.keys(EMPTY)) fields[name].value = wanted[name]; now(); };
  fit();

  /** What is looked for, as the studio knows it: days are those of the place where the page is seen. */
  function wanted() {
    const told = values();
    return { ...told, text: told.text.trim(), since: dayAt(told.since, 0), until: dayAt(told.until, 1) };
  }

  /** Offer what there is. What is chosen and is not there any more stays chosen, so that nobody wonders. */
  function offer(facets) {
    fill(fields.model, facets.models, say('library.any'));
    fill(fields.tag, facets.tags, say('library.any'));
    fill(fields.collection, facets.collections, say('library.any'));
    known.replaceChildren(...facets.tags.map((tag) => el('option', { value: tag.id })));
  }
  return { element, wanted, offer, isEmpty, clear: () => set(EMPTY), collection: () => fields.collection.value };
}

function select(name, choices = [], hasAny = true) {
  const options = choices.map(([value, words]) => el('option', { value }, words));
  return el('select', { name }, hasAny ? el('option', { value: '' }, say('library.any')) : null, options);
}

function fill(field, items, any) {
  const chosen = field.value;
  const options = items.map((item) => el('option', { value: item.id }, say('library.counted', item)));
  if (chosen && !items.some((item) => item.id === chosen)) {
    const words = [...field.options].find((option) => option.value === chosen)?.textContent ?? chosen;
    options.push(el('option', { value: chosen }, words));
  }
  if (document.activeElement === field && options.length + 1 === field.options.length) return; // it is open
  field.replaceChildren(el('option', { value: '' }, any), ...options);
  field.value = chosen;
}

/** The moment in which a day begins here, or the day after it. */
function dayAt(text, after) {
  const [year, month, day] = text.split('-').map(Number);
  return day ? new Date(year, month - 1, day + after).toISOString() : '';
}

function read() {
  try {
    return { ...EMPTY, ...JSON.parse(sessionStorage.getItem(KEPT)) };
  } catch {
    return EMPTY;
  }
}

function keep(values) {
  try { sessionStorage.setItem(KEPT, JSON.stringify(values)); } catch { /* a browser that keeps nothing */ }
}
