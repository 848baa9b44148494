// What people do with jobs: asked before only where money or a clip is lost, and undone where that can be.
import { attempt, el, money, post, refresh, say, send, toast } from '/studio/static/studio.js';
import { nameOf } from '/studio/static/queue-row.js';

export class Actions {
  constructor(queue) {
    this.queue = queue;
  }

  async act(job, what) {
    if (what === 'edit') { send({ to: 'create', do: 'edit', job: job.id }); return; }
    if (!await this.isMeant(job, what)) return;
    const next = this.next(job);
    const wish = what === 'order_again' ? { order_again: true } : {};
    const done = await attempt(() => post(path(job, what === 'order_again' ? 'retry' : what), wish));
    refresh();
    if (!done) return;
    const name = nameOf(job);
    if (what === 'cancel' && job.state === 'queued') {
      toast(say('queue.canceled_toast', { name }), { seconds: 10, action: { label: say('shell.undo'), run: () => this.undo(job, next) } });
    } else if (TOASTS[what]) toast(say(TOASTS[what](job), { name }));
  }

  isMeant(job, what) {
    const provider = job.provider ?? say('queue.confirm.a_provider');
    const cost = job.estimate?.amount ? say('queue.confirm.cancel_cost', { money: money(job.estimate) }) : '';
    if (what === 'cancel' && job.is_ordered) {
      return confirm(say('queue.confirm.cancel'), say('queue.confirm.cancel_why', { provider, cost }), say('queue.confirm.cancel_yes'));
    }
    if (what === 'order_again') {
      return confirm(say('queue.confirm.order_again'), say('queue.confirm.order_again_why', { provider, cost }), say('queue.confirm.order_again_yes'));
    }
    if (what === 'discard') {
      return confirm(say('queue.confirm.discard'), say('queue.confirm.discard_why'), say('queue.confirm.discard_yes'));
    }
    return true;
  }

  next(job) {
    const line = this.queue.waiting();
    const at = line.findIndex((item) => item.id === job.id);
    return at < 0 ? null : line[at + 1]?.id ?? null;
  }

  /** Take a canceled job up again, and put it where it stood. */
  async undo(job, next) {
    const back = await attempt(() => post(path(job, 'retry')));
    if (back && next) await post(path(job, 'move'), { before: next }).catch(() => null); // that one runs by now
    if (back) toast(say('queue.restored_toast', { name: nameOf(job) }));
    refresh();
  }

  async many(jobs, what) {
    const ordered = jobs.filter((job) => job.is_ordered).length;
    if (what === 'cancel' && ordered) {
      const why = say('queue.confirm.cancel_many_why', { ordered });
      if (!await confirm(say('queue.confirm.cancel_many', { number: jobs.length }), why, say('queue.confirm.cancel_yes'))) return;
    }
    const told = await attempt(() => post('/studio/jobs', { ids: jobs.map((job) => job.id), what }));
    refresh();
    if (told) tell(told);
    this.queue.clearSelection();
  }

  async batch(batch, what, open) {
    if (what === 'cancel' && !await confirm(say('queue.batches.confirm_cancel'), say('queue.batches.confirm_cancel_why', { open }),
      say('queue.batches.confirm_yes'))) return;
    const told = await attempt(() => post(`/studio/batches/${encodeURIComponent(batch.id)}/${what}`));
    refresh();
    if (told) tell(told);
  }

  async prioritize(job, priority) {
    await attempt(() => post(path(job, 'priority'), { priority }));
    refresh();
  }

  async switchQueue(isPaused) {
    await attempt(() => post(`/studio/queue/${isPaused ? 'pause' : 'resume'}`));
    refresh();
  }
}

const TOASTS = {
  retry: () => 'queue.retried_toast',
  order_again: () => 'queue.retried_toast',
  release: () => 'queue.released_toast',
  discard: () => 'queue.discarded_toast',
  remove: (job) => (job.asset_id ? 'queue.removed_toast' : 'queue.forgotten_toast'),
};

function tell({ done, failed }) {
  if (failed.length) toast(say('queue.done_some', { number: done, failed: failed.length, why: failed[0].message }), { kind: 'bad', seconds: 10 });
  else toast(say('queue.done_many', { number: done }));
}

function path(job, what) {
  return `/studio/jobs/${encodeURIComponent(job.id)}/${what}`;
}

/** Ask whether it is meant. The answer that changes nothing has the focus. */
export function confirm(question, why, yes) {
  return new Promise((resolve) => {
    const close = (answer) => { resolve(answer); dialog.close(); };
    const keep = el('button', { type: 'button', onclick: () => close(false) }, say('queue.confirm.keep'));
    const dialog = el('dialog.sheet', { 'aria-label': question },
      el('h2', {}, question), el('p', {}, why),
      el('div.row', {}, keep, el('button.danger', { type: 'button', onclick: () => close(true) }, yes)));
    dialog.addEventListener('close', () => { resolve(false); dialog.remove(); });
    document.body.append(dialog);
    dialog.showModal();
    keep.focus();
  });
}
