// Keys of providers: whether there is one and where from; setting and removing. No key is ever read back.
import { el, get, post, say, toast } from '/studio/static/studio.js';
import { ask, away, badge, dialogForm, during, head, secretField, table } from '/studio/static/settings-parts.js';

export function keys({ host }) {
  let wanted = '';
  const load = async () => draw(await get('/studio/settings/keys'));

  function draw(told) {
    const again = el('button', { type: 'button', onclick: () => during(again, load) }, say('settings.again'));
    const find = el('input', { type: 'search', value: wanted, placeholder: say('settings.keys.filter'), 'aria-label': say('settings.keys.filter'),
      oninput: () => { wanted = find.value; fill(); } });
    const frame = el('div', {});
    const fill = () => {
      const found = told.providers.filter((item) => `${item.name} ${item.provider}`.toLowerCase().includes(wanted.trim().toLowerCase()));
      const columns = [say('settings.keys.provider'), say('settings.keys.state'), { label: '' }];
      frame.replaceChildren(table(say('settings.part.keys'), columns, found.map((item) => row(item, !told.keyring_fault))));
    };
    fill();
    host.replaceChildren(head('keys', find, again), ...fault(told), frame);
  }

  function row(item, hasKeyring) {
    return el('tr', { 'data-provider': item.provider },
      el('td', {}, el('strong', {}, item.name), el('div.quiet.settings-small', {}, item.key_url
        && away(item.key_url, say('settings.keys.get_one'), say('settings.keys.get_one_named', item)))),
      el('td', {}, item.halves.map((half) => state(item, half)), item.fault && el('p.settings-problem', {}, item.fault)),
      el('td.settings-buttons', {}, el('div.row', {}, hasKeyring ? buttons(item) : el('span.quiet.settings-small', {}, say('settings.keys.not_here')))));
  }

  function buttons(item) {
    const isThere = item.halves.some((half) => half.from === 'keyring');
    const set = el('button', { type: 'button', 'aria-label': say(isThere ? 'settings.keys.replace_named' : 'settings.keys.set_named', item),
      onclick: () => setKey(item) }, say(isThere ? 'settings.keys.replace' : 'settings.keys.set'));
    const remove = el('button.danger', { type: 'button', 'aria-label': say('settings.keys.remove_named', item), onclick: () => removeKey(item) },
      say('settings.keys.remove'));
    return [set, item.is_removable && remove];
  }

  function setKey(item) {
    const fields = item.halves.map((half) => ({ half, ...secretField(say(half.half === 'first' ? 'settings.keys.field' : 'settings.keys.field_second', item)) }));
    fields.slice(1).forEach((field) => { field.input.required = false; });
    const variable = item.halves.find((half) => half.variable)?.variable;
    const send = async () => {
      const texts = fields.map((field) => [field.half.half, field.take()]).filter(([, text]) => text);
      for (const [half, key] of texts) take(await post(path(item, half), { key }));
      toast(say('settings.keys.kept', item));
    };
    dialogForm({ title: say('settings.keys.set_named', item), yes: say('settings.save'), send,
      fields: [...fields.map((field) => field.element), el('p.quiet', {}, say('settings.keys.once')),
        variable && el('p', {}, say('settings.keys.from_environment', { variable }))] });
  }

  function removeKey(item) {
    ask(say('settings.keys.remove_ask', item), say('settings.keys.remove_why'), say('settings.keys.remove'), async () => {
      take(await post(`/studio/settings/keys/${encodeURIComponent(item.provider)}`, {}, { method: 'DELETE' }));
      toast(say('settings.keys.removed', item));
    });
  }

  function take(told) {
    for (const note of told.notes) toast(note, { seconds: 10 });
    draw(told);
  }

  return { load };
}

function path(item, half) {
  return `/studio/settings/keys/${encodeURIComponent(item.provider)}/${half}`;
}

function fault(told) {
  if (!told.keyring_fault) return [];
  return [el('div.panel.settings-warning', { role: 'note' },
    el('strong', {}, say('settings.keys.no_keyring', { fault: told.keyring_fault })), el('p', {}, say('settings.keys.no_keyring_fix')))];
}

function state(item, half) {
  const words = { keyring: () => say('settings.keys.keyring'), environment: () => say('settings.keys.environment', half) };
  const text = half.is_there ? words[half.from]() : say(half.half === 'second' ? 'settings.keys.second_missing' : item.needs_key ? 'settings.keys.missing' : 'settings.keys.not_needed');
  const shown = badge(half.half === 'second' ? say('settings.keys.second', { state: text }) : text, half.is_there ? 'good' : '');
  const ways = !half.is_there && half.variables.length
    ? el('span.quiet.settings-small', {}, say('settings.keys.variables', { variables: half.variables.join(' / ') })) : null;
  return el('div.row', {}, shown, ways);
}
