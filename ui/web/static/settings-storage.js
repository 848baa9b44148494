// What lies on the disk, and what can go.
import { bytes, el, get, post, say, toast } from '/studio/static/studio.js';
import { ask, during, facts, head, panel } from '/studio/static/settings-parts.js';

export function storage({ host }) {
  const load = async () => {
    const told = await get('/studio/settings/storage');
    const again = el('button', { type: 'button', onclick: () => during(again, load) }, say('settings.again'));
    host.replaceChildren(head('storage', again), where(told), kinds(told), el('div.settings-two', {}, waste(told.waste), bin(told.bin)));
  };

  function waste(told) {
    const size = bytes(told.size_bytes);
    const free = () => ask(say('settings.storage.free_ask', { size }), say('settings.storage.free_why'), say('settings.storage.free_button', { size }), async () => {
      const done = await post('/studio/settings/storage/free');
      toast(say('settings.storage.freed', { size: bytes(done.size_bytes) }));
      await load();
    });
    return panel(say('settings.storage.waste'),
      el('p', {}, told.number ? say('settings.storage.waste_some', { number: told.number, size }) : say('settings.storage.waste_none'), ' ',
        el('span.quiet', {}, say('settings.storage.waste_kept', { size: bytes(told.kept_bytes) }))),
      told.number > 0 && el('details', {}, el('summary', {}, say('settings.storage.waste_show')), el('pre', {}, told.names.join('\n'))),
      told.number > 0 && el('div.row', {}, el('button.danger', { type: 'button', onclick: free }, say('settings.storage.free_button', { size }))));
  }

  function bin(told) {
    const empty = () => ask(say('settings.storage.bin_ask', told), say('settings.storage.bin_why'), say('settings.storage.bin_yes'), async () => {
      const { removed, failed } = await post('/studio/library/empty');
      if (failed.length) toast(say('settings.storage.emptied_some', { number: removed, failed: failed.length, why: failed[0] }), { kind: 'bad', seconds: 12 });
      else toast(say('settings.storage.emptied', { number: removed }));
      await load();
    });
    return panel(say('settings.storage.bin'),
      el('p', {}, told.number ? say('settings.storage.bin_some', { number: told.number, size: bytes(told.size_bytes) }) : say('settings.storage.bin_none')),
      told.number > 0 && el('div.row', {}, el('button.danger', { type: 'button', onclick: empty }, say('settings.storage.bin_button'))));
  }

  return { load };
}

function where(told) {
  return el('section.panel', {}, facts([
    [say('settings.storage.free'), say('settings.storage.free_of', { free: bytes(told.free_bytes), total: bytes(told.disk_bytes) })],
    [say('settings.storage.home'), told.home, true],
    [say('settings.storage.weights_folder'), told.weights_folder, true],
  ]));
}

function kinds(told) {
  const most = Math.max(1, ...Object.values(told.kinds).map((size) => size ?? 0));
  return el('section.panel', {}, el('dl.settings-kinds', {}, Object.entries(told.kinds).map(([name, size]) => [
    el('dt', {}, say(`settings.storage.${name}`)),
    el('dd', {}, size === null ? say('settings.storage.elsewhere') : [
      el('div.bar', { 'aria-hidden': 'true' }, el('span', { style: `width:${(100 * size) / most}%` })), el('span', {}, bytes(size))]),
  ])));
}
