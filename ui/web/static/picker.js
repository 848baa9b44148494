// The model of the form: a search box over all models, and what is known of the chosen one.
import { bytes, duration, el, money, poll, say, showTab, toast } from '/studio/static/studio.js';

const GROUPS = ['ready', 'missing', 'retired'];

export function mount({ element, props, trigger, watch }) {
  const picker = new Picker(element, (model) => { props.value = { model }; trigger('picked'); });
  watch('value', () => picker.choose(props.value?.model, { isTold: true }));
  if (props.value?.model) picker.choose(props.value.model, { isTold: true });
}

class Picker {
  constructor(element, tell) {
    Object.assign(this, { element, tell, models: [], chosen: null, active: -1, shown: [] });
    this.button = el('button.picker-button', {
      type: 'button', 'aria-haspopup': 'listbox', 'aria-expanded': 'false', 'aria-controls': 'picker-list',
      'aria-label': say('create.picker.label'), id: 'create-model', onclick: () => this.toggle(), onkeydown: (event) => this.openByKey(event),
    });
    this.search = el('input', {
      type: 'search', role: 'combobox', placeholder: say('create.picker.search'), 'aria-label': say('create.picker.search'),
      'aria-autocomplete': 'list', 'aria-expanded': 'true', 'aria-controls': 'picker-list', autocomplete: 'off', spellcheck: 'false',
      oninput: () => this.list(), onkeydown: (event) => this.key(event),
    });
    this.box = el('div.picker-list', { role: 'listbox', id: 'picker-list', 'aria-label': say('create.picker.label'), tabindex: '-1' });
    this.popover = el('div.picker-popover', { hidden: true }, this.search, this.box);
    this.told = el('div.picker-told');
    element.replaceChildren(el('div.picker', {}, this.button, this.popover), this.told);
    this.button.append(el('span.quiet', {}, say('shell.loading')));
    document.addEventListener('pointerdown', (event) => { if (!element.contains(event.target)) this.close(); });
    this.poller = poll('/studio/models', (told) => this.take(told), { seconds: 20 });
    setTimeout(() => this.poller.now(), 2500); // by then what is quickly estimated is
  }

  take(told) {
    this.models = told.models;
    this.choose(this.chosen ?? told.default, { isTold: true });
    if (!this.popover.hidden) this.list();
  }

  get model() { return this.models.find((item) => item.id === this.chosen); }

  choose(id, { isTold = false } = {}) {
    if (!id) return;
    this.chosen = id;
    const model = this.model;
    if (!model) return;
    this.button.replaceChildren(
      el('span.picker-name', {}, model.name), el('span.picker-badges', {}, badges(model).slice(0, 2)),
      el('span', { 'aria-hidden': 'true' }, '▾'));
    this.button.dataset.model = id;
    this.button.setAttribute('aria-label', `${say('create.picker.label')}: ${model.name}`);
    this.showFacts(model);
    if (!isTold) { this.close(); this.button.focus(); this.tell(id); }
  }

  showFacts(model) {
    const open = this.told.querySelector('details')?.open ?? false;
    this.told.replaceChildren(el('div.stack', {},
      model.is_ready ? null : lacking(model, (id) => this.choose(id)),
      el('details', { open }, el('summary', {}, el('span.quiet', {}, model.summary)), facts(model))));
  }

  toggle() { this.popover.hidden ? this.open() : this.close(); }

  open() {
    this.popover.hidden = false;
    this.poller.now();
    this.button.setAttribute('aria-expanded', 'true');
    this.search.value = '';
    this.list();
    this.search.focus();
    this.moveTo(this.shown.findIndex((model) => model.id === this.chosen));
  }

  close() {
    this.popover.hidden = true;
    this.button.setAttribute('aria-expanded', 'false');
  }

  openByKey(event) {
    if (['ArrowDown', 'ArrowUp'].includes(event.key)) { event.preventDefault(); this.open(); }
  }

  key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
    if (event.key in steps) {
      event.preventDefault();
      this.moveTo(Math.max(0, Math.min(this.shown.length - 1, this.active + steps[event.key])));
    } else if (event.key === 'Enter' && this.shown[this.active]) {
      event.preventDefault();
      this.choose(this.shown[this.active].id);
    } else if (event.key === 'Escape' || event.key === 'Tab') {
      if (event.key === 'Escape') event.preventDefault();
      this.close();
      this.button.focus();
    }
  }

  list() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (model) => words.every((word) => haystack(model).includes(word));
    const found = this.models.filter(fits);
    this.shown = GROUPS.flatMap((group) => found.filter((model) => groupOf(model) === group));
    const parts = GROUPS.filter((group) => found.some((model) => groupOf(model) === group)).map((group) =>
      el('div', { role: 'group', 'aria-label': say(`create.picker.${group}_group`) },
        el('div.picker-group', { role: 'presentation' }, say(`create.picker.${group}_group`)),
        this.shown.filter((model) => groupOf(model) === group).map((model) => this.option(model))));
    this.box.replaceChildren(...(parts.length ? parts : [el('p.empty', {}, say('create.picker.none_found'))]));
    this.moveTo(Math.min(Math.max(this.active, 0), this.shown.length - 1));
  }

  option(model) {
    return el('div.picker-option', {
      role: 'option', id: `picker-${model.id}`, 'aria-selected': String(model.id === this.chosen),
      onclick: () => this.choose(model.id),
    },
    el('div.row', {}, el('strong', {}, model.name), badges(model)),
    el('div.quiet', {}, model.summary),
    model.is_ready ? null : el('div.picker-why', {}, model.reason));
  }

  moveTo(index) {
    this.active = index;
    this.box.querySelectorAll('.is-active').forEach((node) => node.classList.remove('is-active'));
    const model = this.shown[index];
    const node = model && document.getElementById(`picker-${model.id}`);
    if (!node) { this.search.removeAttribute('aria-activedescendant'); return; }
    node.classList.add('is-active');
    node.scrollIntoView({ block: 'nearest' });
    this.search.setAttribute('aria-activedescendant', node.id);
  }
}

const groupOf = (model) => (model.status === 'retired' || model.lacks === 'not served' ? 'retired' : model.is_ready ? 'ready' : 'missing');

const haystack = (model) =>
  [model.id, model.name, model.summary, model.family, model.provider, model.where, ...model.aliases, ...model.tasks].join(' ').toLowerCase();

function badges(model) {
  const told = model.estimate;
  const where = model.where === 'local' ? say('create.picker.local') : say('create.picker.remote', { provider: model.provider ?? model.family });
  const word = (model.lacks || 'ready').replace(' ', '_');
  return [
    el(`span.badge.${model.is_ready ? 'good' : model.status === 'retired' ? 'bad' : 'warn'}`, {}, say(`create.picker.${word}`)),
    el('span.badge', {}, where),
    model.status === 'legacy' ? el('span.badge.warn', {}, say('create.picker.legacy')) : null,
    told?.fits === false ? el('span.badge.bad', {}, say('create.picker.fits_not')) : null,
    told?.seconds ? el('span.badge', {}, say('create.picker.seconds', { time: duration(told.seconds) })) : null,
    model.where === 'remote' && told?.cost?.amount ? el('span.badge', {}, say('create.picker.price', { price: money(told.cost) })) : null,
    model.licence.commercial_use === false ? el('span.badge.warn', {}, say('create.picker.commercial_not')) : null,
  ].filter(Boolean);
}

function lacking(model, choose) {
  const copy = () => navigator.clipboard.writeText(model.command).then(() => toast(say('shell.copied')));
  return el('div.picker-lacking', { role: 'note' },
    el('span', {}, model.reason),
    model.command ? el('span.row', {}, el('code.mono', {}, model.command), el('button', { type: 'button', onclick: copy }, say('create.picker.copy'))) : null,
    ['no key', 'no weights'].includes(model.lacks) ? el('button', { type: 'button', onclick: () => showTab('settings') }, say(model.lacks === 'no key' ? 'create.picker.settings' : 'create.picker.settings_weights')) : null,
    model.replacement ? el('button', { type: 'button', onclick: () => choose(model.replacement) }, say('create.picker.replacement', { model: model.replacement })) : null);
}

function facts(model) {
  const rows = [
    [say('create.picker.tasks'), model.tasks.map((task) => say(`create.task.${task}`)).join(', ')],
    [say('create.picker.licence'), [model.licence.id, licence(model.licence), model.licence.note].filter(Boolean).join('; ')],
    model.download_bytes ? [say('create.picker.size'), bytes(model.download_bytes)] : null,
    model.estimate && !model.estimate.is_pending && !model.estimate.error ? [say('create.picker.defaults'), takes(model)] : null,
    model.restrictions ? ['', model.restrictions] : null,
    ['', el('span.mono', {}, model.id)],
    model.checked_on ? ['', say('create.picker.checked', { date: model.checked_on })] : null,
  ].filter(Boolean);
  return el('dl.facts', {}, rows.map(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]));
}

function licence({ commercial_use: use }) {
  return say(use === true ? 'create.picker.commercial' : use === false ? 'create.picker.commercial_not' : 'create.picker.commercial_unclear');
}

function takes({ estimate: told, where }) {
  const price = where === 'local' ? say('create.picker.free') : told.cost ? say('create.picker.price', { price: money(told.cost) }) : say('create.estimate.unpriced');
  return [told.seconds ? say('create.picker.seconds', { time: duration(told.seconds) }) : null, price, told.shortage].filter(Boolean).join('; ');
}

