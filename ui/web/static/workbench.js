// What is being made, and the newest clips. Everything stands in the database: a refresh, or another window, shows the same.
import { attempt, duration, el, onErrand, poll, post, refresh, say, send, shownTab, showTab, toast } from '/studio/static/studio.js';
import { clearProblem, showProblem } from '/studio/static/estimate.js';

const LATEST = 3;
const DRAFT = 'create-prompt';
const FORM_SETTLES_MS = 400;
const FAILED_SHOWN_MS = 24 * 3600e3;
const clips = import('/studio/static/clip.js').catch(() => null);

export function mount({ element, props, watch }) {
  const bench = new Bench(element);
  watch('value', () => {
    if (props.value?.filled) sessionStorage.removeItem(DRAFT); // another tab filled the form
    bench.answer(props.value);
  });
  keepPrompt();
  showForm();
  // What was typed goes along to Python, for a form that keeps it: this listener is called first.
  onErrand('create', (errand) => { errand.prompt = document.querySelector('#create-field-prompt textarea')?.value ?? ''; });
  document.addEventListener('click', (event) => {
    if (!event.target.closest?.('#create-make, #create-other')) return;
    if (event.detail < 2) bench.pressed();
    else event.stopImmediatePropagation(); // a double click is one order
  }, true);
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey) || shownTab() !== 'create' || document.querySelector('dialog[open]')) return;
    event.preventDefault();
    const button = document.getElementById('create-make');
    if (button && !button.disabled && !event.repeat) setTimeout(() => button.click()); // what was just typed is told first
  });
}

// What was typed and not handed in survives a refresh of the page.
function keepPrompt() {
  const box = () => document.querySelector('#create-field-prompt textarea');
  document.addEventListener('input', (event) => { if (event.target === box()) sessionStorage.setItem(DRAFT, event.target.value); });
  const draft = sessionStorage.getItem(DRAFT);
  const observer = new MutationObserver(() => {
    const field = box();
    if (!field) return;
    observer.disconnect();
    if (field.offsetParent && document.activeElement === document.body) field.focus({ preventScroll: true });
    if (!draft || field.value === draft) return;
    field.value = draft;
    field.dispatchEvent(new Event('input', { bubbles: true }));
  });
  observer.observe(document.body, { childList: true, subtree: true });
  document.getElementById('create-form')?.append(document.createComment('')); // looked at once, should it be there already
}

// gradio brings a form's fields one by one. They are shown together, when for a moment none has come.
function showForm() {
  let timer = null;
  // an empty part may have fields whose code is still on its way
  const pause = () => (document.querySelector('#create-fields .create-grid:empty') ? 3 : 1) * FORM_SETTLES_MS;
  const shown = () => {
    if (!document.querySelector('#create-fields :is(#create-presets, .create-banner)')) return; // not drawn to its end yet
    observer.disconnect();
    document.documentElement.dataset.form = 'drawn';
  };
  const observer = new MutationObserver(() => { clearTimeout(timer); timer = setTimeout(shown, pause()); });
  observer.observe(document.getElementById('create-fields') ?? document.body, { childList: true, subtree: true });
  timer = setTimeout(shown, pause());
}

class Bench {
  constructor(element) {
    this.cards = new Map();
    this.views = new Map();
    this.waiting = []; // cards of presses that were not answered yet
    this.jobs = [];
    this.runs = [];
    this.me = null;
    this.hidden = new Set(JSON.parse(sessionStorage.getItem('create-hidden') ?? '[]'));
    this.list = el('div.bench-cards', { 'aria-live': 'off' });
    this.empty = el('p.empty.bench-empty', {}, say('create.bench.empty'));
    this.latest = el('div.bench-latest');
    this.noLatest = el('p.empty.bench-empty', {}, say('create.bench.empty_latest'));
    this.teller = el('p.visually-hidden', { role: 'status', 'aria-live': 'polite' });
    element.replaceChildren(
      el('section.bench', { 'aria-labelledby': 'bench-title' },
        el('div.row.bench-head', {}, el('h2', { id: 'bench-title' }, say('create.bench.title')),
          el('button.plain', { type: 'button', onclick: () => showTab('queue') }, say('create.bench.all'))),
        this.list, this.empty, this.teller),
      el('section.bench', { 'aria-labelledby': 'bench-latest' },
        el('h2', { id: 'bench-latest' }, say('create.bench.latest')), this.latest, this.noLatest));
    poll('/studio/models', (told) => { this.me = told.visitor; this.show(); }, { seconds: 20 }); // the picker asks the same
    poll('/studio/jobs', (told) => { this.jobs = told.jobs; this.show(); }, { seconds: 0.7 });
    this.runPoller = poll('/studio/extensions', (told) => { this.runs = told.extensions; this.show(); }, { seconds: 2 });
  }

  // -- presses ----------------------------------------------------------------------------------------------------

  pressed() {
    clearProblem();
    const prompt = document.querySelector('#create-field-prompt textarea')?.value ?? '';
    const card = el('article.job.panel.is-new', { 'aria-busy': 'true' },
      el('div.job-glimpse'),
      el('div.job-told', {}, el('div.row', {}, el('span.badge', {}, say('create.bench.handing_in'))),
        el('p.job-prompt', {}, prompt), el('div.bar', {}, el('span')), el('div.row.job-line.quiet', {}, ' ')));
    this.waiting.push(card);
    this.list.prepend(card);
    this.empty.hidden = true;
    setTimeout(() => this.giveUp(card), 10_000);
  }

  giveUp(card) { // nobody answered (the studio was restarted meanwhile, and knows nothing of this page), or no list tells of it
    if (!this.waiting.includes(card)) return;
    const { job } = card.dataset;
    this.give(card);
    if (job) toast(say('create.bench.taken'), { seconds: 20, action: { label: say('create.bench.show'), run: () => send({ to: 'queue', do: 'show', job }) } });
    else toast(say('create.bench.unanswered'), { kind: 'bad', seconds: 30, action: { label: say('create.bench.reload'), run: () => location.reload() } });
  }

  give(card) {
    if (!this.waiting.includes(card)) return;
    this.waiting = this.waiting.filter((item) => item !== card);
    card.remove();
    this.show();
  }

  answer(told) {
    if (!told?.answer || told.answer === this.last) return;
    this.last = told.answer;
    const card = this.waiting[0];
    if (told.error) {
      if (card) this.give(card);
      if (!showProblem(told.field, told.error)) toast(told.error, { kind: 'bad', seconds: 12 });
      this.teller.textContent = told.error;
      return;
    }
    this.teller.textContent = say('create.submitted');
    if (card && told.job) { card.dataset.job = told.job; card.classList.remove('is-new'); }
    if (card && told.extension) this.give(card);
    this.runPoller.now();
    refresh();
  }

  // -- cards ------------------------------------------------------------------------------------------------------

  show() {
    const mine = this.jobs.filter((job) => this.isMine(job));
    for (const card of [...this.waiting]) {
      if (card.dataset.job && mine.some((job) => job.id === card.dataset.job)) this.give(card);
    }
    const open = mine.filter((job) => this.isOpen(job));
    const wanted = [...this.runs.filter((run) => run.state !== 'succeeded').map((run) => ['run', run]), ...open.map((job) => ['job', job])];
    const keep = new Set(wanted.map(([kind, item]) => `${kind}-${item.id}`));
    for (const [key, card] of this.cards) if (!keep.has(key)) { card.node.remove(); this.cards.delete(key); }
    let before = this.waiting.length ? this.waiting[0] : null;
    for (const [kind, item] of wanted) {
      const key = `${kind}-${item.id}`;
      const card = this.cards.get(key) ?? this.addCard(key, kind, item);
      card.update(item);
      const place = before ? before.nextSibling : this.list.firstChild;
      if (card.node !== place) this.list.insertBefore(card.node, place);
      before = card.node;
    }
    this.empty.hidden = wanted.length + this.waiting.length > 0;
    this.showLatest(mine);
  }

  addCard(key, kind, item) {
    const card = kind === 'job' ? new JobCard(item, () => this.hide(item.id)) : new RunCard(item);
    this.cards.set(key, card);
    return card;
  }

  isMine(job) {
    if (!this.me) return false;
    return this.me.is_local ? job.is_mine : job.owner === this.me.name;
  }

  isOpen(job) {
    if (['running', 'queued', 'held'].includes(job.state)) return true;
    const isFresh = job.ended_at && Date.now() - Date.parse(job.ended_at) < FAILED_SHOWN_MS;
    return job.state === 'failed' && isFresh && !this.hidden.has(job.id);
  }

  hide(id) {
    this.hidden.add(id);
    sessionStorage.setItem('create-hidden', JSON.stringify([...this.hidden].slice(-200)));
    this.show();
  }

  async showLatest(mine) {
    const done = mine.filter((job) => job.asset_id).slice(0, LATEST);
    const runs = this.runs.filter((run) => run.asset_id && !done.some((job) => job.asset_id === run.asset_id));
    const ids = [...runs.slice(0, 1).map((run) => run.asset_id), ...done.map((job) => job.asset_id)].slice(0, LATEST);
    this.noLatest.hidden = ids.length > 0;
    const kit = await clips;
    for (const [id, node] of this.views) if (!ids.includes(id)) { node.remove(); this.views.delete(id); }
    let before = null;
    for (const id of ids) {
      const job = mine.find((item) => item.asset_id === id);
      const node = this.views.get(id) ?? clipNode(kit, id, job);
      this.views.set(id, node);
      const place = before ? before.nextSibling : this.latest.firstChild;
      if (node !== place) this.latest.insertBefore(node, place);
      before = node;
    }
  }
}

function clipNode(kit, id, job) {
  const request = job?.request ?? {};
  const known = request.width ? { id, kind: 'video', width: request.width, height: request.height,
    frame_rate: rate(request.frame_rate), num_frames: request.num_frames } : id;
  const view = kit ? kit.clipView(known, { compact: true }) : el('video', { src: `/studio/media/${id}`, controls: true, preload: 'metadata' });
  return el('article.panel.bench-clip', { 'data-asset': id }, view, request.prompt ? el('p.job-prompt', {}, request.prompt) : null);
}

class JobCard {
  constructor(job, hide) {
    this.hide = hide;
    this.glimpse = el('div.job-glimpse', { style: `aspect-ratio:${ratio(job.request)}` });
    this.badge = el('span.badge');
    this.model = el('span.quiet');
    this.stage = el('span');
    this.eta = el('span.quiet');
    this.fill = el('span');
    this.bar = el('div.bar', { role: 'progressbar', 'aria-valuemin': '0', 'aria-valuemax': '100', 'aria-label': say('create.bench.title') }, this.fill);
    this.why = el('div.job-why');
    this.buttons = el('div.row.job-buttons');
    this.node = el('article.job.panel', { 'data-job': job.id },
      this.glimpse,
      el('div.job-told', {}, el('div.row', {}, this.badge, this.model), el('p.job-prompt', {}, job.request.prompt ?? ''),
        this.bar, el('div.row.job-line', {}, this.stage, this.eta), this.why, this.buttons));
  }

  update(job) {
    const tone = { running: '', queued: '', held: 'warn', failed: 'bad', canceled: '' }[job.state] ?? '';
    this.badge.className = `badge ${tone}`;
    this.badge.textContent = job.status_text;
    this.model.textContent = `${job.model_name}${job.request.seed === null ? '' : ` · ${say('create.bench.seed', { seed: job.request.seed })}`}`;
    this.stage.textContent = [job.stage, job.total ? say('create.bench.step', { done: job.done, total: job.total }) : null].filter(Boolean).join(', ') || ' ';
    this.eta.textContent = job.eta_seconds === null ? '' : say('create.bench.left', { time: duration(job.eta_seconds) });
    this.fill.style.width = `${job.percent}%`;
    this.bar.setAttribute('aria-valuenow', job.percent);
    this.bar.setAttribute('aria-valuetext', this.stage.textContent);
    this.bar.hidden = !['running', 'queued'].includes(job.state);
    this.look(job);
    const text = JSON.stringify([job.state, job.can, job.error, job.advice]);
    if (text !== this.text) { this.text = text; this.explain(job); }
  }

  look(job) {
    if (job.glimpse === null || job.glimpse === this.number) return;
    this.number = job.glimpse;
    const picture = new Image();
    picture.alt = say('create.bench.preview', { number: job.glimpse });
    picture.onload = () => this.glimpse.replaceChildren(picture);
    picture.src = `/studio/jobs/${encodeURIComponent(job.id)}/glimpse?n=${job.glimpse}`;
  }

  explain(job) {
    const error = job.error;
    const told = error && job.state !== 'queued' ? [error.message, error.got ? say('create.got', { got: error.got }) : null, error.fix].filter(Boolean).join('; ') : null;
    this.why.replaceChildren(...[
      told ? el('p.job-error', {}, told) : null,
      job.advice ? el('p.quiet', {}, job.advice) : null].filter(Boolean));
    const can = new Set(job.can);
    const act = (what) => () => attempt(async () => { await post(`/studio/jobs/${encodeURIComponent(job.id)}/${what}`); refresh(); });
    this.buttons.replaceChildren(...[
      can.has('cancel') ? ['cancel', act('cancel')] : null,
      can.has('retry') ? ['retry', act('retry')] : null,
      can.has('release') ? ['release', act('release')] : null,
      can.has('discard') ? ['discard', act('discard')] : null,
      can.has('edit') ? ['edit', () => send({ to: 'create', do: 'edit', job: job.id })] : null,
      ['show', () => send({ to: 'queue', do: 'show', job: job.id })],
      job.state === 'failed' ? ['remove', this.hide] : null,
    ].filter(Boolean).map(([name, run]) => el('button', { type: 'button', onclick: run, 'data-do': name }, say(`create.bench.${name}`))));
  }
}

class RunCard {
  constructor(run) {
    this.badge = el('span.badge');
    this.stage = el('div.row.job-line');
    this.why = el('div.job-why');
    this.buttons = el('div.row.job-buttons');
    this.fill = el('span');
    this.node = el('article.job.panel', { 'data-run': run.id }, el('div.job-glimpse'),
      el('div.job-told', {}, el('div.row', {}, this.badge, el('span.quiet', {}, say('create.extension.title', { asset: run.clip }))),
        el('div.bar', {}, this.fill), this.stage, this.why, this.buttons));
  }

  update(run) {
    const isRunning = run.state === 'running';
    this.badge.textContent = say(run.state === 'canceled' ? 'queue.status.canceled' : run.state === 'failed' ? 'queue.status.failed' : 'create.extension.card');
    this.badge.className = `badge ${run.state === 'failed' ? 'bad' : ''}`;
    this.fill.style.width = run.total ? `${Math.round((100 * run.done) / run.total)}%` : '0';
    this.stage.textContent = isRunning ? [run.stage, run.total ? say('create.bench.step', { done: run.done, total: run.total }) : null].filter(Boolean).join(', ') : ' ';
    const told = run.error ? [run.error.message, run.error.fix].filter(Boolean).join('; ') : run.state === 'canceled' ? say('create.extension.stopped') : null;
    const text = JSON.stringify([run.state, run.is_stopped, told, run.notes]);
    if (text === this.text) return;
    this.text = text;
    this.why.replaceChildren(...[told ? el('p.job-error', {}, told) : null, ...run.notes.map((note) => el('p.quiet', {}, note))].filter(Boolean));
    const stop = () => attempt(async () => { await post(`/studio/extensions/${run.id}/stop`); refresh(); });
    this.buttons.replaceChildren(el('button', { type: 'button', onclick: stop, disabled: isRunning && run.is_stopped },
      say(isRunning ? 'create.bench.cancel' : 'create.bench.remove')));
  }
}

const ratio = (request) => (request.width && request.height ? `${request.width} / ${request.height}` : '16 / 9');

/** Frames per second of the text of a fraction, such as 24 or 30000/1001. */
const rate = (text) => { const [over, under = 1] = String(text).split('/').map(Number); return over / under; };
