// What is done with many clips at once: tags, stars, collections, a ZIP file, the bin and back.
import { attempt, bytes, el, post, refresh, say, toast } from '/studio/static/studio.js';
import { sheet } from '/studio/static/clip.js';

/** A sentence for one, or for many. */
export function counted(name, count) {
  return count === 1 ? say(`${name}_one`) : say(name, { count });
}

/** Put clips into the bin, at once and with a way back. changed(): is called after each change. */
export async function putIntoBin(ids, changed) {
  const told = await attempt(() => post('/studio/library/bin', { ids }));
  if (!told) return false;
  changed();
  refresh();
  toast(counted('library.told.binned', ids.length), { seconds: 12, action: { label: say('shell.undo'), run: () => takeOut(told.ids, changed) } });
  return true;
}

export async function takeOut(ids, changed) {
  const told = await attempt(() => post('/studio/library/restore', { ids }));
  if (!told) return false;
  changed();
  refresh();
  toast(counted('library.told.restored', ids.length));
  return true;
}

/** Ask, and delete for good. ids: null for everything in the bin that is the visitor's. */
export function deleteForGood(ids, changed) {
  const words = ids === null ? say('library.sheet.empty_note') : say('library.sheet.delete_note', { count: ids.length });
  ask(say('library.sheet.delete_title'), [el('p', {}, words)], { label: say('library.do.delete'), kind: 'danger' }, async () => {
    const told = await post('/studio/library/empty', { ids });
    if (told.removed) toast(say('library.told.removed', { count: told.removed }));
    if (told.failed.length) toast(say('library.told.not_removed', { count: told.failed.length, reason: told.failed[0] }), { kind: 'bad', seconds: 12 });
    changed();
    refresh();
  });
}

export function askForTags(ids, facets, changed) {
  const known = el('datalist', { id: 'library-known-tags' }, facets.tags.map((tag) => el('option', { value: tag.id })));
  const add = el('input', { type: 'text', list: 'library-known-tags', autocomplete: 'off' });
  const remove = el('input', { type: 'text', list: 'library-known-tags', autocomplete: 'off' });
  const field = (name, input) => el('label.stack.library-field', {}, el('span', {}, say(`library.sheet.${name}`)), input);
  const content = [field('tag_add', add), field('tag_remove', remove), el('p.quiet', {}, say('library.sheet.tag_note')), known];
  ask(say('library.sheet.tag_title', { count: ids.length }), content, { label: say('library.sheet.save') }, async () => {
    await post('/studio/library/tag', { ids, add: split(add.value), remove: split(remove.value) });
    toast(say('library.told.tagged', { count: ids.length }));
    changed();
  });
}

function split(text) {
  return text.split(',').map((tag) => tag.trim()).filter(Boolean);
}

export function askForStars(ids, changed) {
  const choices = [5, 4, 3, 2, 1, 0].map((stars) => el('button', {
    type: 'button', onclick: () => rate(stars || null),
    'aria-label': stars ? say('library.detail.rate_as', { count: stars }) : say('library.detail.unrate'),
  }, stars ? '★'.repeat(stars) : say('library.detail.unrate')));
  const dialog = sheet(say('library.sheet.rate_title', { count: ids.length }), el('div.stack', {}, choices),
    el('button.plain', { type: 'button', onclick: () => dialog.close() }, say('shell.cancel')));
  const rate = (rating) => attempt(async () => {
    await post('/studio/library/rate', { ids, rating });
    dialog.close();
    toast(say('library.told.rated', { count: ids.length }));
    changed();
  });
}

export function askForCollection(ids, facets, changed) {
  const own = facets.collections.filter((item) => item.is_mine);
  const which = el('select', { id: 'library-which' }, own.map((item) => el('option', { value: item.id }, item.name)), el('option', { value: '' }, say('library.sheet.collect_new')));
  const name = el('input', { type: 'text', maxlength: 80, autocomplete: 'off' });
  const naming = el('label.stack.library-field', {}, el('span', {}, say('library.sheet.collect_name')), name);
  const fit = () => { naming.hidden = which.value !== ''; };
  which.addEventListener('change', fit);
  fit();
  const content = [el('div.stack.library-field', {}, el('label', { for: which.id }, say('library.sheet.collect_which')), which), naming];
  ask(say('library.sheet.collect_title', { count: ids.length }), content, { label: say('library.sheet.save') }, async () => {
    const chosen = own.find((item) => item.id === which.value) ?? await post('/studio/library/collections', { name: name.value });
    await post(`/studio/library/collections/${encodeURIComponent(chosen.id)}/add`, { ids });
    toast(say('library.told.collected', { count: ids.length, name: chosen.name }));
    changed();
  });
}

export async function takeOutOfCollection(ids, collection, changed) {
  const told = await attempt(() => post(`/studio/library/collections/${encodeURIComponent(collection)}/remove`, { ids }));
  if (!told) return;
  toast(say('library.told.uncollected', { count: ids.length }));
  changed();
}

/** Have the browser save one ZIP of the sealed files. */
export async function saveZip(ids) {
  const told = await attempt(() => post('/studio/library/bundles', { ids }));
  if (!told) return;
  toast(say('library.told.zip', { count: told.number, size: bytes(told.size_bytes) }));
  const link = el('a', { href: told.url, download: '', hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
}

/** Make, rename and delete collections. reload(): returns what there is now. */
export function showCollections(facets, reload) {
  const list = el('ul.library-plain.stack', {});
  const name = el('input', { type: 'text', maxlength: 80, 'aria-label': say('library.sheet.collections_new'), placeholder: say('library.sheet.collections_new') });
  const path = (id) => `/studio/library/collections/${encodeURIComponent(id)}`;
  const change = (work) => attempt(async () => { await work(); draw((await reload()).collections); });
  const row = (item) => {
    const field = el('input', { type: 'text', maxlength: 80, value: item.name, disabled: !item.is_mine, 'aria-label': say('library.sheet.rename_of', item) });
    return el('li.row', {}, field, el('span.quiet', {}, String(item.count)), item.is_mine ? [
      el('button', { type: 'button', onclick: () => change(() => post(path(item.id), { name: field.value })) }, say('library.sheet.rename')),
      el('button.danger', { type: 'button', 'aria-label': say('library.sheet.delete_of', item), onclick: () => change(() => post(path(item.id), {}, { method: 'DELETE' })) }, say('library.sheet.delete')),
    ] : null);
  };
  const draw = (items) => list.replaceChildren(...(items.length ? items.map(row) : [el('li.quiet', {}, say('library.sheet.collections_none'))]));
  draw(facets.collections);
  const create = (event) => {
    event.preventDefault();
    change(async () => { await post('/studio/library/collections', { name: name.value }); name.value = ''; });
  };
  const dialog = sheet(say('library.sheet.collections_title'), list,
    facets.visitor.may_change ? el('form.row', { onsubmit: create }, name, el('button', { type: 'submit' }, say('library.sheet.create'))) : null,
    el('p.quiet', {}, say('library.sheet.delete_keeps')),
    el('div.row', {}, el('button.primary', { type: 'button', onclick: () => dialog.close() }, say('shell.close'))));
}

/** A dialog with a form. work(): does it; what goes wrong is said within the dialog, which stays. */
function ask(title, content, { label, kind = 'primary' }, work) {
  const note = el('p.library-problem', { role: 'alert' });
  const go = el(`button.${kind}`, { type: 'submit' }, label);
  const submit = async (event) => {
    event.preventDefault();
    go.disabled = true;
    try {
      await work();
      dialog.close();
    } catch (error) {
      note.textContent = error.message;
    } finally {
      go.disabled = false;
    }
  };
  const dialog = sheet(title, el('form.stack', { onsubmit: submit }, content, note,
    el('div.row', {}, go, el('button', { type: 'button', onclick: () => dialog.close() }, say('shell.cancel')))));
}
