// The upload of a batch file: chosen, dropped or pasted, checked whole, and only then handed in.
import { attempt, bytes, duration, el, money, moment, post, refresh, say, toast } from '/studio/static/studio.js';
import { entriesTable, faultsTable, missingNote } from '/studio/static/batch-check.js';

const ENDINGS = ['jsonl', 'csv', 'yaml'];
const BATCH_FILE = /\.(jsonl|ndjson|json|csv|tsv|yaml|yml)$/i;
const MAX_ENTRIES = 5000;

/** The panel: hidden until begin() or take(files), which isFor(files) says it wants. onShow: called with a batch that is to be shown in the queue. */
export function batchPanel({ onClose, onShow }) {
  const panel = new Panel({ onClose, onShow });
  const element = panel.element;
  element.take = (files) => panel.take(files);
  element.isFor = (files) => Boolean(panel.batch) || files.some((file) => BATCH_FILE.test(file.name));
  element.begin = () => panel.begin();
  return element;
}

class Panel {
  constructor({ onClose, onShow }) {
    Object.assign(this, { onClose, onShow, batch: null, files: [], asked: 0 });
    this.body = el('div.stack', {});
    this.status = el('p.quiet.batch-status', { role: 'status' });
    this.element = el('section.panel.stack.batch-panel', { 'aria-label': say('batch.title') },
      el('div.row', {}, el('h2', {}, say('batch.title')),
        el('button.plain.batch-close', { type: 'button', 'aria-label': `${say('batch.close')}: ${say('batch.title')}`, onclick: () => this.onClose() }, '×')),
      this.body, this.status);
    this.element.addEventListener('keydown', (event) => event.key === 'Escape' && this.onClose());
  }

  begin() {
    if (!this.batch) this.showStart();
    this.element.querySelector('button:not(.batch-close), input, a')?.focus();
  }

  reset() {
    Object.assign(this, { batch: null, files: [] });
    this.asked += 1;
    this.showStart();
  }

  showStart() {
    this.status.textContent = '';
    const input = el('input.visually-hidden', { type: 'file', multiple: true, tabindex: '-1', 'aria-label': say('batch.choose'),
      onchange: () => { this.take([...input.files]); input.value = ''; } });
    const text = el('textarea.mono', { rows: '8', 'aria-label': say('batch.paste_label'), spellcheck: 'false' });
    const format = el('select', { 'aria-label': say('batch.format') }, ENDINGS.map((ending) => el('option', { value: ending }, say(`batch.format_${ending}`))));
    const check = () => {
      if (text.value.trim()) this.take([new File([text.value], say('batch.pasted_name', { ending: format.value }))]);
    };
    this.body.replaceChildren(
      el('p', {}, say('batch.intro')),
      el('div.batch-drop', {}, el('p', {}, say('batch.drop')),
        el('button', { type: 'button', onclick: () => input.click() }, say('batch.choose')), input,
        el('p.quiet', {}, say('batch.limits', { entries: MAX_ENTRIES.toLocaleString() }))),
      el('details', {}, el('summary', {}, say('batch.paste')),
        el('div.stack', {}, text, el('div.row', {}, format, el('button', { type: 'button', onclick: check }, say('batch.check_text'))))),
      el('p.row.quiet', {}, say('batch.templates'), ENDINGS.map((ending) =>
        el('a', { href: `/studio/batches/template/${ending}`, download: `batch.${ending}` }, say('batch.template', { ending })))));
  }

  /** Take the batch file and what it names. Files that come later join those that are here. */
  take(given) {
    const batches = given.filter((file) => BATCH_FILE.test(file.name));
    const others = given.filter((file) => !BATCH_FILE.test(file.name));
    if (batches.length > 1) { toast(say('batch.two_batches'), { kind: 'bad' }); return; }
    if (!batches.length && !this.batch) { if (!this.body.firstChild) this.showStart(); toast(say('batch.no_batch'), { kind: 'bad' }); return; }
    if (batches.length) this.batch = batches[0];
    const names = others.map((file) => file.name);
    const doubled = names.find((name, index) => names.indexOf(name) !== index);
    if (doubled) { toast(say('batch.two_files', { name: doubled }), { kind: 'bad' }); return; }
    this.files = [...this.files.filter((file) => !names.includes(file.name)), ...others];
    this.check();
  }

  form(more = {}) {
    const form = new FormData();
    form.append('names', JSON.stringify({ batch: this.batch.name, files: this.files.map((file) => file.name) }));
    for (const [name, value] of Object.entries(more)) form.append(name, value);
    form.append('batch', this.batch, this.batch.name);
    for (const file of this.files) form.append('files', file, file.name);
    return form;
  }

  async check() {
    const asked = (this.asked += 1);
    this.busy(say('batch.checking'));
    try {
      const told = await post('/studio/batches/check', this.form());
      if (asked === this.asked) this.showChecked(told);
    } catch (error) {
      if (asked === this.asked) this.showRefused(error);
    } finally {
      if (asked === this.asked) this.busy('');
    }
  }

  busy(text) {
    this.status.textContent = text;
    this.element.setAttribute('aria-busy', String(Boolean(text)));
    this.body.querySelectorAll('button').forEach((button) => { button.disabled = Boolean(text); });
  }

  showRefused(error) {
    this.body.replaceChildren(this.head(), el('p.batch-verdict.bad', { role: 'alert' }, error.message), el('div.row', {}, this.overButton()));
  }

  showChecked(told) {
    this.told = told;
    this.body.replaceChildren(...[
      this.head(), this.verdict(told), told.is_sound ? this.totals(told) : null,
      notes('batch.warnings', told.warnings),
      told.unused.length ? el('p.quiet', {}, say('batch.unused', { names: told.unused.join(', ') })) : null,
      missingNote(told, this.addButton()),
      told.faults.length ? faultsTable(told) : null,
      told.entries.length ? entriesTable(told) : null,
      this.buttons(told),
    ].filter(Boolean));
  }

  head() {
    const along = this.files.map((file) => `${file.name} (${bytes(file.size)})`).join(', ');
    return el('div', {}, el('strong.batch-file', {}, this.batch.name), ` ${bytes(this.batch.size)}`,
      along ? el('div.quiet', {}, say('batch.files', { names: along })) : null);
  }

  verdict(told) {
    const { clips } = told.totals;
    const text = told.is_sound ? say(clips === 1 ? 'batch.sound_one' : 'batch.sound', { clips })
      : say(told.fault_count === 1 ? 'batch.fault_one' : 'batch.faults', { number: told.fault_count });
    return el('p', { class: `batch-verdict ${told.is_sound ? 'good' : 'bad'}`, role: told.is_sound ? 'status' : 'alert' }, text);
  }

  totals(told) {
    const { clips, seconds, unknown_costs: unknown } = told.totals;
    const parts = [
      say(clips === 1 ? 'batch.totals_one' : 'batch.totals', { clips }),
      seconds === null ? say('batch.totals_time_unknown') : say('batch.totals_time', { time: duration(seconds) }),
      priceOf(told.totals),
      unknown ? say('batch.totals_unknown', { number: unknown }) : '',
    ];
    const known = told.known ? el('p.batch-known', {},
      say('batch.known', { ...told.known, time: moment(told.known.created_at) }),
      told.known.missing ? ` ${say('batch.known_missing', told.known)}` : '') : null;
    return el('div', {}, el('p', {}, parts.filter(Boolean).join(' · ')), known);
  }

  buttons(told) {
    const { clips, costs } = told.totals;
    const acts = [];
    if (told.is_sound && told.known) {
      acts.push(el('button.primary', { type: 'button', onclick: () => this.onShow({ id: told.known.id, name: told.name }) }, say('batch.show_known')));
      if (told.known.missing) acts.push(el('button', { type: 'button', onclick: () => this.submit() }, say('batch.submit_missing', told.known)));
      acts.push(el('button', { type: 'button', onclick: () => this.submit({ again: '1' }) }, say('batch.again', { clips })));
    } else if (told.is_sound) {
      const text = costs.length ? say('batch.submit_cost', { clips, money: costs.map(money).join(' + ') })
        : say(clips === 1 ? 'batch.submit_one' : 'batch.submit', { clips });
      acts.push(el('button.primary', { type: 'button', onclick: () => this.submit() }, text));
    }
    return el('div.row', {}, acts, told.missing.length ? null : this.addButton(), this.overButton());
  }

  addButton() {
    const input = el('input.visually-hidden', { type: 'file', multiple: true, tabindex: '-1', 'aria-label': say('batch.add_files'),
      onchange: () => this.take([...input.files]) });
    return [el('button', { type: 'button', onclick: () => input.click() }, say('batch.add_files')), input];
  }

  overButton() {
    return el('button.plain', { type: 'button', onclick: () => this.reset() }, say('batch.start_over'));
  }

  async submit(more = {}) {
    this.busy(say('batch.sending'));
    const told = await attempt(() => post('/studio/batches', this.form(more)));
    this.busy('');
    if (!told) return;
    toast(told.fresh ? say('batch.handed_in', told) : say('batch.handed_in_known'));
    refresh();
    this.reset();
    this.onShow({ id: told.id, name: told.name });
  }
}

function priceOf({ costs, unknown_costs: unknown }) {
  if (costs.length) return say('batch.totals_cost', { money: costs.map(money).join(' + ') });
  return unknown ? '' : say('batch.totals_free');
}

function notes(name, lines) {
  if (!lines.length) return null;
  return el('div.batch-notes', {}, el('strong', {}, say(name)), el('ul', {}, lines.map((line) => el('li', {}, line))));
}
