// The batches that are under way or ended lately, each as one: how far it is, and what can be done with all of it.
import { attempt, el, get, say, send } from '/studio/static/studio.js';
import { place } from '/studio/static/queue-table.js';

const HOURS_SHOWN = 24;
const MAX_SHOWN = 5;

export class BatchList {
  constructor(queue) {
    this.queue = queue;
    this.batches = [];
    this.items = new Map();
    this.list = el('ul.batch-list', {});
    this.element = el('section.batch-strip', { hidden: true, 'aria-label': say('queue.batches.title') }, this.list);
  }

  name(id) {
    return this.batches.find((batch) => batch.id === id)?.name ?? id;
  }

  take(batches) {
    this.batches = batches;
    this.render();
    this.queue.render();
  }

  render() {
    const late = Date.now() - HOURS_SHOWN * 3600e3;
    const shown = this.batches.filter((batch) => !batch.is_over || new Date(batch.created_at) > late).slice(0, MAX_SHOWN);
    this.element.hidden = shown.length === 0;
    for (const id of [...this.items.keys()]) if (!shown.some((batch) => batch.id === id)) this.items.delete(id);
    for (const batch of shown) {
      if (!this.items.has(batch.id)) this.items.set(batch.id, new Item(this.queue));
      const item = this.items.get(batch.id);
      item.update(batch);
    }
    place(this.list, shown.map((batch) => this.items.get(batch.id).element));
  }
}

class Item {
  constructor(queue) {
    this.queue = queue;
    this.name = el('strong.batch-name', {});
    this.fill = el('span', {});
    this.bar = el('div.bar', { role: 'progressbar', 'aria-valuemin': '0' }, this.fill);
    this.number = el('span', {});
    this.marks = el('span.row', {});
    this.buttons = el('span.row', {});
    this.element = el('li.batch-item', {}, this.name, this.bar, this.number, this.marks, this.buttons);
  }

  update(batch) {
    const isPaused = this.queue.jobs.some((job) => job.batch_id === batch.id && ['paused', 'pausing'].includes(job.status));
    const key = JSON.stringify([batch, isPaused]);
    if (key === this.key) return;
    this.key = key;
    this.element.dataset.batch = batch.id;
    const { total, done, counts } = batch;
    this.name.textContent = batch.name;
    this.name.title = batch.name;
    this.fill.style.width = `${total ? (100 * done) / total : 0}%`;
    this.bar.setAttribute('aria-valuemax', total);
    this.bar.setAttribute('aria-valuenow', done);
    this.bar.setAttribute('aria-label', say('queue.batches.told', batch));
    this.number.textContent = say('queue.batches.progress', batch);
    const kinds = { failed: 'bad', held: 'warn', canceled: '' };
    this.marks.replaceChildren(...Object.entries(kinds).filter(([state]) => counts[state])
      .map(([state, kind]) => el('span', { class: `badge ${kind}` }, say(`queue.batches.${state}`, { number: counts[state] }))));
    this.showButtons(batch, isPaused);
  }

  showButtons(batch, isPaused) {
    const { counts } = batch;
    const open = counts.queued + counts.running;
    const acts = batch.is_mine ? [
      open && !isPaused && 'pause', isPaused && 'resume', counts.failed && 'retry', open && 'cancel',
    ].filter(Boolean) : [];
    const key = acts.join();
    if (this.acts === key && this.buttons.firstChild) return;
    this.acts = key;
    const held = this.buttons.contains(document.activeElement);
    const button = (what, run, kind = '') => el(`button.queue-act${kind}`,
      { type: 'button', 'data-act': what, 'aria-label': `${say(`queue.batches.${what}`)}: ${batch.name}`, onclick: run }, say(`queue.batches.${what}`));
    this.buttons.replaceChildren(
      button('only', () => this.queue.filters.setBatch(batch)),
      ...acts.map((what) => button(what, () => this.queue.actions.batch(batch, what, open), what === 'cancel' ? '.danger' : '')),
      batch.done ? button('clips', () => this.showClips(batch)) : '');
    if (held) this.buttons.firstChild.focus({ preventScroll: true });
  }

  // The library opens at the first clip; the others stand beside it.
  async showClips(batch) {
    const told = await attempt(() => get(`/studio/batches/${encodeURIComponent(batch.id)}`));
    const first = told?.jobs.find((job) => job.asset_id);
    if (first) send({ to: 'library', do: 'show', asset: first.asset_id });
  }
}
