// One line under the button: what the clip takes, and what stands in its way. Also: the form's errors, beside their field.
import { bytes, duration, el, get, money, say } from '/studio/static/studio.js';

export function mount({ element, props, watch }) {
  const line = el('div.estimate', { role: 'status', 'aria-live': 'polite' });
  element.replaceChildren(line);
  let turn = 0;
  const show = async (told) => {
    const mine = ++turn;
    draw(line, told);
    for (let wait = 400; told?.is_pending && mine === turn; wait = Math.min(wait * 1.5, 3000)) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      if (mine !== turn) return;
      const found = await get(`/studio/estimates/${encodeURIComponent(told.model)}/${told.key}`).catch(() => null);
      if (!found || mine !== turn) return;
      told = { ...found, model: told.model };
      draw(line, told);
    }
  };
  watch('value', () => show(props.value));
  show(props.value);
}

function draw(line, told) {
  clearProblem('estimate');
  if (!told || (!told.is_pending && !told.error && told.seconds === undefined)) { line.replaceChildren(); return; }
  if (told.is_pending) { line.replaceChildren(el('span.quiet', {}, say('create.estimate.working'))); return; }
  if (told.error) {
    line.replaceChildren(el('span.estimate-problem', {}, sentence(told.error)));
    return;
  }
  const clip = say('create.estimate.clip', {
    width: told.width, height: told.height, frames: told.num_frames, rate: Number(told.frame_rate.toFixed(3)), seconds: Number(told.duration_seconds.toFixed(2)),
  });
  const isLocal = told.where === 'local';
  const parts = [
    told.seconds ? say('create.estimate.seconds', { time: duration(told.seconds) }) : null,
    isLocal && told.ram_bytes ? say('create.estimate.memory', { memory: bytes(told.ram_bytes) }) : null,
    told.vram_bytes ? say('create.estimate.vram', { memory: bytes(told.vram_bytes) }) : null,
    told.disk_bytes ? say('create.estimate.disk', { size: bytes(told.disk_bytes) }) : null,
    price(told),
  ].filter(Boolean);
  const fits = isLocal && told.fits !== null
    ? el(`span.badge.${told.fits ? 'good' : 'bad'}`, {}, say(told.fits ? 'create.estimate.fits' : 'create.estimate.fits_not')) : null;
  const isOpen = line.querySelector('details')?.open ?? false;
  line.replaceChildren(...[
    el('div.row', {}, fits, el('span', {}, parts.join(' · '))),
    told.shortage ? el('div.estimate-problem', {}, told.shortage) : null,
    el('details', { open: isOpen }, el('summary', {}, clip),
      told.warnings.map((text) => el('div.quiet', {}, text)),
      el('div.quiet', {}, told.basis, told.plan ? ` · ${told.plan}` : '')),
  ].filter(Boolean));
}

function price(told) {
  if (told.where === 'local' || told.cost?.amount === 0) return say('create.estimate.free');
  return told.cost ? say('create.estimate.cost', { price: money(told.cost) }) : say('create.estimate.unpriced');
}

const sentence = (error) => [error.message, error.got ? say('create.got', { got: error.got }) : null, error.allowed ? say('create.allowed', { allowed: error.allowed }) : null]
  .filter(Boolean).join('; ');

/** Say beside a field what is wrong with it; it goes when the field is changed. Returns whether the form has the field. */
export function showProblem(name, text) {
  const field = document.getElementById(`create-field-${name?.replace('.', '-')}`);
  if (!field || !field.offsetParent) return false;
  clearProblem(name);
  const id = `create-problem-${name.replace('.', '-')}`;
  const note = el('p.create-problem', { id, role: 'alert', 'data-problem': name }, text);
  field.append(note);
  const input = field.querySelector('textarea, input');
  input?.setAttribute('aria-invalid', 'true');
  input?.setAttribute('aria-describedby', id);
  input?.focus();
  field.addEventListener('input', () => clearProblem(name), { once: true });
  return true;
}

export function clearProblem(name) {
  for (const note of document.querySelectorAll('.create-problem')) {
    if (name && note.dataset.problem !== name) continue;
    const input = note.parentElement?.querySelector('[aria-invalid]');
    input?.removeAttribute('aria-invalid');
    input?.removeAttribute('aria-describedby');
    note.remove();
  }
}
