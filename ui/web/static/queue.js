// The tab Queue: what runs, waits, is held and ended lately, kept in step with the database without a flicker.
import { attempt, el, get, onErrand, poll, post, say, send, shownTab } from '/studio/static/studio.js';
import { Actions } from '/studio/static/queue-actions.js';
import { BatchList } from '/studio/static/queue-batches.js';
import { Filters } from '/studio/static/queue-filters.js';
import { Order } from '/studio/static/queue-order.js';
import { Row } from '/studio/static/queue-row.js';
import { Table } from '/studio/static/queue-table.js';
import { batchPanel } from '/studio/static/batch.js';

export const OPEN_GROUPS = ['running', 'queued', 'held'];

export function mount({ element }) {
  new Queue(element);
}

export function groupOf(job) {
  return OPEN_GROUPS.includes(job.state) ? job.state : 'ended';
}

function acceptFiles(element, take) {
  element.dataset.drop = '';
  const carriesFile = (event) => event.dataTransfer?.types?.includes('Files');
  element.addEventListener('dragover', (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    element.classList.add('batch-over');
  });
  element.addEventListener('dragleave', (event) => !element.contains(event.relatedTarget) && element.classList.remove('batch-over'));
  element.addEventListener('drop', (event) => {
    element.classList.remove('batch-over');
    if (!event.dataTransfer?.files?.length) return;
    event.preventDefault();
    take([...event.dataTransfer.files]);
  });
}

class Queue {
  constructor(element) {
    this.element = element;
    this.jobs = [];
    this.rows = new Map();
    this.selected = new Set();
    this.pinned = new Map();
    this.visitor = { name: null, is_admin: false, may_make: false };
    this.summary = { is_paused: false, counts: {} };
    this.voice = el('div.visually-hidden', { 'aria-live': 'polite', role: 'log' });
    this.actions = new Actions(this);
    this.order = new Order(this);
    this.table = new Table(this);
    this.filters = new Filters(() => this.render());
    this.batches = new BatchList(this);
    this.panel = batchPanel({ onClose: () => this.showPanel(false), onShow: (batch) => this.showBatch(batch) });
    this.draw();
    this.watchWhileSeen();
    setInterval(() => this.isSeen && this.rows.forEach((row) => row.tick()), 5000);
    onErrand('queue', (errand) => errand.do === 'show' && this.showJob(errand.job));
  }

  draw() {
    this.workers = el('span.queue-workers.quiet', {});
    this.pause = el('button', { type: 'button', hidden: true, onclick: () => this.actions.switchQueue(!this.summary.is_paused) });
    this.upload = el('button.primary', { type: 'button', 'aria-expanded': 'false', onclick: () => this.showPanel(this.panel.hidden) },
      say('queue.batches.upload'));
    this.note = el('p.queue-note.quiet', { role: 'status' });
    this.bulk = el('div.queue-bulk.panel', { role: 'group', hidden: true });
    this.panel.hidden = true;
    this.element.replaceChildren(
      el('div.queue-top.row', {}, el('h2', {}, say('queue.title')), this.workers, this.pause, this.upload),
      this.panel, this.batches.element, this.filters.element, this.table.element, this.note, this.bulk, this.voice);
    this.element.dataset.drop = '';
    acceptFiles(this.element, (files) => this.takeFiles(files));
  }

  // A tab that nobody looks at asks for nothing.
  watchWhileSeen() {
    const pollers = [];
    const look = () => {
      this.isSeen = this.element.offsetParent !== null || shownTab() === 'queue';
      if (this.isSeen && !pollers.length) {
        pollers.push(
          poll('/studio/jobs', (told) => this.take(told), { seconds: 1 }),
          poll('/studio/workers', (told) => this.showWorkers(told.workers), { seconds: 5 }),
          poll('/studio/batches', (told) => this.batches.take(told.batches), { seconds: 2 }));
      } else if (!this.isSeen) {
        pollers.splice(0).forEach((poller) => poller.stop());
      }
    };
    new IntersectionObserver(look).observe(this.element);
    look();
  }

  take({ jobs, summary, visitor }) {
    if (this.order.isBusy) return; // it may not know of the last move
    this.jobs = jobs;
    this.summary = summary;
    this.visitor = visitor;
    for (const job of jobs) this.pinned.delete(job.id);
    this.pause.hidden = !visitor.is_admin;
    this.upload.hidden = !visitor.may_make;
    this.pause.textContent = say(summary.is_paused ? 'queue.act.resume_queue' : 'queue.act.pause_queue');
    this.pause.setAttribute('aria-pressed', String(summary.is_paused));
    this.filters.take(this.all, summary, visitor);
    this.batches.render();
    this.render();
  }

  get all() {
    return [...this.jobs, ...this.pinned.values()];
  }

  /** The waiting jobs in the order of the queue. shown: only those that the filters let through. */
  waiting({ shown = false } = {}) {
    return this.jobs.filter((job) => job.state === 'queued' && (!shown || this.filters.admits(job)));
  }

  render() {
    const shown = this.all.filter((job) => this.filters.admits(job));
    const ids = new Set(this.all.map((job) => job.id));
    for (const id of [...this.rows.keys()]) if (!ids.has(id)) this.rows.delete(id);
    for (const id of [...this.selected]) if (!ids.has(id)) this.selected.delete(id);
    const places = new Map(this.waiting().map((job, index) => [job.id, index + 1]));
    const count = Math.max(this.summary.counts.queued ?? 0, places.size);
    for (const job of shown) this.row(job).update(job, { place: places.get(job.id), count });
    this.table.arrange(shown);
    this.tellWhatIsLeft(shown, count, places.size);
    this.showBulk();
  }

  row(job) {
    if (!this.rows.has(job.id)) this.rows.set(job.id, new Row(job, this));
    return this.rows.get(job.id);
  }

  tellWhatIsLeft(shown, count, known) {
    const isEmpty = shown.length === 0;
    this.table.element.hidden = isEmpty;
    let text = '';
    if (isEmpty) text = say(this.all.length ? 'queue.empty_filtered' : 'queue.empty');
    else if (count > known) text = say('queue.more_waiting', { number: count - known, shown: known });
    this.note.classList.toggle('empty', isEmpty);
    if (this.note.dataset.text === text) return;
    this.note.dataset.text = text;
    const clear = el('button', { type: 'button', onclick: () => this.filters.clear() }, say('queue.clear_filters'));
    this.note.replaceChildren(text, isEmpty && this.all.length ? clear : '');
  }

  showWorkers(workers) {
    const device = (worker) => {
      const name = worker.pool === 'remote' ? say('queue.remote_device') : worker.device;
      const told = worker.job_id && worker.model_name
        ? say('queue.worker_busy', { device: name, model: worker.model_name }) : say('queue.worker_idle', { device: name });
      return told;
    };
    const count = workers.length === 1 ? say('queue.workers_one') : say('queue.workers_many', { number: workers.length });
    const text = workers.length ? `${count} (${workers.map(device).join(', ')})` : say('queue.no_worker');
    if (this.workers.textContent !== text) this.workers.textContent = text;
    this.workers.title = workers.map((worker) => say('queue.worker_elsewhere', worker)).join('\n');
  }

  announce(text) {
    this.voice.replaceChildren(el('p', {}, text));
  }

  // -- several at once ------------------------------------------------------------------------------------------

  select(id, isOn) {
    if (isOn) this.selected.add(id); else this.selected.delete(id);
    this.showBulk();
  }

  selectShown(isOn) {
    for (const job of this.all.filter((item) => this.filters.admits(item) && item.can.length)) {
      if (isOn) this.selected.add(job.id); else this.selected.delete(job.id);
      this.row(job).check(isOn);
    }
    this.showBulk();
  }

  showBulk() {
    const jobs = this.all.filter((job) => this.selected.has(job.id));
    const acts = ['cancel', 'pause', 'resume', 'retry', 'remove'].map((what) => [what, jobs.filter((job) => job.can.includes(what))]);
    const key = JSON.stringify([jobs.length, acts.map(([what, some]) => [what, some.length])]);
    this.table.showSelection(jobs.length);
    if (this.bulk.dataset.key === key) return;
    this.bulk.dataset.key = key;
    this.bulk.hidden = jobs.length === 0;
    this.bulk.setAttribute('aria-label', say('queue.selected', { number: jobs.length }));
    this.bulk.replaceChildren(
      el('strong', {}, say('queue.selected', { number: jobs.length })),
      ...acts.filter(([, some]) => some.length).map(([what, some]) => el(`button${what === 'cancel' ? '.danger' : ''}`,
        { type: 'button', onclick: () => this.actions.many(some, what) }, `${say(`queue.act.${what}`)} (${some.length})`)),
      el('button.plain', { type: 'button', onclick: () => this.clearSelection() }, say('queue.unselect')));
  }

  clearSelection() {
    this.selected.clear();
    this.rows.forEach((row) => row.check(false));
    this.showBulk();
  }

  // -- what is shown ----------------------------------------------------------------------------------------------

  showPanel(isOpen, files = null) {
    this.panel.hidden = !isOpen;
    this.upload.setAttribute('aria-expanded', String(isOpen));
    if (files) this.panel.take(files);
    else if (isOpen) this.panel.begin();
    else this.upload.focus();
  }

  // A batch, or what belongs to the one that is looked at; anything else is a clip whose making is to be seen, as elsewhere.
  async takeFiles(files) {
    if (!this.visitor.may_make) return;
    if (this.panel.isFor(files)) { this.showPanel(true, files); return; }
    const form = new FormData();
    form.append('file', files[0]);
    const recipe = await attempt(() => post('/studio/recipe', form));
    if (recipe) send({ to: 'create', do: 'restore', recipe: recipe.id });
  }

  showBatch(batch) {
    this.showPanel(false);
    this.filters.setBatch(batch);
  }

  async showJob(id) {
    this.filters.clear();
    if (!this.all.some((job) => job.id === id)) {
      const job = await get(`/studio/jobs/${encodeURIComponent(id)}`).catch(() => null);
      if (!job) return;
      this.pinned.set(id, job);
      this.render();
    }
    const row = this.rows.get(id);
    row?.expand(true);
    row?.element.scrollIntoView({ block: 'center' });
    row?.toggle.focus({ preventScroll: true });
  }
}
