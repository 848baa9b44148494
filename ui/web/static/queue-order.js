// The order of waiting jobs: by keys and by drag and drop. What is moved stands there at once; the studio hears of it after that.
import { get, post, say, toast } from '/studio/static/studio.js';

const TYPE = 'application/x-studio-job';
const KEYS = { ArrowUp: 'up', ArrowDown: 'down', Home: 'first', End: 'last' };

export class Order {
  constructor(queue) {
    this.queue = queue;
    this.chain = Promise.resolve();
    this.moves = 0;
  }

  get isBusy() {
    return this.moves > 0;
  }

  key(event, job) {
    const to = KEYS[event.key];
    if (!to || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.move(job, to);
  }

  /** Move a job up, down, first or last among the jobs that are shown. */
  move(job, to) {
    const shown = this.queue.waiting({ shown: true });
    const at = shown.findIndex((item) => item.id === job.id);
    if (at < 0) return;
    if (to === 'first') this.put(job, { to: 'first' });
    else if (to === 'last') this.put(job, { to: 'last' });
    else if (to === 'up' && at > 0) this.put(job, { before: shown[at - 1].id });
    else if (to === 'down' && at < shown.length - 1) this.putAfter(job, shown[at + 1]);
    else this.tell(job);
  }

  putAfter(job, other) {
    const line = this.queue.waiting().filter((item) => item.id !== job.id);
    const next = line[line.findIndex((item) => item.id === other.id) + 1];
    this.put(job, next ? { before: next.id } : { to: 'last' });
  }

  put(job, wish) {
    const line = this.queue.waiting().filter((item) => item.id !== job.id);
    const at = wish.to === 'first' ? 0 : wish.to === 'last' ? line.length : line.findIndex((item) => item.id === wish.before);
    line.splice(at, 0, job);
    this.queue.jobs = [...this.queue.jobs.filter((item) => item.state !== 'queued'), ...line];
    this.queue.render();
    this.tell(job);
    this.moves += 1;
    this.chain = this.chain.then(() => this.send(job, wish));
  }

  async send(job, wish) {
    try {
      const moved = await post(`/studio/jobs/${encodeURIComponent(job.id)}/move`, wish);
      if (moved.priority !== job.priority) this.queue.announce(say('queue.moved_priority', moved));
    } catch (error) {
      toast(error.message, { kind: 'bad' });
    } finally {
      this.moves -= 1;
      // What was read meanwhile was passed over, and is not sent again where nothing changed since.
      if (!this.moves) get('/studio/jobs').then((told) => this.queue.take(told), () => null);
    }
  }

  tell(job) {
    const line = this.queue.waiting();
    const place = line.findIndex((item) => item.id === job.id) + 1;
    this.queue.announce(say('queue.moved', { place, count: line.length }));
  }

  // -- drag and drop ----------------------------------------------------------------------------------------------

  listen(body) {
    const over = (event) => event.target.closest?.('tr.queue-row');
    const clear = () => body.querySelectorAll('.queue-before, .queue-after').forEach((row) => row.classList.remove('queue-before', 'queue-after'));
    body.addEventListener('dragstart', (event) => {
      const row = over(event);
      if (!row?.draggable) return;
      event.dataTransfer.setData(TYPE, row.dataset.job);
      event.dataTransfer.effectAllowed = 'move';
      this.dragged = row.dataset.job;
      row.classList.add('queue-dragged');
    });
    body.addEventListener('dragover', (event) => {
      const row = over(event);
      if (!event.dataTransfer.types.includes(TYPE) || !row) return;
      event.preventDefault();
      clear();
      if (row.dataset.job !== this.dragged) row.classList.add(isUpper(event, row) ? 'queue-before' : 'queue-after');
    });
    body.addEventListener('dragleave', clear);
    body.addEventListener('dragend', () => {
      clear();
      body.querySelectorAll('.queue-dragged').forEach((row) => { row.classList.remove('queue-dragged'); row.draggable = false; });
    });
    body.addEventListener('drop', (event) => {
      clear();
      const id = event.dataTransfer.getData(TYPE);
      const row = over(event);
      if (!id || !row || row.dataset.job === id) return;
      event.preventDefault();
      event.stopPropagation();
      const line = this.queue.waiting();
      const job = line.find((item) => item.id === id);
      const other = line.find((item) => item.id === row.dataset.job);
      if (!job || !other) return;
      if (isUpper(event, row)) this.put(job, { before: other.id }); else this.putAfter(job, other);
    });
  }
}

function isUpper(event, row) {
  const box = row.getBoundingClientRect();
  return event.clientY < box.top + box.height / 2;
}
