// Everything about one job, below its row: what was asked for, what happened, what to do about it.
import { duration, el, get, money, moment, say, send } from '/studio/static/studio.js';
import { costOf } from '/studio/static/queue-row.js';

export class Detail {
  constructor(job, queue) {
    this.queue = queue;
    this.content = el('div.queue-inside', {}, el('p.quiet', {}, say('shell.loading')));
    this.element = el('tr.queue-detail', { 'data-detail': job.id }, el('td', { colspan: 11 }, this.content));
    this.update(job);
  }

  update(job) {
    const key = JSON.stringify([job.status, job.stage && job.state, job.started_at, job.ended_at, job.can, job.priority, job.billed]);
    this.job = job;
    if (key === this.key) return;
    this.key = key;
    this.load(job.id);
  }

  async load(id) {
    try {
      const job = await get(`/studio/jobs/${encodeURIComponent(id)}`);
      const had = this.content.contains(document.activeElement) ? document.activeElement.dataset.act : null;
      this.content.replaceChildren(...this.parts(job));
      if (had) this.content.querySelector(`[data-act="${had}"]`)?.focus({ preventScroll: true });
    } catch (error) {
      this.content.replaceChildren(el('p', {}, error.message));
    }
  }

  parts(job) {
    return [
      el('div.queue-columns', {},
        el('div.stack', {}, this.why(job), this.request(job)),
        el('div.stack', {}, this.facts(job), this.attempts(job), this.order(job))),
      this.buttons(job),
      el('details', {}, el('summary', {}, say('queue.detail.all_facts')), el('pre', {}, JSON.stringify(job, null, 2))),
    ];
  }

  why(job) {
    if (!job.error && !job.advice && !job.findings.length) return null;
    const { message, got, allowed, fix } = job.findings.length ? {} : job.error ?? {}; // else the same twice
    const told = [message && `${message}.`, got && say('queue.detail.got', { got }), allowed && say('queue.detail.allowed', { allowed }), fix && `${fix}.`];
    return el('section.queue-why', {},
      message ? el('h3', {}, say('queue.detail.why')) : null,
      message ? el('p', {}, told.filter(Boolean).join(' ').replaceAll('..', '.')) : null,
      job.findings.length ? [el('h3', {}, say('queue.detail.findings')), el('ul', {}, job.findings.map((line) => el('li', {}, line)))] : null,
      job.state === 'held' ? el('p', {}, say('queue.detail.not_sealed')) : null,
      job.advice ? [el('h3', {}, say('queue.detail.what_now')), el('p', {}, job.advice)] : null);
  }

  request(job) {
    const asked = job.request;
    const [rise, run] = String(asked.frame_rate).split('/').map(Number);
    const rate = rise / (run || 1);
    const seconds = (asked.num_frames / rate).toFixed(1);
    return el('section', {}, el('h3', {}, say('queue.detail.request')),
      el('p.queue-full', {}, asked.prompt || say('queue.no_prompt')),
      facts([
        ['model', `${job.model_name} (${job.model})`],
        ['negative', asked.negative_prompt],
        ['size', `${asked.width} × ${asked.height} px`],
        ['length', say('queue.detail.length_told', { seconds, frames: asked.num_frames, rate: Number(rate.toFixed(3)) })],
        ['seed', job.seed],
        ['steps', asked.num_inference_steps],
        ['guidance', asked.guidance_scale],
        ['options', Object.entries(asked.options ?? {}).map(([name, value]) => `${name} = ${value}`).join(', ')],
        ['inputs', (asked.conditionings ?? []).map((item) => say('queue.detail.role', { role: item.role, hash: (item.sha256 ?? '').slice(0, 12) })).join(', ')],
        ['on_fail', job.terms?.on_fail],
        ['label', job.terms?.label],
        ['warnings', (asked.warnings ?? []).join(' ')],
      ]));
  }

  facts(job) {
    const billed = job.billed ? `, ${say('queue.detail.billed', { money: money(job.billed) })}` : '';
    return facts([
      ['id', el('span.mono', {}, job.id)],
      ['created', moment(job.created_at)],
      ['started', job.started_at && moment(job.started_at)],
      ['ended', job.ended_at && moment(job.ended_at)],
      ['costs', `${costOf({ ...job, billed: null })}${billed}`],
      ['attended', job.is_attended && job.state === 'running' ? say('queue.detail.attended') : null],
    ], { attended: '' });
  }

  attempts(job) {
    const items = job.attempts.map((attempt) => el('li', {},
      el('strong', {}, say('queue.detail.attempt', attempt)), ` ${say('queue.detail.on', attempt)}: ${outcome(attempt.outcome)}`,
      el('div.quiet', {}, Object.entries(attempt.timings).map(([stage, seconds]) => `${stage} ${duration(seconds)}`).join(', ')),
      attempt.error?.message && attempt.error.message !== job.error?.message ? el('div', {}, attempt.error.message) : null));
    return el('section', {}, el('h3', {}, say('queue.detail.attempts')),
      items.length ? el('ol.queue-attempts', {}, items) : el('p.quiet', {}, say('queue.detail.no_attempts')));
  }

  order(job) {
    if (!job.order) return null;
    const number = job.order.number ? `, ${say('queue.detail.order_number', job.order)}` : '';
    return el('section', {}, el('h3', {}, say('queue.detail.order')), el('p', {}, `${say('queue.detail.order_told', job.order)}${number}`));
  }

  buttons(job) {
    const { actions, order } = this.queue;
    const button = (what, run, kind = '') => el(`button${kind}`, { type: 'button', 'data-act': what, onclick: run }, say(`queue.act.${what}`));
    const acts = job.can.filter((what) => what !== 'move')
      .map((what) => button(what, () => actions.act(this.job, what),
        ['cancel', 'discard', 'remove', 'order_again'].includes(what) ? '.danger' : ''));
    const moves = job.can.includes('move') ? ['first', 'up', 'down', 'last'].map((to) => button(to, () => order.move(this.job, to))) : [];
    const clip = job.asset_id ? [
      button('open', () => send({ to: 'library', do: 'show', asset: job.asset_id })),
      button('inspect', () => send({ to: 'inspect', do: 'asset', asset: job.asset_id })),
    ] : [];
    return el('div.row.queue-all-acts', {}, clip, acts, moves, job.can.includes('move') ? this.priority(job) : null);
  }

  priority(job) {
    const field = el('input', { type: 'number', min: '-100', max: '100', step: '1', value: String(job.priority) });
    const set = (event) => {
      event.preventDefault();
      if (field.checkValidity() && field.value !== '') this.queue.actions.prioritize(job, Number(field.value));
    };
    return el('form.row', { onsubmit: set }, el('label.row', {}, say('queue.detail.priority'), field),
      el('button', { type: 'submit', 'data-act': 'set_priority' }, say('queue.act.set_priority')));
  }
}

function facts(pairs, { attended } = {}) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== '' && value !== false);
  return el('dl.facts', {}, shown.map(([name, value]) => [
    el('dt', {}, name === 'attended' && attended !== undefined ? attended : say(`queue.detail.${name}`)), el('dd', {}, value)]));
}

function outcome(word) {
  const name = `queue.detail.outcome_${word ?? 'running'}`;
  const told = say(name);
  return told === name ? word.replaceAll('_', ' ') : told;
}
