// One contestant in the form: a model, what is set otherwise for it alone, and what it would make of the request.
import { duration, el, money, say } from '/studio/static/studio.js';
import { differences } from '/studio/static/compare-one.js';
import { exact, number, text } from '/studio/static/compare-draft.js';

/** start: {model, label, fields: {name: text}, options: {name: value}}. */
export class Contestant {
  constructor(models, start, { onChange, onRemove, onCopy }) {
    Object.assign(this, { models, onChange, fields: {}, options: {} });
    this.place = el('strong.compare-place');
    const chosen = () => { this.choose(this.select.value, this.raw()); onChange(); };
    this.select = el('select', { 'aria-label': say('compare.form.model'), onchange: chosen }, groups(models));
    this.badges = el('span.row');
    const named = say('compare.form.label');
    this.label = el('input.compare-label', { type: 'text', maxlength: 200, placeholder: named, 'aria-label': named, value: start.label ?? '' });
    this.removeButton = el('button.plain', { type: 'button', onclick: onRemove }, say('compare.form.remove'));
    this.otherwise = el('details');
    this.told = el('div.compare-plan', { 'aria-live': 'polite' });
    this.element = el('section.panel.stack.compare-contestant', {},
      el('div.row', {}, this.place, this.select, this.badges, this.label,
        el('button.plain', { type: 'button', onclick: onCopy }, say('compare.form.copy')), this.removeButton),
      this.otherwise, this.told);
    this.choose(start.model, start);
  }

  setNumber(place, canBeRemoved) {
    this.place.textContent = String(place);
    this.element.setAttribute('aria-label', say('compare.form.contestant', { place }));
    this.removeButton.disabled = !canBeRemoved;
  }

  /** Take a model, and draw the fields that its row has. What was typed stays as far as the model has it. */
  choose(id, start) {
    this.model = this.models.find((model) => model.id === id) ?? this.models[0];
    this.select.value = this.model.id;
    this.badges.replaceChildren(...badges(this.model));
    this.fields = {};
    this.options = {};
    const common = this.commonFields(start.fields ?? {});
    const own = Object.entries(this.model.options).map(([name, rule]) => this.optionField(name, rule, (start.options ?? {})[name]));
    this.otherwise.replaceChildren(el('summary', {}, say('compare.form.otherwise')), el('div.compare-grid', {}, common, own));
    this.otherwise.open = [...Object.values(this.fields), ...Object.values(this.options)].some((control) => control.value !== '');
    this.told.replaceChildren();
  }

  commonFields(values) {
    const { model } = this;
    const field = (name, control, hint) => {
      this.fields[name] = control;
      control.value = values[name] ?? '';
      return labelled(say(`compare.form.${name}`), control, hint);
    };
    const words = (more = {}) => el('input', { type: 'text', placeholder: say('compare.form.as_all'), ...more });
    const ranged = (rule, whole) => el('input', {
      type: 'number', min: rule.min, max: rule.max, step: whole ? 1 : 'any', placeholder: say('compare.form.default', { value: rule.default }),
    });
    return [
      model.seed ? field('seed', words({ inputmode: 'numeric' })) : null,
      model.steps ? field('num_inference_steps', ranged(model.steps, true)) : null,
      model.guidance ? field('guidance_scale', ranged(model.guidance, false)) : null,
      model.negative_prompt ? field('negative_prompt', words()) : null,
      model.prompt === 'unused' ? null : field('prompt', words()),
      ...['width', 'height', 'num_frames'].map((name) => field(name, el('input', { type: 'number', min: 1, placeholder: say('compare.form.as_all') }))),
      field('frame_rate', words({ inputmode: 'decimal' })),
    ];
  }

  optionField(name, rule, value) {
    const control = controlOf(rule);
    this.options[name] = control;
    control.value = value ?? '';
    const unit = rule.unit ? ` (${rule.unit})` : '';
    return labelled(`${name.replaceAll('_', ' ')}${unit}`, control, rule.help);
  }

  raw() {
    const values = (controls) => Object.fromEntries(Object.entries(controls).map(([name, control]) => [name, control.value]).filter(([, value]) => value !== ''));
    return { model: this.model.id, label: this.label.value, fields: values(this.fields), options: values(this.options) };
  }

  wish() {
    const raw = this.raw();
    const changes = {};
    for (const [name, value] of Object.entries(raw.fields)) changes[name] = (READ_FIELD[name] ?? number)(value);
    const options = Object.fromEntries(Object.entries(raw.options).map(([name, value]) => [name, READ[this.model.options[name].type](value)]));
    if (Object.keys(options).length) changes.options = options;
    return { model: this.model.id, label: this.label.value, changes };
  }

  /** Show what the plan says of it; null: nothing yet. */
  tell(entry) {
    if (entry === null) { this.told.replaceChildren(); return; }
    if (entry.error) {
      const { message, allowed, fix } = entry.error;
      const sentences = [message, allowed && say('compare.form.allowed', { allowed }), fix].filter(Boolean);
      this.told.replaceChildren(el('p.compare-error', {}, sentences.join('. ')));
      return;
    }
    const { clip } = entry;
    const facts = [`${clip.width}×${clip.height}`, say('compare.frames', { frames: clip.num_frames }),
      say('compare.rate', { rate: Number(clip.frame_rate.toFixed(3)) }), say('compare.seconds', { seconds: Number(clip.seconds.toFixed(2)) }),
      clip.steps && say('compare.steps', { steps: clip.steps }),
      entry.seconds && say('compare.form.takes', { time: duration(entry.seconds) })].filter(Boolean).join(' · ');
    const cost = entry.is_free ? null : el('span.badge', {}, entry.cost ? money(entry.cost) : say('compare.form.no_price'));
    this.told.replaceChildren(el('div.row', {}, el('span.quiet', {}, say('compare.form.makes', { facts })), cost), differences(entry.differences));
  }
}

const READ_FIELD = { seed: exact, prompt: text, negative_prompt: text, frame_rate: text };
const READ = {
  integer: number, number, boolean: (value) => value === 'true', choice: (value) => value, text: (value) => value,
};

function controlOf(rule) {
  const standard = say('compare.form.default', { value: String(rule.default) });
  const options = { boolean: ['true', 'false'], choice: rule.choices }[rule.type];
  const worded = (value) => (rule.type === 'boolean' ? say(`compare.form.${value}`) : value);
  if (options) return el('select', {}, el('option', { value: '' }, standard), options.map((value) => el('option', { value }, worded(value))));
  if (rule.type === 'text') return el('input', { type: 'text', maxlength: rule.max_characters, placeholder: rule.default ? standard : '' });
  return el('input', { type: 'number', min: rule.min, max: rule.max, step: rule.type === 'integer' ? 1 : 'any', placeholder: standard });
}

function labelled(name, control, hint = '') {
  return el('label.stack.compare-field', hint ? { title: hint } : {}, el('span', {}, name), control);
}

function groups(models) {
  const kinds = {
    local: (model) => model.ready && model.where === 'local',
    remote: (model) => model.ready && model.where === 'remote',
    missing: (model) => !model.ready,
  };
  return Object.entries(kinds).map(([kind, fits]) => {
    const found = models.filter(fits);
    return found.length ? el('optgroup', { label: say(`compare.form.group_${kind}`) }, found.map((model) => el('option', { value: model.id }, model.name))) : null;
  });
}

function badges(model) {
  const provider = model.provider ? say('compare.form.remote', { provider: model.provider }) : say('compare.form.remote_any');
  const where = el('span.badge', { title: model.summary }, model.where === 'local' ? say('compare.form.local') : provider);
  const ready = model.ready ? el('span.badge.good', {}, say('compare.form.ready')) : el('span.badge.warn', { title: model.reason }, say('compare.form.not_ready'));
  const price = model.where === 'local' ? null : el('span.badge', {}, say(model.is_priced ? 'compare.form.costs' : 'compare.form.no_price'));
  return [where, ready, price].filter(Boolean);
}
