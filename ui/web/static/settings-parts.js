// What the parts of the settings are drawn with: heads, tables, facts, dialogs, copy buttons.
import { el, say, toast } from '/studio/static/studio.js';

/** The head of a part: its name, what it is for, and buttons. */
export function head(name, ...buttons) {
  return el('header.settings-head', {},
    el('div', {}, el('h2', { id: `settings-${name}` }, say(`settings.part.${name}`)), el('p.quiet', {}, say(`settings.about_part.${name}`))),
    el('div.row', {}, buttons));
}

/** A panel with a heading. */
export function panel(title, ...content) {
  return el('section.panel.settings-panel', {}, el('h3', {}, title), content);
}

/** A table that scrolls within itself. columns: headings; one that is {label, number: true} stands to the right. */
export function table(label, columns, rows) {
  const cell = (content, index) => el(`td${columns[index].number ? '.settings-number' : ''}`, {}, content ?? '–');
  return el('div.settings-frame', { tabindex: '0', role: 'region', 'aria-label': label },
    el('table', {},
      el('thead', {}, el('tr', {}, columns.map((column) => el(`th${column.number ? '.settings-number' : ''}`, { scope: 'col' }, column.label ?? column)))),
      el('tbody', {}, rows.map((row) => (row instanceof Node ? row : el('tr', {}, row.map(cell)))))));
}

/** Pairs of a name and what it is; those that are nothing are left out. */
export function facts(pairs) {
  return el('dl.facts', {}, pairs.filter(Boolean).map(([name, value, isMono]) => [
    el('dt', {}, name), el(`dd${isMono ? '.mono' : ''}`, {}, value ?? '–')]));
}

export function badge(text, kind = '') {
  return el(`span.badge${kind ? `.${kind}` : ''}`, {}, text);
}

/** A link that leads away from the studio. */
export function away(href, text, label = null) {
  return el('a', { href, target: '_blank', rel: 'noreferrer noopener', 'aria-label': label }, text);
}

/** A button that copies a command. */
export function copyButton(command) {
  const copy = async () => {
    await navigator.clipboard.writeText(command);
    toast(say('shell.copied'));
  };
  return el('span.settings-command', {}, el('code.mono', {}, command),
    el('button', { type: 'button', 'aria-label': say('settings.copy_command', { command }), onclick: copy }, say('settings.copy')));
}

/** Do something while a button cannot be pressed again; what goes wrong is told in a toast. Returns whether it was done. */
export async function during(button, work) {
  button.disabled = true;
  try {
    return { value: await work() };
  } catch (error) {
    toast(error.message, { kind: 'bad', seconds: 12 });
    return null;
  } finally {
    button.disabled = false;
  }
}

/** A dialog with a form. fields: elements; send: called when it is submitted, may throw; then the reason is shown in it. */
export function dialogForm({ title, fields, yes, send, isDanger = false, canSend = () => true }) {
  const problem = el('p.settings-problem', { role: 'alert', hidden: true });
  const submit = el(`button.${isDanger ? 'danger' : 'primary'}`, { type: 'submit', disabled: !canSend() }, yes);
  const close = el('button', { type: 'button', onclick: () => dialog.close() }, say('shell.cancel'));
  const onsubmit = async (event) => {
    event.preventDefault();
    submit.disabled = true;
    problem.hidden = true;
    try {
      await send();
      dialog.close();
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    } finally {
      submit.disabled = !canSend();
    }
  };
  const oninput = () => { submit.disabled = !canSend(); };
  const dialog = el('dialog.sheet.settings-dialog', { 'aria-label': title },
    el('form', { onsubmit, oninput, autocomplete: 'off', method: 'dialog' },
      el('h2', {}, title), fields, problem, el('div.row.settings-dialog-buttons', {}, close, submit)));
  const before = document.activeElement;
  dialog.addEventListener('close', () => { dialog.remove(); before?.focus?.(); });
  document.body.append(dialog);
  dialog.showModal();
  (dialog.querySelector('input, select') ?? close).focus();
  return dialog;
}

/** Ask whether it is meant, and do it. */
export function ask(title, why, yes, send) {
  return dialogForm({ title, fields: [el('p', {}, why)], yes, send, isDanger: true });
}

/** A field for a secret. Nothing is filled in, and nothing is kept of it: `take` empties it. */
export function secretField(label, { autocomplete = 'off', hint = null } = {}) {
  const input = el('input', { type: 'password', autocomplete, spellcheck: 'false', autocapitalize: 'off', required: true, 'data-1p-ignore': '', 'data-lpignore': 'true' });
  const take = () => { const text = input.value; input.value = ''; return text; };
  return { input, take, element: el('label.settings-field', {}, el('span', {}, label), input, hint && el('small.quiet', {}, hint)) };
}
