// One job in the table: its cells are made once and changed in place.
import { duration, el, money, moment, say, send } from '/studio/static/studio.js';
import { Detail } from '/studio/static/queue-detail.js';

const KINDS = { running: 'good', succeeded: 'good', held: 'warn', paused: 'warn', pausing: 'warn', canceling: 'warn', failed: 'bad' };
const SHORT = {
  running: ['pause', 'cancel'], queued: ['pause', 'resume', 'cancel'], held: ['release', 'discard'],
  failed: ['retry', 'edit'], canceled: ['retry', 'remove'], succeeded: ['open'],
};
const MAX_NAME = 60;

/** What people know a job by. */
export function nameOf(job) {
  const text = job.request.prompt || job.model_name;
  return text.length > MAX_NAME ? `${text.slice(0, MAX_NAME)}…` : text;
}

/** What a job costs, or is thought to, in words. */
export function costOf(job) {
  if (job.billed) return money(job.billed);
  if (!job.estimate) return job.pool === 'remote' ? say('queue.unknown_cost') : say('queue.free');
  return job.estimate.amount ? say('queue.estimate', { money: money(job.estimate) }) : say('queue.free');
}

export class Row {
  constructor(job, queue) {
    this.queue = queue;
    this.job = job;
    this.box = el('input', { type: 'checkbox', onchange: () => queue.select(this.job.id, this.box.checked) });
    this.handle = el('button.plain.queue-handle', { type: 'button', onkeydown: (event) => queue.order.key(event, this.job) });
    // Only what is taken by its grip is dragged: text in a row that can be dragged cannot be selected.
    this.grip = el('span.queue-grip', { 'aria-hidden': 'true', hidden: true, onpointerdown: () => { this.element.draggable = true; },
      onpointerup: () => { this.element.draggable = false; } }, '⠿');
    this.badge = el('span.badge', {});
    this.stage = el('div.quiet.queue-stage', {});
    this.model = el('div.queue-clamp', {});
    this.picture = el('div.queue-glimpse', { hidden: true });
    this.prompt = el('div.queue-prompt', {});
    this.mark = el('div.quiet.queue-small', {});
    this.fill = el('span', {});
    this.bar = el('div.bar', { role: 'progressbar', 'aria-valuemin': '0', 'aria-valuemax': '100' }, this.fill);
    this.eta = el('div.quiet.queue-small', {});
    this.owner = el('td.queue-owner', {});
    this.priority = el('td.queue-priority', {});
    this.cost = el('td.queue-cost', {});
    this.age = el('td.queue-age.quiet', {});
    this.buttons = el('span.queue-buttons', {});
    this.toggle = el('button.plain.queue-toggle', { type: 'button', 'aria-expanded': 'false', onclick: () => this.expand(!this.detail) }, '▸');
    this.element = el('tr.queue-row', { 'data-job': job.id },
      el('td.queue-select', {}, this.box), el('td.queue-place', {}, el('div', {}, this.grip, this.handle)), el('td', {}, this.badge, this.stage),
      el('td', {}, this.model), el('td', {}, el('div.queue-what', {}, this.picture, el('div', {}, this.prompt, this.mark))),
      el('td', {}, this.bar, this.eta), this.owner, this.priority, this.cost, this.age,
      el('td.queue-actions', {}, el('div', {}, this.buttons, this.toggle)));
  }

  get nodes() {
    return this.detail ? [this.element, this.detail.element] : [this.element];
  }

  update(job, { place, count }) {
    this.job = job;
    const name = nameOf(job);
    set(this.badge, job.status_text);
    this.badge.className = `badge ${KINDS[job.status] ?? ''}`;
    set(this.stage, job.stage ?? (job.state === 'failed' ? job.error?.message ?? '' : ''));
    this.stage.title = this.stage.textContent;
    set(this.model, job.model_name);
    set(this.prompt, job.request.prompt || say('queue.no_prompt'));
    this.prompt.title = job.request.prompt;
    this.prompt.classList.toggle('quiet', !job.request.prompt);
    set(this.mark, job.batch_id && job.entry ? say('queue.entry', { entry: job.entry, batch: this.queue.batches.name(job.batch_id) }) : '');
    this.showProgress(job);
    this.showGlimpse(job, name);
    this.showPlace(job, name, place, count);
    set(this.owner, job.owner ?? '–');
    set(this.priority, String(job.priority));
    set(this.cost, costOf(job));
    this.box.disabled = job.can.length === 0;
    this.box.setAttribute('aria-label', say('queue.select', { name }));
    this.check(this.queue.selected.has(job.id));
    this.showButtons(job, name);
    this.tick();
    this.detail?.update(job);
  }

  showProgress(job) {
    const isOver = !['running', 'queued'].includes(job.state);
    this.bar.hidden = job.state !== 'running';
    this.bar.setAttribute('aria-valuenow', job.percent);
    this.bar.setAttribute('aria-label', say('queue.columns.progress'));
    this.fill.style.width = `${job.percent}%`;
    const took = isOver && job.started_at && job.ended_at ? (new Date(job.ended_at) - new Date(job.started_at)) / 1000 : null;
    let text = took === null ? '' : say('queue.took', { time: duration(took) });
    if (job.state === 'running') {
      const left = job.eta_seconds === null ? '' : `, ${say('queue.eta', { time: duration(job.eta_seconds) })}`;
      text = `${job.percent} %${left}`;
    }
    set(this.eta, text);
  }

  showGlimpse(job, name) {
    this.picture.hidden = job.state !== 'running';
    if (job.state !== 'running' || job.glimpse === null || this.glimpse === job.glimpse) return;
    this.glimpse = job.glimpse;
    const image = el('img', { alt: say('queue.glimpse', { name }), src: `/studio/jobs/${encodeURIComponent(job.id)}/glimpse?n=${job.glimpse}` });
    // The last one stays until the next is there.
    image.decode().then(() => this.picture.replaceChildren(image), () => {});
  }

  showPlace(job, name, place, count) {
    const isMovable = job.can.includes('move');
    this.handle.hidden = place === undefined;
    this.grip.hidden = place === undefined || !isMovable;
    this.handle.disabled = !isMovable;
    if (place === undefined) return;
    set(this.handle, String(place));
    this.handle.setAttribute('aria-label', say('queue.handle', { name, place, count }));
  }

  showButtons(job, name) {
    const acts = (SHORT[job.state] ?? []).filter((what) => job.can.includes(what) || (what === 'open' && job.asset_id));
    const key = `${acts.join()} ${name}`;
    this.toggle.setAttribute('aria-label', say('queue.act.with_name', { act: say(this.detail ? 'queue.hide_details' : 'queue.details'), name }));
    if (this.key === key) return;
    this.key = key;
    const held = this.buttons.contains(document.activeElement);
    this.buttons.replaceChildren(...acts.map((what) => {
      const label = say(what === 'edit' ? 'queue.act.edit_short' : `queue.act.${what}`);
      const run = what === 'open' ? () => send({ to: 'library', do: 'show', asset: this.job.asset_id })
        : () => this.queue.actions.act(this.job, what);
      return el(`button.queue-act${['cancel', 'discard'].includes(what) ? '.danger' : ''}`,
        { type: 'button', 'data-act': what, 'aria-label': say('queue.act.with_name', { act: label, name }), onclick: run }, label);
    }));
    if (held) (this.buttons.firstChild ?? this.toggle).focus({ preventScroll: true });
  }

  expand(isOpen) {
    if (isOpen === Boolean(this.detail)) return;
    this.detail = isOpen ? new Detail(this.job, this.queue) : null;
    this.toggle.setAttribute('aria-expanded', String(isOpen));
    this.toggle.textContent = isOpen ? '▾' : '▸';
    this.element.classList.toggle('queue-open', isOpen);
    this.queue.render();
  }

  check(isOn) {
    if (this.box.checked !== isOn) this.box.checked = isOn;
    this.element.classList.toggle('queue-selected', isOn);
  }

  tick() {
    const since = this.job.ended_at ?? this.job.created_at;
    const seconds = Math.max(0, (Date.now() - new Date(since)) / 1000);
    set(this.age, seconds < 10 ? say('queue.just_now') : say('queue.ago', { time: duration(Math.round(seconds)) }));
    this.age.title = moment(since);
  }
}

/** Change a text only where it is another: a selection in it stays. */
function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
