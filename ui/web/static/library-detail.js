// The panel of one clip beside the grid: player, stars, caption, tags, collections, checks, and where it comes from.
import { attempt, el, get, post, say, toast } from '/studio/static/studio.js';
import { clipView, sheet, timeline } from '/studio/static/clip.js';
import { putIntoBin } from '/studio/static/library-bulk.js';

const ACTIONS = ['last-frame', 'first-frame', 'again', 'extend', 'compare', 'download', 'export', 'inspect'];

/** The panel. on: {changed(ids, values), step(number), show(id), close()}. Returns {element, show(item), hide(), renew(), shown()}. */
export function detailPanel(on) {
  const body = el('div.library-detail-body.stack', {});
  const arrow = (name, sign, step) => el('button.plain', { type: 'button', 'aria-label': say(`library.detail.${name}`), title: say(`library.detail.${name}`), onclick: () => on.step(step) }, sign);
  const head = el('div.row.library-detail-head', {}, arrow('previous', '‹', -1), arrow('next', '›', 1),
    el('button.plain.library-detail-close', { type: 'button', 'aria-label': say('library.detail.close'), onclick: () => on.close() }, '×'));
  const element = el('section.panel.library-detail', { 'aria-label': say('library.detail.label'), hidden: true }, head, body);
  let shown = null;

  async function show(item) {
    element.hidden = false;
    if (shown === item.id) return;
    shown = item.id;
    const notes = el('div.library-notes', { 'aria-busy': 'true' });
    const lineage = el('section.library-lineage', { 'aria-label': say('library.detail.lineage') });
    const more = el('div.stack', {});
    const view = clipView(item, { compact: true, actions: item.binned_at ? ACTIONS : [...ACTIONS, 'bin'], onAction: (name) => act(name, item.id, on) });
    view.addEventListener('clip-shown', () => showMore(more, view), { once: true });
    body.replaceChildren(view, notes, more, lineage);
    body.scrollTop = 0;
    showNotes(notes, item.id, on, () => shown === item.id);
    showLineage(lineage, item.id, on);
  }

  /** Read again what people say of it. */
  function renew() {
    const notes = body.querySelector('.library-notes');
    const id = shown;
    if (notes && id) showNotes(notes, id, on, () => shown === id);
  }

  function hide() {
    shown = null;
    element.hidden = true;
    body.replaceChildren(); // whatever played, plays no more
  }
  return { element, show, hide, renew, shown: () => shown };
}

function act(name, id, on) {
  if (name !== 'bin') return false;
  putIntoBin([id], () => on.changed([id], null));
  return true;
}

// -- what people say ----------------------------------------------------------------------------------------------

async function showNotes(node, id, on, isWanted) {
  let notes;
  try {
    notes = await get(`/studio/library/assets/${encodeURIComponent(id)}`);
  } catch {
    if (isWanted()) node.replaceChildren(el('p.quiet', { role: 'status' }, say('library.detail.gone')));
    return;
  }
  if (!isWanted()) return;
  const again = (values) => { Object.assign(notes, values); draw(); on.changed([id], values); };
  const draw = () => {
    node.removeAttribute('aria-busy');
    node.replaceChildren(stars(notes, again), caption(notes, again), tags(notes, again), collections(notes));
  };
  draw();
}

function stars(notes, again) {
  const rate = (rating) => attempt(async () => {
    await post('/studio/library/rate', { ids: [notes.id], rating });
    again({ rating });
  });
  const buttons = [1, 2, 3, 4, 5].map((count) => el('button.plain.library-star', {
    type: 'button', 'aria-label': say('library.detail.rate_as', { count }), 'aria-pressed': String(notes.rating === count),
    disabled: !notes.is_mine, onclick: () => rate(notes.rating === count ? null : count),
  }, count <= (notes.rating ?? 0) ? '★' : '☆'));
  return el('div.row', { role: 'group', 'aria-label': say('library.detail.rating') }, el('span.library-label', { 'aria-hidden': 'true' }, say('library.detail.rating')), buttons);
}

function caption(notes, again) {
  const field = el('textarea', { rows: 2, maxlength: 2000, placeholder: say('library.detail.caption_hint'), disabled: !notes.is_mine, value: notes.caption });
  const save = el('button', { type: 'button', hidden: true, onclick: () => attempt(keep) }, say('library.detail.caption_save'));
  const keep = async () => {
    const told = await post('/studio/library/caption', { id: notes.id, caption: field.value });
    toast(say('library.detail.caption_saved'));
    again({ caption: told.caption });
  };
  field.addEventListener('input', () => { save.hidden = field.value === notes.caption; });
  field.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); attempt(keep); }
  });
  return el('div.stack.library-caption', {}, el('label.stack', {}, el('span.library-label', {}, say('library.detail.caption')), field), el('div.row', {}, save));
}

function tags(notes, again) {
  const change = (add, remove) => attempt(async () => {
    await post('/studio/library/tag', { ids: [notes.id], add, remove });
    const told = await get(`/studio/library/assets/${encodeURIComponent(notes.id)}`);
    again({ tags: told.tags });
  });
  const field = el('input', { type: 'text', list: 'library-tags', autocomplete: 'off', 'aria-label': say('library.detail.tag_add'), placeholder: say('library.detail.tag_add') });
  const add = (event) => {
    event.preventDefault();
    const wanted = field.value.split(',').map((tag) => tag.trim()).filter(Boolean);
    if (wanted.length) change(wanted, []);
  };
  const chip = (tag) => el('span.badge', {}, tag, notes.is_mine ? el('button.plain.library-chip', {
    type: 'button', 'aria-label': say('library.detail.tag_remove', { tag }), onclick: () => change([], [tag]),
  }, '×') : null);
  return el('div.row', { role: 'group', 'aria-label': say('library.detail.tags') }, el('span.library-label', { 'aria-hidden': 'true' }, say('library.detail.tags')),
    notes.tags.map(chip), notes.is_mine ? el('form.library-tag-form', { onsubmit: add }, field) : null);
}

function collections(notes) {
  const names = notes.collections.map((item) => el('span.badge', {}, item.name));
  return el('div.row', {}, el('span.library-label', {}, say('library.detail.collections')), names.length ? names : el('span.quiet', {}, say('library.detail.collection_none')));
}

// -- how it was made ----------------------------------------------------------------------------------------------

function showMore(node, view) {
  const { clip, player } = view;
  const prompt = clip.prompt ? el('section', {}, el('h3', {}, say('library.detail.prompt')), el('p.clip-prompt', { tabindex: 0, role: 'region', 'aria-label': say('library.detail.prompt') }, clip.prompt)) : null;
  const hasChecks = player?.video && clip.report?.checks?.length;
  const checks = hasChecks ? el('details', {}, el('summary', {}, say('library.detail.checks'))) : null;
  checks?.addEventListener('toggle', () => {
    if (checks.childElementCount > 1) return;
    const drawn = timeline(clip.report, { video: player.video, frameRate: clip.frame_rate, numFrames: clip.num_frames, seek: (frame) => player.seek(frame) });
    player.onFrame(drawn.follow);
    checks.append(drawn);
  });
  const whole = el('button', { type: 'button', onclick: () => showWhole(clip) }, say('library.detail.whole'));
  node.replaceChildren(...[prompt, checks, el('div.row', {}, whole)].filter(Boolean));
}

function showWhole(clip) {
  const dialog = sheet(say('library.detail.label'), clipView(clip, { onAction: (name) => { if (name !== 'export') dialog.close(); return name === 'library'; } }),
    el('div.row', {}, el('button', { type: 'button', onclick: () => dialog.close() }, say('shell.close'))));
  dialog.classList.add('library-whole');
}

// -- where it comes from ------------------------------------------------------------------------------------------

async function showLineage(node, id, on) {
  const told = await get(`/studio/library/assets/${encodeURIComponent(id)}/lineage`).catch(() => null);
  if (!told) return;
  const isAlone = told.lines.length < 2;
  const title = el('h3', {}, say('library.detail.lineage'));
  node.replaceChildren(title, isAlone ? el('p.quiet', {}, say('library.detail.lineage_none')) : el('ul.library-plain.library-tree', {}, told.lines.map((line) => treeLine(line, on))),
    ...(told.is_cut ? [el('p.quiet', {}, say('library.detail.lineage_cut'))] : []));
}

function treeLine(line, on) {
  const words = [el('b', {}, line.kind_text), line.how ? ` (${line.how})` : '', line.words ? `: ${line.words}` : ''];
  const told = line.in_bin ? el('span.badge.warn', {}, say('library.detail.lineage_in_bin')) : null;
  const isPlain = line.is_root || !line.id;
  const node = isPlain
    ? el('span.library-tree-line', { 'aria-current': line.is_root ? 'true' : null }, words, line.is_root ? el('span.badge', {}, say('library.detail.lineage_this')) : null)
    : el('button.plain.library-tree-line', { type: 'button', onclick: () => on.show(line.id) }, words);
  const item = el('li', {}, node, told);
  item.style.paddingInlineStart = `${Math.min(line.level, 8) * 18}px`;
  return item;
}
