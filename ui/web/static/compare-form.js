// Setting up a comparison: one request, two to eight contestants, and before anything starts what each would make of it.
import { attempt, el, get, money, post, refresh, say } from '/studio/static/studio.js';
import { Contestant } from '/studio/static/compare-contestant.js';
import { Draft, exact, number, text } from '/studio/static/compare-draft.js';

const LEAST = 2;
const MOST = 8;
const WAIT = 500; // milliseconds from the last key to the plan
const RESOLUTIONS = ['360p', '480p', '540p', '720p', '1080p'];
const RATIOS = ['16:9', '9:16', '1:1', '4:3', '3:4', '21:9'];
const MORE = ['negative_prompt', 'frame_rate', 'num_frames', 'num_inference_steps', 'guidance_scale', 'generate_audio', 'max_cost', 'title', 'tags'];

export async function showForm({ go, given }) {
  const { models } = await get('/studio/comparisons/models');
  const form = new Form(go, models.filter((model) => model.status !== 'retired'));
  form.fill(given ? startOf(given, form) : Draft.kept());
  return { element: form.element, key: () => false, dispose: () => form.dispose() };
}

class Form {
  constructor(go, models) {
    Object.assign(this, { go, models, contestants: [], fields: {}, files: {}, picturesOf: null, timer: null, running: null, seed: null });
    this.list = el('div.stack.compare-contestants');
    this.add = el('button', { type: 'button', onclick: () => this.addModel() }, say('compare.form.add'));
    this.vary = el('button', { type: 'button', onclick: () => this.addSeed() }, say('compare.form.vary'));
    this.total = el('p', { role: 'status' });
    this.problem = el('p.compare-error', { role: 'alert' });
    this.startButton = el('button.primary', { type: 'submit' }, say('compare.form.start'));
    this.element = el('form.compare-form', {
      novalidate: true, onsubmit: (event) => { event.preventDefault(); attempt(() => this.start()); }, oninput: () => this.changed(), 'data-drop': true,
    }, this.request(),
    el('section.stack', { 'aria-label': say('compare.form.contestants') },
      el('div.row', {}, el('h2', {}, say('compare.form.contestants')), this.add, this.vary), el('p.quiet', {}, say('compare.form.contestants_how')), this.list,
      el('div.panel.stack.compare-start', {}, this.total, this.problem, el('div.row', {}, this.startButton))));
  }

  // -- the request -------------------------------------------------------------------------------------------------

  request() {
    const field = (name, control, { hint = '' } = {}) => {
      this.fields[name] = control;
      control.setAttribute('name', name);
      return el('label.stack.compare-field', {}, el('span', {}, say(`compare.form.${name}`)), control, hint ? el('span.quiet', {}, hint) : null);
    };
    const any = say('compare.form.any');
    const input = (kind, more = {}) => el('input', { type: kind, ...more });
    const choose = (values) => el('select', {}, el('option', { value: '' }, any), values.map((value) => el('option', { value }, value)));
    const audio = el('select', {}, ['', 'true', 'false'].map((value) => el('option', { value }, say(`compare.form.sound_${value || 'any'}`))));
    return el('section.panel.stack.compare-request', { 'aria-label': say('compare.form.request') },
      el('h2', {}, say('compare.form.request')),
      field('prompt', el('textarea', { rows: 4, placeholder: say('compare.form.prompt_example') })),
      this.picture(),
      el('div.compare-grid', {},
        field('resolution', choose(RESOLUTIONS)), field('aspect_ratio', choose(RATIOS)),
        field('width', input('number', { min: 1, placeholder: say('compare.form.or_exact') })), field('height', input('number', { min: 1 })),
        field('duration_seconds', input('number', { min: 0.1, step: 'any', placeholder: say('compare.form.any') })),
        field('seed', input('text', { inputmode: 'numeric', placeholder: say('compare.form.drawn') }))),
      this.more = el('details', {}, el('summary', {}, say('compare.form.more')), el('div.stack', {},
        field('negative_prompt', el('textarea', { rows: 2 })),
        el('div.compare-grid', {},
          field('frame_rate', input('text', { inputmode: 'decimal', placeholder: any })),
          field('num_frames', input('number', { min: 1, placeholder: any })),
          field('num_inference_steps', input('number', { min: 1, placeholder: any })),
          field('guidance_scale', input('number', { step: 'any', placeholder: any })),
          field('generate_audio', audio), field('max_cost', input('text', { placeholder: '5 USD' }))),
        field('title', input('text', { maxlength: 200 })), field('tags', input('text', { placeholder: say('compare.form.tags_example') })))));
  }

  picture() {
    this.file = el('input', { type: 'file', accept: 'image/*', name: 'image', onchange: () => this.setPicture(this.file.files[0] ?? null) });
    this.thumb = el('img.compare-picture', { alt: say('compare.form.image'), hidden: true });
    this.pictureNote = el('span.quiet');
    const none = () => { this.file.value = ''; this.setPicture(null); this.changed(); };
    this.noPicture = el('button', { type: 'button', hidden: true, onclick: none }, say('compare.form.no_picture'));
    const zone = el('div.row.compare-drop', {
      ondragover: (event) => event.preventDefault(),
      ondrop: (event) => {
        event.preventDefault();
        event.stopPropagation();
        const [file] = event.dataTransfer.files;
        if (file) { this.setPicture(file); this.changed(); }
      },
    }, el('label.stack.compare-field', {}, el('span', {}, say('compare.form.image')), this.file), this.thumb, this.pictureNote, this.noPicture);
    return zone;
  }

  setPicture(file) {
    if (this.thumb.src) URL.revokeObjectURL(this.thumb.src);
    this.picturesOf = null;
    this.files = file ? { image: file } : {};
    this.thumb.hidden = !file;
    this.noPicture.hidden = !file;
    this.pictureNote.textContent = '';
    if (file) this.thumb.src = URL.createObjectURL(file);
  }

  /** The pictures of a clip of the library are used. */
  setPicturesOf(asset, note, isThere) {
    this.picturesOf = isThere ? asset : null;
    this.noPicture.hidden = !isThere;
    this.pictureNote.textContent = note;
  }

  // -- contestants -------------------------------------------------------------------------------------------------

  addModel(start = null) {
    if (this.contestants.length >= MOST) return;
    const used = new Set(this.contestants.map((item) => item.model.id));
    const task = this.files.image || this.picturesOf ? 'image-to-video' : 'text-to-video';
    const ready = this.models.filter((model) => model.ready && model.tasks.includes(task));
    const free = ready.find((model) => !used.has(model.id) && model.where === 'local') ?? ready.find((model) => !used.has(model.id)) ?? ready[0] ?? this.models[0];
    const contestant = new Contestant(this.models, start ?? { model: free.id }, {
      onChange: () => this.changed(),
      onRemove: () => { this.contestants.splice(this.contestants.indexOf(contestant), 1); contestant.element.remove(); this.renumber(); },
      onCopy: () => this.addModel(contestant.raw()),
    });
    this.contestants.push(contestant);
    this.list.append(contestant.element);
    this.renumber();
  }

  /** One more of the last model, with a seed of its own. */
  addSeed() {
    const last = this.contestants.at(-1);
    if (!last) { this.addModel(); return; }
    const raw = last.raw();
    const seeds = this.contestants.map((item) => Number(item.raw().fields?.seed || this.fields.seed.value || 0)).filter(Number.isSafeInteger);
    this.addModel({ ...raw, label: '', fields: { ...raw.fields, seed: String(Math.max(0, ...seeds) + 1) } });
  }

  renumber() {
    this.contestants.forEach((item, index) => item.setNumber(index + 1, this.contestants.length > LEAST));
    this.add.disabled = this.vary.disabled = this.contestants.length >= MOST;
    this.changed();
  }

  // -- what was typed ----------------------------------------------------------------------------------------------

  fill(raw) {
    for (const [name, value] of Object.entries(raw.fields ?? {})) if (this.fields[name]) this.fields[name].value = value;
    if (MORE.some((name) => this.fields[name].value)) this.more.open = true;
    for (const start of raw.entries ?? []) if (this.models.some((model) => model.id === start.model)) this.addModel(start);
    while (this.contestants.length < LEAST) this.addModel();
    if (raw.pictures) this.setPicturesOf(raw.pictures.asset, raw.pictures.note, raw.pictures.isThere);
    this.changed();
  }

  raw() {
    const fields = Object.fromEntries(Object.entries(this.fields).map(([name, control]) => [name, control.value]));
    return { fields, entries: this.contestants.map((item) => item.raw()) };
  }

  /** The request as the studio reads it. isStart: with the seed that the plan drew, so that what was shown is made. */
  wish(isStart = false) {
    const { fields } = this;
    const value = (name) => fields[name].value;
    const found = {
      prompt: value('prompt'), negative_prompt: value('negative_prompt'), seed: exact(value('seed') || (isStart ? this.seed : '')),
      resolution: text(value('resolution')), aspect_ratio: text(value('aspect_ratio')), frame_rate: text(value('frame_rate')), title: value('title'),
      tags: value('tags').split(',').map((word) => word.trim()).filter(Boolean), max_cost: text(value('max_cost')),
      generate_audio: value('generate_audio') === '' ? undefined : value('generate_audio') === 'true', pictures_of: this.picturesOf ?? undefined,
      entries: this.contestants.map((item) => item.wish()),
    };
    for (const name of ['width', 'height', 'duration_seconds', 'num_frames', 'num_inference_steps', 'guidance_scale']) found[name] = number(value(name));
    return found;
  }

  body(isStart) {
    const wish = this.wish(isStart);
    if (!this.files.image) return wish;
    const form = new FormData();
    form.append('wish', JSON.stringify(wish));
    form.append('image', this.files.image);
    return form;
  }

  // -- planning and starting ---------------------------------------------------------------------------------------

  changed() {
    Draft.keep(this.raw());
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.plan(), WAIT);
  }

  async plan() {
    this.running?.abort();
    if (!this.isAsking()) { this.wait(); return; }
    this.running = new AbortController();
    const { signal } = this.running;
    this.element.setAttribute('aria-busy', 'true');
    try {
      this.tell(await post('/studio/comparisons/plan', this.body(false), { signal }));
    } catch (error) {
      if (error.name !== 'AbortError') this.complain(error);
    } finally {
      if (!signal.aborted) this.element.removeAttribute('aria-busy');
    }
  }

  /** Whether anything is asked for yet: before, nobody is told what is missing. */
  isAsking() {
    return Boolean(this.fields.prompt.value.trim() || this.files.image || this.picturesOf || this.contestants.some((item) => item.raw().fields.prompt));
  }

  wait() {
    this.complain(null);
    this.element.removeAttribute('aria-busy');
    this.total.textContent = say('compare.form.begin');
    this.startButton.disabled = true;
    for (const contestant of this.contestants) contestant.tell(null);
  }

  tell(told) {
    this.complain(null);
    this.seed = told.seed;
    told.entries.forEach((entry, index) => this.contestants[index]?.tell(entry));
    const costs = told.cost.map(money).join(' + ');
    const cost = told.remote ? costs && say('compare.form.cost', { cost: costs }) : say('compare.form.free');
    const unknown = told.unknown ? say('compare.form.unknown', { number: told.unknown }) : '';
    const parts = told.can_start ? [cost, unknown] : [say('compare.form.too_few')];
    this.total.textContent = parts.filter(Boolean).join(' ');
    this.startButton.disabled = !told.can_start;
  }

  /** Show what is wrong with the whole, and at which field; null: nothing is. */
  complain(error) {
    const place = error?.told?.field in this.fields ? `${say(`compare.form.${error.told.field}`)}: ` : '';
    const allowed = error?.told?.allowed && say('compare.form.allowed', { allowed: error.told.allowed });
    this.problem.textContent = error ? place + [error.message, allowed].filter(Boolean).join('. ') : '';
    for (const [name, control] of Object.entries(this.fields)) {
      const isWrong = error?.told?.field === name;
      control.toggleAttribute('aria-invalid', isWrong);
      if (isWrong) control.setAttribute('aria-invalid', 'true');
    }
  }

  async start() {
    clearTimeout(this.timer);
    this.running?.abort();
    this.startButton.disabled = true;
    try {
      const begun = await post('/studio/comparisons', this.body(true));
      Draft.drop();
      refresh();
      this.go(begun.id);
    } catch (error) {
      this.complain(error);
      throw error;
    } finally {
      this.startButton.disabled = false;
    }
  }

  dispose() {
    clearTimeout(this.timer);
    this.running?.abort();
    this.setPicture(null);
  }
}

/** What the form begins with: a clip's own request, or a comparison that is to be made again. */
function startOf({ base, request, entries }) {
  if (base) {
    const note = base.pictures_wanted === 0 ? '' : say(base.pictures_found ? 'compare.form.picture_kept' : 'compare.form.picture_lost');
    return {
      fields: {
        prompt: base.prompt, negative_prompt: base.negative_prompt, seed: base.seed, width: base.width, height: base.height,
        num_frames: base.num_frames, frame_rate: base.frame_rate,
      },
      entries: [{ model: base.model, fields: { num_inference_steps: base.steps ?? '', guidance_scale: base.guidance_scale ?? '' }, options: base.options }],
      pictures: { asset: base.asset, note, isThere: base.pictures_found > 0 },
    };
  }
  const values = Object.entries(request).filter(([, value]) => value !== null && typeof value !== 'object');
  const plain = Object.fromEntries(values.map(([name, value]) => [name, String(value)]));
  if (plain.duration_seconds?.includes('/')) {
    const [top, bottom] = plain.duration_seconds.split('/').map(Number);
    plain.duration_seconds = String(top / bottom);
  }
  const first = entries.find((entry) => entry.clip);
  const hasPicture = (request.conditionings ?? []).length > 0;
  return {
    fields: plain,
    entries: entries.map((entry) => ({ model: entry.model, label: entry.own_label, fields: entry.changes, options: entry.changes.options })),
    pictures: hasPicture && first ? { asset: first.clip.id, note: say('compare.form.picture_again'), isThere: true } : null,
  };
}
