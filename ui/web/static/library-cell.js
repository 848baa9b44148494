// One cell of the library's grid: a small picture that plays while it is pointed at, and what is known of the clip.
import { duration, el, media, moment, say } from '/studio/static/studio.js';
import { makeThumb, thumbOf } from '/studio/static/library-thumbs.js';

const PATIENCE = 120; // milliseconds before a clip begins to play, so that a passing pointer starts nothing

/** Make the cell of a place. It is filled by `fill(item, {isSelected})`, and left by `leave()`. */
export function makeCell(index, column) {
  const picture = el('img.library-picture', { alt: '', draggable: 'false', hidden: true });
  const symbol = el('span.library-symbol', { 'aria-hidden': 'true' });
  const length = el('span.library-length', { 'aria-hidden': 'true' });
  const flag = el('span.badge.library-flag', { hidden: true, 'aria-hidden': 'true' });
  const check = el('span.library-check', { 'aria-hidden': 'true', 'data-check': true });
  const thumb = el('div.library-thumb', {}, picture, symbol, flag, length, check);
  const name = el('div.library-name', {});
  const meta = el('div.library-meta.quiet', {});
  const node = el('div.library-cell', { id: `library-cell-${index}`, role: 'gridcell', 'aria-colindex': column + 1,
    'data-index': index }, thumb, name, meta);
  const cell = { node, index, item: null, stop: null };
  const hover = hovering(cell, thumb);
  cell.fill = (item, { isSelected, isActive }) => {
    node.setAttribute('aria-selected', String(isSelected));
    node.classList.toggle('is-active', isActive);
    if (cell.item === item && cell.stamp === stampOf(item)) return;
    const isSame = cell.item?.sha256 === item?.sha256;
    cell.item = item;
    cell.stamp = stampOf(item);
    node.classList.toggle('is-waiting', !item);
    if (!item) return;
    node.dataset.asset = item.id;
    node.setAttribute('aria-label', labelOf(item));
    name.textContent = wordsOf(item);
    meta.replaceChildren(...metaOf(item));
    length.textContent = item.duration_seconds ? duration(item.duration_seconds) : '';
    flag.hidden = !['flagged', 'released'].includes(item.standing);
    flag.className = `badge library-flag ${item.tone}`;
    flag.textContent = item.standing_text;
    if (!isSame) { hover.end(); show(thumbOf(item)); }
  };
  // What is passed by in a hurry is not drawn.
  cell.draw = () => {
    if (cell.item && !cell.stop && thumbOf(cell.item) === undefined) cell.stop = makeThumb(cell.item, show);
  };
  cell.leave = () => { hover.end(); cell.stop?.(); cell.stop = null; };
  function show(address) {
    cell.stop?.();
    cell.stop = null;
    picture.hidden = !address;
    if (address) picture.src = address; else picture.removeAttribute('src');
    symbol.textContent = address === null ? { sound: '♪', video: '▶' }[cell.item?.kind] ?? '▢' : '';
  }
  cell.hover = hover;
  return cell;
}

/** What a clip is called: its caption, else its prompt. */
export function wordsOf(item) {
  return item.caption || item.prompt || say('library.no_words');
}

export function starsOf(rating) {
  if (!rating) return say('library.no_rating');
  return rating === 1 ? say('library.star_one') : say('library.stars', { count: rating });
}

function stampOf(item) {
  return item && [item.rating, item.caption, item.tags.join(), item.standing].join('|');
}

function labelOf(item) {
  return say('library.cell', { kind: item.kind_text, words: wordsOf(item), model: item.model_name, standing: item.standing_text,
    stars: starsOf(item.rating), date: moment(item.created_at) });
}

function metaOf(item) {
  const stars = item.rating ? [el('span.library-stars', {}, '★'.repeat(item.rating)), ' '] : [];
  return [...stars, el('span', {}, `${item.model_name} · ${dayOf(item.created_at)}`)];
}

function dayOf(iso) {
  return new Date(iso).toLocaleDateString([], { dateStyle: 'medium' });
}

// The sealed bytes themselves play, muted and again and again, while the pointer rests on the cell.
function hovering(cell, thumb) {
  let timer = null;
  let moving = null;
  const begin = () => {
    const { item } = cell;
    if (!item || moving || !['video', 'animation'].includes(item.kind)) return;
    moving = item.kind === 'video'
      ? el('video.library-moving', { muted: true, loop: true, playsinline: true, preload: 'metadata', src: media(item.id), 'aria-hidden': 'true', tabindex: '-1' })
      : el('img.library-moving', { src: media(item.id), alt: '', draggable: 'false' });
    thumb.append(moving);
    moving.play?.().catch(() => {});
  };
  return {
    rest: () => {
      clearTimeout(timer);
      if (!matchMedia('(prefers-reduced-motion: reduce)').matches) timer = setTimeout(begin, PATIENCE);
    },
    end: () => {
      clearTimeout(timer);
      if (!moving) return;
      moving.remove();
      moving.pause?.();
      moving.removeAttribute('src');
      moving.load?.();
      moving = null;
    },
  };
}
