// Who may log in, for admins; and one's own password.
import { el, get, moment, post, say, toast } from '/studio/static/studio.js';
import { ask, badge, dialogForm, during, head, secretField, table } from '/studio/static/settings-parts.js';

const ROLES = ['viewer', 'creator', 'admin'];

export function people({ host }) {
  const load = async () => draw(await get('/studio/settings/people'));

  function draw(told) {
    const add = el('button.primary', { type: 'button', onclick: addSomebody }, say('settings.people.add'));
    const columns = ['name', 'role', 'state', 'since'].map((name) => say(`settings.people.${name}`));
    host.replaceChildren(head('people', add), table(say('settings.part.people'), [...columns, { label: '' }], told.people.map(row)));
  }

  function row(person) {
    return el('tr', { 'data-person': person.name },
      el('td', {}, el('strong', {}, person.name), ' ', person.is_mine && badge(say('settings.people.you'))),
      el('td', {}, roleField(person)),
      el('td', {}, badge(say(`settings.people.${person.is_closed ? 'closed' : 'open'}`), person.is_closed ? 'warn' : 'good')),
      el('td.quiet', {}, moment(person.created_at)),
      el('td.settings-buttons', {}, el('div.row', {}, buttons(person))));
  }

  function roleField(person) {
    const field = el('select', { 'aria-label': say('settings.people.role_of', person), onchange: async () => {
      const done = await during(field, () => post(path(person, 'role'), { role: field.value }));
      if (!done) { field.value = person.role; return; }
      toast(say('settings.people.changed', { name: person.name, role: say(`settings.people.${field.value}`) }));
      draw(done.value);
    } }, ROLES.map((role) => el('option', { value: role }, say(`settings.people.${role}`))));
    field.value = person.role;
    return field;
  }

  function buttons(person) {
    const button = (name, onclick, kind = '') => el(`button${kind}`, { type: 'button', onclick, 'aria-label': say(`settings.people.${name}_named`, person) },
      say(`settings.people.${name}`));
    const reopen = button('reopen', () => during(reopen, async () => {
      draw(await post(path(person, 'open')));
      toast(say('settings.people.was_opened', person));
    }));
    return [button('reset', () => reset(person)), person.is_closed ? reopen : button('close', () => close(person), '.danger')];
  }

  function close(person) {
    ask(say('settings.people.close_ask', person), say('settings.people.close_why'), say('settings.people.close'), async () => {
      draw(await post(path(person, 'close')));
      toast(say('settings.people.was_closed', person));
    });
  }

  function reset(person) {
    const field = secretField(say('settings.people.reset'), { autocomplete: 'new-password', hint: say('settings.people.password_rule') });
    dialogForm({ title: say('settings.people.reset_named', person), fields: [field.element, el('p.quiet', {}, say('settings.people.reset_why'))],
      yes: say('settings.save'), send: async () => {
        draw(await post(path(person, 'password'), { password: field.take() }));
        toast(say('settings.people.reset_done', person));
      } });
  }

  function addSomebody() {
    const name = el('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', autocapitalize: 'off', required: true, maxlength: '40' });
    const role = el('select', {}, ROLES.map((item) => el('option', { value: item }, say(`settings.people.${item}`))));
    role.value = 'creator';
    const field = secretField(say('settings.people.password'), { autocomplete: 'new-password', hint: say('settings.people.password_rule') });
    const label = (text, input, hint) => el('label.settings-field', {}, el('span', {}, text), input, hint && el('small.quiet', {}, hint));
    dialogForm({ title: say('settings.people.add'), yes: say('settings.people.add_button'),
      fields: [label(say('settings.people.name'), name, say('settings.people.name_rule')), label(say('settings.people.role'), role), field.element],
      send: async () => {
        draw(await post('/studio/settings/people', { name: name.value.trim(), role: role.value, password: field.take() }));
        toast(say('settings.people.added', { name: name.value.trim() }));
      } });
  }

  return { load };
}

export function password({ host }) {
  const load = async () => {
    const current = secretField(say('settings.password.current'), { autocomplete: 'current-password' });
    const fresh = secretField(say('settings.password.new'), { autocomplete: 'new-password', hint: say('settings.people.password_rule') });
    const repeat = secretField(say('settings.password.repeat'), { autocomplete: 'new-password' });
    const problem = el('p.settings-problem', { role: 'alert', hidden: true });
    const change = el('button.primary', { type: 'submit' }, say('settings.password.change'));
    const tell = (text) => { problem.textContent = text; problem.hidden = false; };
    const onsubmit = async (event) => {
      event.preventDefault();
      if (fresh.input.value !== repeat.input.value) { tell(say('settings.password.differ')); return; }
      problem.hidden = true;
      change.disabled = true;
      repeat.take();
      try {
        await post('/studio/settings/password', { current: current.take(), password: fresh.take() });
        location.assign('/login');
      } catch (error) {
        tell(error.message);
        change.disabled = false;
      }
    };
    host.replaceChildren(head('password'), el('form.panel.settings-password', { onsubmit },
      current.element, fresh.element, repeat.element, problem, el('div.row', {}, change)));
  };
  return { load };
}

function path(person, what) {
  return `/studio/settings/people/${encodeURIComponent(person.name)}/${what}`;
}
