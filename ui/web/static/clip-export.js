// Saves a clip as something else: the studio makes it, seals it and keeps it, and the sealed file is downloaded.
import { el, post, refresh, say, toast } from '/studio/static/studio.js';

const PICTURES = ['png', 'jpg'];
const TIMED = ['mov', 'webm', 'mkv', 'mp4', 'gif', 'webp'];

/** Let the browser save a file of the studio. */
export function save(address, name) {
  const link = el('a', { href: address, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
}

/** Ask what is wanted of a clip. frame: the one that is seen now. */
export function exportSheet(clip, frame) {
  const field = (name, attributes) => el('input', { type: 'number', name, 'aria-label': say(`clip.export.${name}`), ...attributes });
  const format = el('select', { name: 'format' }, clip.formats.map((name) => el('option', { value: name }, name.toUpperCase())));
  const fields = {
    start: field('start', { min: 0, max: clip.seconds, step: 0.01, placeholder: '0' }),
    end: field('end', { min: 0, max: clip.seconds, step: 0.01, placeholder: clip.seconds.toFixed(2) }),
    frame: field('frame', { min: 0, max: clip.num_frames - 1, step: 1, value: String(frame) }),
    width: field('width', { min: 16, step: 2, placeholder: String(clip.width) }),
  };
  const note = el('p.quiet', { role: 'status' }, say('clip.export.note'));
  const go = el('button.primary', { type: 'submit' }, say('clip.export.go'));
  const rows = Object.fromEntries(Object.entries(fields).map(([name, input]) => [name, el('label.row', {}, el('span', {}, say(`clip.export.${name}`)), input)]));
  const fit = () => {
    const isPicture = PICTURES.includes(format.value);
    rows.frame.hidden = !isPicture;
    rows.start.hidden = rows.end.hidden = !TIMED.includes(format.value);
  };
  format.addEventListener('change', fit);
  fit();
  const dialog = el('dialog.sheet.clip-export', { 'aria-label': say('clip.export.title') }, el('form.stack', { onsubmit: submit },
    el('h2', {}, say('clip.export.title')),
    el('label.row', {}, el('span', {}, say('clip.export.format')), format), Object.values(rows), note,
    el('div.row', {}, go, el('button', { type: 'button', onclick: () => dialog.close() }, say('shell.cancel')))));
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();

  async function submit(event) {
    event.preventDefault();
    const wish = { format: format.value };
    for (const [name, input] of Object.entries(fields)) if (!rows[name].hidden && input.value !== '') wish[name] = Number(input.value);
    go.disabled = true;
    note.textContent = say('clip.exporting');
    try {
      const made = await post(`/studio/clips/${encodeURIComponent(clip.id)}/export`, wish);
      save(made.url, made.name);
      if (made.sidecar) { save(made.sidecar, `${made.asset}.c2pa`); toast(say('clip.sidecar_note'), { seconds: 12 }); }
      made.notes.forEach((text) => toast(text));
      toast(say('clip.exported'));
      dialog.close();
      refresh();
    } catch (error) {
      note.textContent = error.message;
      note.setAttribute('role', 'alert');
    } finally {
      go.disabled = false;
    }
  }
}
