// What an inspection found, section by section. Every text comes from a stranger's file and is shown as text.
import { attempt, bytes, duration, el, moment, say, send } from '/studio/static/studio.js';
import { copied } from '/studio/static/clip.js';
import { timeline } from '/studio/static/timeline.js';

/** The banner that answers the question, and everything that leads to the answer.
 *  doing: {restore(): put the recipe into the form, report(): all of it as JSON}. credentials, file: lists of sections. */
export function findings(found, doing) {
  return {
    banner: banner(found, doing),
    credentials: [record(found), mark(found), library(found), tree(found.tree, say('inspect.tree')), disclosures(found), raw(found, doing)],
    file: [checklist(found), facts(found)],
  };
}

function banner(found, doing) {
  return el(`section.panel.inspect-banner.inspect-${found.tone}`, { 'aria-label': say('inspect.title'), 'data-word': found.word },
    el('div.inspect-verdict', {},
      el('p.inspect-word', {}, found.word_text), el('p.inspect-name', {}, el('bdi', {}, found.name))),
    el('div.stack', {},
      el('p.inspect-sentence', { role: 'status' }, found.sentence),
      found.problem ? el('p.inspect-problem', {}, found.problem) : null,
      el('dl.inspect-means', {},
        el('dt', {}, say('inspect.means_title')), el('dd', {}, found.means), el('dt', {}, say('inspect.not_means_title')), el('dd', {}, found.not_means)),
      found.has_recipe ? el('div.row', {}, el('button.primary', { type: 'button', 'data-do': 'restore', onclick: () => doing.restore() }, say('inspect.restore'))) : null));
}

function section(name, title, ...children) {
  return el('section.panel.stack', { 'aria-label': title, 'data-part': name }, el('h3', {}, title), ...children);
}

function pairs(rows) {
  return el('dl.facts', {}, rows.filter(([, value]) => value !== null && value !== undefined && value !== '' && value !== false)
    .map(([name, value]) => [el('dt', {}, say(`inspect.fact.${name}`)), el('dd', {}, value)]));
}

function record({ record: told }) {
  const title = say('inspect.record');
  if (!told) return section('record', title, el('p', {}, say('inspect.record_none')));
  const training = told.training.length
    ? el('ul.clip-plain', {}, told.training.map(({ name, use }) => el('li', {}, `${name}: ${use}`))) : null;
  return section('record', title, el('div', {}, el(`span.badge.${told.tone}`, {}, told.state_text)), pairs([
    ['signer', told.issuer ?? say('inspect.unnamed')], ['signer_list', told.trust_list ?? say('inspect.none')],
    ['generator', told.generator ?? say('inspect.unnamed')], ['origin', told.source_words],
    ['time', [told.time ? `${moment(told.time)}, ` : '', told.time_text, told.authority ? ` (${told.authority})` : '']],
    ['training', training], ['place', told.place_text], ['identifier', told.identifier && copied(told.identifier)]]));
}

function mark({ watermark: told }) {
  return section('watermark', say('inspect.mark_title'), el('p', {}, told.text), told.detected ? el('dl.facts', {},
    el('dt', {}, say('inspect.payload')), el('dd', {}, copied(told.payload), ' ', say('inspect.bits', { bits: told.bits, confidence: told.confidence.toFixed(2) })),
    told.transform ? [el('dt', {}, say('inspect.transform')), el('dd', {}, told.transform)] : null) : null,
  told.with_index ? el('p.quiet', {}, say('inspect.with_index')) : null);
}

function library({ library: told }) {
  const title = say('inspect.library_title');
  if (!told) return section('library', title, el('p', {}, say('inspect.library_none')));
  return section('library', title, el('p', {}, told.text),
    el('p.quiet', {}, say('inspect.how_known'), ' ', told.by.join(', '), '.'),
    el('div.row', {}, el('code.mono', {}, told.asset),
      el('button', { type: 'button', onclick: () => send({ to: 'library', do: 'show', asset: told.asset }) }, say('inspect.show_asset'))),
    told.recovered ? [el('p', {}, told.recovered.text), told.recovered.tree ? branch(told.recovered.tree, false) : null] : null);
}

// -- the tree of records ------------------------------------------------------------------------------------------

function tree(root, title) {
  return root ? section('tree', title, branch(root, true)) : null;
}

function branch(node, isOpen) {
  const about = [node.relationship, node.issuer && `${say('inspect.fact.signer')}: ${node.issuer}`, node.generator && `${say('inspect.fact.generator')}: ${node.generator}`];
  return el('details.inspect-branch', { open: isOpen },
    el('summary', {}, el('bdi.inspect-title', {}, node.title), ' ', el(`span.badge.${node.tone}`, {}, node.state_text)),
    el('div.inspect-twig', {},
      about.filter(Boolean).map((text) => el('p.quiet', {}, text)),
      node.source_words ? el('p', {}, node.source_words) : null,
      node.problem ? el('p', {}, node.problem) : null,
      node.actions.length ? [el('h4', {}, say('inspect.actions')), el('ol.inspect-actions', {}, node.actions.map(action))] : null,
      node.codes.length ? [el('h4', {}, say('inspect.codes')), codes(node.codes)] : null,
      node.children.map((child) => branch(child, false)),
      node.is_cut ? el('p.quiet', {}, say('inspect.tree_more')) : null));
}

function action(item) {
  return el('li', {}, item.words, item.software ? ` ${say('inspect.actions_more', item)}` : '', item.source_words ? `: ${item.source_words}` : '',
    item.when ? el('span.quiet', {}, `, ${item.when}`) : null);
}

function codes(items) {
  const tones = { success: 'good', informational: 'quiet', failure: 'bad' };
  return el('ul.clip-plain.inspect-codes', {}, items.map(({ code, words, kind }) => el('li', {},
    el(`span.badge.${tones[kind]}`, {}, say(`inspect.kind.${kind}`)), ' ', words, code ? el('div.mono.quiet', {}, code) : null)));
}

// -- the file itself ----------------------------------------------------------------------------------------------

function checklist({ checklist: items }) {
  if (!items.length) return null;
  return section('checklist', say('inspect.checklist'), el('p.quiet', {}, say('inspect.checklist_note')), el('ul.clip-plain.inspect-list', {},
    items.map((item) => el('li', {}, el(`span.inspect-sign.${item.tone}`, { 'aria-hidden': 'true' }, { ok: '✓', notice: '!', unknown: '?' }[item.result]),
      el('span', {}, el('strong', {}, item.title), ': ', item.detail)))));
}

function disclosures({ disclosures: laws }) {
  if (!laws.length) return null;
  return section('disclosures', say('inspect.disclosures'), el('p.quiet', {}, say('inspect.disclosures_note')),
    laws.map(({ law, duties }) => el('details', {},
      el('summary', {}, law, ' ', counted(duties)),
      el('ul.clip-plain.inspect-list', {}, duties.map((item) => el('li', {}, el(`span.badge.${item.tone}`, {}, item.satisfied_text), el('span', {}, item.duty, el('div.quiet', {}, item.where))))))));
}

function counted(duties) {
  return ['yes', 'no', 'unknown'].map((word) => [word, duties.filter((item) => item.satisfied === word)]).filter(([, items]) => items.length)
    .map(([, items]) => [el(`span.badge.${items[0].tone}`, {}, `${items[0].satisfied_text} ${items.length}`), ' ']);
}

function facts({ media: told }) {
  if (!told) return null;
  const sound = told.audio && `${told.audio.codec}, ${told.audio.sample_rate} Hz, ${told.audio.channels}`;
  const tags = Object.entries(told.tags ?? {});
  return section('media', say('inspect.media'), pairs([
    ['container', told.container], ['codec', told.codec], ['pixels', told.width && `${told.width} × ${told.height} px, ${told.pixel_format ?? ''}`],
    ['rate', told.frame_rate], ['frames', told.num_frames], ['length', told.duration_seconds && duration(told.duration_seconds)], ['sound', sound],
    ['rotation', told.rotation ? `${told.rotation}°` : null], ['bytes', bytes(told.size_bytes)]]),
  tags.length ? el('details', {}, el('summary', {}, say('inspect.tags')), el('dl.facts.inspect-tags', {}, tags.map(([name, value]) => [el('dt', {}, el('bdi', {}, name)), el('dd', {}, el('bdi', {}, value))]))) : null);
}

function raw(found, doing) {
  const text = () => JSON.stringify(doing.report(), null, 2);
  const shown = el('pre', { tabindex: 0 });
  const details = el('details', {}, el('summary', {}, say('inspect.raw')), shown);
  details.addEventListener('toggle', () => { if (details.open) shown.textContent = text(); });
  return el('section.panel.stack', { 'aria-label': say('inspect.raw'), 'data-part': 'raw' }, details,
    el('div.row', {}, el('button', { type: 'button', 'data-do': 'report', onclick: () => attempt(() => download(text())) }, say('inspect.raw_download'))));
}

function download(text) {
  const address = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
  const link = el('a', { href: address, download: 'inspection.json' });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

// -- consistency --------------------------------------------------------------------------------------------------

/** What the checks say, or how far they are. frames: the player, or null. Returns {element, follow, update}:
 *  follow moves the playhead, update shows how far the checks are meanwhile. */
export function consistency(told, { frames, cancel }) {
  const report = told.consistency;
  if (report) {
    const frameRate = rateOf(report.frame_rate) || told.frame_rate || 25;
    const element = timeline(report, { video: frames?.video, frameRate, numFrames: report.num_frames ?? told.num_frames, seek: (frame) => frames?.seek(frame) });
    return { element, follow: element.follow };
  }
  if (told.check_error) return { element: el('p', { role: 'alert' }, say('inspect.consistency_failed', { message: sentences(told.check_error) })) };
  if (!told.is_video) return { element: el('p.quiet', {}, say('inspect.consistency_none')) };
  if (told.state === 'canceled') return { element: el('p.quiet', {}, say('inspect.consistency_canceled')) };
  return progress(told, cancel);
}

function progress(told, cancel) {
  const words = el('p');
  const fill = el('span');
  const bar = el('div.bar', { role: 'progressbar', 'aria-label': say('inspect.consistency'), 'aria-valuemin': 0, 'aria-valuemax': 100 }, fill);
  const update = (now) => {
    words.textContent = now.state !== 'checking' ? say('inspect.consistency_wait')
      : say(now.total ? 'inspect.consistency_progress' : 'inspect.consistency_progress_open', now);
    fill.style.width = `${now.percent ?? 0}%`;
    bar.setAttribute('aria-valuenow', now.percent ?? 0);
  };
  update(told);
  return { element: el('div.stack', {}, words, bar, el('div.row', {}, el('button', { type: 'button', onclick: cancel }, say('inspect.stop')))), update };
}

/** What went wrong, and what to do about it, as sentences. */
export function sentences({ message, allowed, fix }) {
  return [message, allowed && `${say('inspect.allowed')}: ${allowed}`, fix].filter(Boolean).map((text) => `${text[0].toUpperCase()}${text.slice(1).replace(/\.$/, '')}.`).join(' ');
}

function rateOf(text) {
  const [over, under = 1] = String(text).split('/').map(Number);
  return over / under;
}
