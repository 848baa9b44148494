// What is in force and what this program is: only to be read.
import { el, get, say } from '/studio/static/studio.js';
import { badge, facts, head, panel, table } from '/studio/static/settings-parts.js';

export function defaults({ host }) {
  const load = async () => {
    const { settings } = await get('/studio/settings/defaults');
    const columns = ['setting', 'value', 'variable'].map((name) => say(`settings.defaults.${name}`));
    host.replaceChildren(head('defaults'), table(say('settings.part.defaults'), columns, settings.map((item) => [
      say(`settings.meaning.${item.name}`),
      el('div.row', {}, el('span.settings-value', {}, valueOf(item)), badge(say(`settings.defaults.${item.is_default ? 'from_default' : 'from_environment'}`), item.is_default ? '' : 'good')),
      el('code.mono', {}, item.variable)])));
  };
  return { load };
}

function valueOf(item) {
  if (item.is_secret) return say('settings.defaults.secret_set');
  return item.value ?? say('settings.defaults.unset');
}

export function about({ host }) {
  const load = async () => {
    const told = await get('/studio/settings/about');
    host.replaceChildren(head('about'),
      el('section.panel', {}, facts([
        [say('settings.about.version'), told.version],
        [say('settings.about.licence'), el('span', {}, told.licence, el('div.quiet', {}, say('settings.about.licence_note')))],
        [say('settings.about.privacy'), say('settings.about.no_telemetry')],
      ])),
      panel(say('settings.about.documents'), el('p.quiet', {}, say('settings.about.documents_note')),
        el('ul.settings-list', {}, told.documents.map((name) => el('li.mono', {}, name)))));
  };
  return { load };
}
