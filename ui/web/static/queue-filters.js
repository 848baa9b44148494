// Which jobs are shown: by state, model, batch, owner and words. Remembered for as long as the browser's tab is open.
import { el, say } from '/studio/static/studio.js';

const STATES = ['all', 'running', 'queued', 'held', 'failed', 'ended'];
const KEPT = 'studio-queue-filters';

function stateOf(job) {
  return ['succeeded', 'canceled'].includes(job.state) ? 'ended' : job.state;
}

export class Filters {
  constructor(changed) {
    this.changed = changed;
    this.batch = null;
    this.visitor = { name: null };
    this.buttons = new Map(STATES.map((name) => [name, el('button.queue-chip', { type: 'button', onclick: () => this.setState(name) })]));
    this.model = el('select', { 'aria-label': say('queue.filters.model'), onchange: () => this.apply() });
    this.text = el('input', { type: 'search', placeholder: say('queue.filters.text'), 'aria-label': say('queue.filters.text'), oninput: () => this.apply() });
    this.mine = el('input', { type: 'checkbox', onchange: () => this.apply() });
    this.mineLabel = el('label.row', { hidden: true }, this.mine, say('queue.filters.mine'));
    this.batchMark = el('button.badge', { type: 'button', hidden: true, onclick: () => this.setBatch(null) });
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? '{}');
    this.state = STATES.includes(kept.state) ? kept.state : 'all';
    this.text.value = kept.text ?? '';
    this.mine.checked = Boolean(kept.mine);
    this.models = '';
    this.element = el('div.queue-filters.row', { role: 'group', 'aria-label': say('queue.filters.label') },
      [...this.buttons.values()], this.batchMark, this.model, this.text, this.mineLabel);
  }

  /** Whether nothing is left out. */
  get isOpen() {
    return this.state === 'all' && !this.model.value && !this.text.value.trim() && !this.mine.checked && !this.batch;
  }

  admits(job) {
    const words = this.text.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const text = `${job.request.prompt} ${job.model} ${job.model_name} ${job.id}`.toLowerCase();
    return (this.state === 'all' || stateOf(job) === this.state)
      && (!this.model.value || job.model === this.model.value)
      && (!this.batch || job.batch_id === this.batch.id)
      && (!this.mine.checked || this.mineLabel.hidden || job.owner === this.visitor.name)
      && words.every((word) => text.includes(word));
  }

  take(jobs, summary, visitor) {
    this.visitor = visitor;
    this.mineLabel.hidden = visitor.name === null;
    const number = (name) => {
      if (name === 'all') return jobs.length;
      return summary.counts[name] !== undefined && name !== 'failed' ? summary.counts[name] : jobs.filter((job) => stateOf(job) === name).length;
    };
    for (const [name, button] of this.buttons) {
      const text = `${say(`queue.filters.${name}`)} ${name === 'all' ? '' : number(name)}`.trim();
      if (button.textContent !== text) button.textContent = text;
      button.setAttribute('aria-pressed', String(this.state === name));
    }
    this.offerModels(jobs);
  }

  offerModels(jobs) {
    const names = new Map(jobs.map((job) => [job.model, job.model_name]));
    const key = JSON.stringify([...names].sort());
    if (key === this.models) return;
    this.models = key;
    const chosen = this.model.value;
    this.model.replaceChildren(el('option', { value: '' }, say('queue.filters.any_model')),
      ...[...names].sort((one, other) => one[1].localeCompare(other[1])).map(([id, name]) => el('option', { value: id }, name)));
    this.model.value = names.has(chosen) ? chosen : '';
  }

  setState(name) {
    this.state = name;
    this.apply();
  }

  setBatch(batch) {
    this.batch = batch;
    if (batch) { this.state = 'all'; this.text.value = ''; this.model.value = ''; this.mine.checked = false; }
    this.batchMark.hidden = !batch;
    this.batchMark.textContent = batch ? `${say('queue.filters.batch', batch)} ×` : '';
    this.batchMark.title = say('queue.batches.all_jobs');
    this.apply();
  }

  clear() {
    this.text.value = '';
    this.model.value = '';
    this.mine.checked = false;
    this.state = 'all';
    this.setBatch(null);
  }

  apply() {
    for (const [name, button] of this.buttons) button.setAttribute('aria-pressed', String(this.state === name));
    sessionStorage.setItem(KEPT, JSON.stringify({ state: this.state, text: this.text.value, mine: this.mine.checked }));
    this.changed();
  }
}
