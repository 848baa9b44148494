// One file of the library, shown whole: player, checks over time, credentials, facts, and everything that can be done with it.
import { attempt, bytes, duration, el, get, media, moment, money, post, refresh, say, send, toast } from '/studio/static/studio.js';
import { exportSheet, save } from '/studio/static/clip-export.js';
import { sealedPlayer } from '/studio/static/player.js';
import { timeline } from '/studio/static/timeline.js';

export { player, sealedPlayer } from '/studio/static/player.js';
export { timeline } from '/studio/static/timeline.js';

/** A view of an asset. asset: its id, or any object with an id and, better, {kind, width, height, frame_rate, num_frames}.
 *  actions: names of those to offer, null for all that the visitor may do. compact: player, badges and actions alone.
 *  onAction(name, clip): called first; if it returns true, it has done it. Returns an element at once; it fills itself.
 *  element.clip: what GET /studio/clips/ID told; element.player; element.refresh(). */
export function clipView(asset, { actions = null, compact = false, onAction = null } = {}) {
  const known = typeof asset === 'string' ? { id: asset } : asset;
  const node = el(`article.clip${compact ? '.clip-compact' : ''}`, { 'data-asset': known.id, 'aria-busy': 'true' });
  const wanted = { node, actions, compact, onAction };
  if (known.kind && known.width !== undefined) node.append(frameOf(wanted, known));
  else node.append(el('div.clip-stage.clip-waiting', {}, el('p.quiet', {}, say('clip.loading'))));
  node.refresh = () => get(`/studio/clips/${encodeURIComponent(known.id)}`).then(
    (clip) => show(wanted, clip),
    (error) => { node.replaceChildren(el('p.empty', { role: 'alert' }, error.message)); });
  node.ready = node.refresh();
  return node;
}

function show(wanted, clip) {
  const { node, compact } = wanted;
  const isNew = !node.player;
  node.clip = clip;
  node.removeAttribute('aria-busy');
  const head = isNew ? frameOf(wanted, clip) : node.firstElementChild;
  const timed = !compact && clip.report ? timeline(clip.report, {
    video: node.player.video, frameRate: clip.frame_rate, numFrames: clip.num_frames, seek: (frame) => node.player.seek(frame),
  }) : null;
  if (timed) node.player.onFrame(timed.follow);
  const isOpen = node.querySelector('.clip-more:not([hidden])') !== null;
  const actions = actionBar(wanted, clip, isOpen);
  const told = el('div.clip-told.stack', {},
    badges(clip), actions,
    compact ? null : [
      el('p.clip-prompt', {}, clip.prompt || el('span.quiet', {}, say('clip.no_prompt'))),
      ruling(clip),
      timed ? el('section', { 'aria-label': say('clip.checks') }, el('h3', {}, say('clip.checks')), timed) : null,
      facts(clip), relations(clip)]);
  node.replaceChildren(head, told);
  node.dispatchEvent(new CustomEvent('clip-shown', { detail: clip }));
}

function frameOf({ node }, clip) {
  node.player = sealedPlayer(clip);
  return node.player.element;
}

// -- badges and what they open ------------------------------------------------------------------------------------

function badges(clip) {
  return el('div.row', {},
    el(`span.badge.${clip.tone}`, {}, clip.standing_text), seal(clip),
    clip.in_bin ? el('span.badge.warn', {}, say('clip.in_bin')) : null,
    clip.owner ? el('span.quiet', {}, say('clip.by', { owner: clip.owner })) : null);
}

/** The badge of a file's credentials. It opens what is known of them, and says whether they hold once that was looked at. */
export function seal(clip) {
  const word = el('span', {}, say('clip.seal.checking'));
  const badge = el('button.badge.clip-seal', { type: 'button', 'aria-haspopup': 'dialog', title: say('clip.seal.open') }, '◈ ', word);
  const found = get(`/studio/clips/${encodeURIComponent(clip.id)}/verification`).then((told) => {
    badge.classList.add(told.tone);
    word.textContent = told.text;
    badge.dataset.state = told.state;
    return told;
  }, (error) => {
    badge.classList.add('warn');
    word.textContent = say('clip.seal.failed');
    return { sentence: error.message };
  });
  word.textContent = clip.provenance.text;
  badge.addEventListener('click', async () => sealSheet(clip, await found));
  return badge;
}

function sealSheet(clip, told) {
  const { provenance } = clip;
  const mark = provenance.watermark_id === null ? say('clip.seal.no_watermark')
    : say(told.watermark && !told.watermark.detected ? 'clip.seal.watermark_lost' : 'clip.seal.watermark_read', { id: provenance.watermark_id });
  const rows = [
    ['state', told.sentence], ['signer', told.issuer && [told.issuer, told.trust_list ? ` (${told.trust_list})` : '']],
    ['time', told.time ? moment(told.time) : say('clip.seal.no_time')], ['watermark', mark],
    ['sha256', copied(clip.sha256)], ['frames_sha256', copied(clip.frames_sha256)],
    ['training', provenance.training_text], ['prompt_policy', provenance.prompt_text],
    ['provider', provenance.provider], ['attribution', provenance.attribution]];
  const dialog = sheet(told.text ?? say('clip.seal.failed'),
    el('dl.facts', {}, rows.filter(([, value]) => value).map(([name, value]) => [el('dt', {}, say(`clip.seal.${name}`)), el('dd', {}, value)])),
    provenance.has_sidecar ? el('p.quiet', {}, say('clip.seal.sidecar')) : null,
    el('div.row', {},
      el('button.primary', { type: 'button', onclick: () => { dialog.close(); send({ to: 'inspect', do: 'asset', asset: clip.id }); } }, say('clip.seal.inspect')),
      el('button', { type: 'button', onclick: () => dialog.close() }, say('shell.close'))));
}

/** A dialog with a title; it is gone when it is closed. */
export function sheet(title, ...children) {
  const dialog = el('dialog.sheet.stack', { 'aria-label': title }, el('h2', {}, title), ...children);
  dialog.addEventListener('close', () => dialog.remove());
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Text with a button that copies it. */
export function copied(text) {
  return el('span.clip-copy', {}, el('code.mono', {}, text),
    el('button.plain', { type: 'button', onclick: () => copy(text) }, say('clip.copy')));
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // only pages of this machine and of HTTPS have a clipboard
    const field = el('textarea', { value: text });
    (document.querySelector('dialog[open]') ?? document.body).append(field);
    field.select();
    document.execCommand('copy');
    field.remove();
  }
  toast(say('clip.copied'));
}

// -- what is told -------------------------------------------------------------------------------------------------

function ruling(clip) {
  if (!clip.ruling) return null;
  const { sentence, attempts } = clip.ruling;
  return el('div', {}, clip.standing === 'passed' && !attempts.length ? null : el('p.quiet', {}, sentence),
    attempts.length ? el('ul', { 'aria-label': say('clip.attempts') }, attempts.map((item) => el('li', {},
      say('clip.attempt', { number: item.number, seed: item.seed, verdict: verdictOf(item) }), ', ',
      say(item.is_this ? 'clip.attempt_kept' : 'clip.attempt_dropped')))) : null);
}

function verdictOf({ passed, failed }) {
  const word = say(`clip.check.${passed === false ? 'flagged' : passed ? 'passed' : 'not_assessed'}`);
  return failed.length ? `${word} (${failed.join(', ')})` : word;
}

function facts(clip) {
  const rows = [
    ['model', clip.model_name], ['task', clip.task_text], ['seed', copied(clip.seed)],
    ['pixels', clip.width ? say('clip.fact.pixels', clip) : null, 'size'],
    ['length', clip.seconds ? say('clip.fact.length_value', { frames: clip.num_frames, seconds: clip.seconds.toFixed(2), rate: +clip.frame_rate.toFixed(3) }) : null],
    ['steps', clip.steps], ['guidance', clip.guidance_scale],
    ['took', clip.generation_seconds ? duration(clip.generation_seconds) : null],
    ['cost', clip.cost && (clip.cost.is_billed || clip.cost.amount > 0) ? say(`clip.fact.cost_${clip.cost.is_billed ? 'billed' : 'estimated'}`, { cost: money(clip.cost) }) : null],
    ['created', moment(clip.created_at)]];
  const more = [
    ['file', [`${clip.file_name}, `, bytes(clip.size_bytes)]], ['id', copied(clip.id)], ['owner', clip.owner ?? say('clip.fact.nobody')],
    ['rule', clip.ruling?.policy_text],
    ['options', clip.options.length ? el('ul.clip-plain', {}, clip.options.map(({ name, value }) => el('li', {}, `${name}: ${value}`))) : null]];
  const list = (items) => el('dl.facts', {}, items.filter(([, value]) => value !== null && value !== undefined && value !== '')
    .map(([name, value, title]) => [el('dt', {}, say(`clip.fact.${title ?? name}`)), el('dd', {}, value)]));
  return el('section', { 'aria-label': say('clip.facts') }, el('h3', {}, say('clip.facts')),
    clip.negative_prompt ? el('p', {}, el('span.quiet', {}, say('clip.negative'), ': '), clip.negative_prompt) : null,
    list(rows), el('details', {}, el('summary', {}, say('clip.more_facts')), list(more)));
}

function relations(clip) {
  const link = (id, words) => el('button.plain', { type: 'button', onclick: () => send({ to: 'library', do: 'show', asset: id }) }, words);
  const sources = clip.sources.map((item) => el('li', {}, item.id ? link(item.id, item.text) : `${item.text} (${say('clip.source.outside')})`));
  const children = clip.children.map((item) => el('li', {}, link(item.id, `${item.kind_text}, ${moment(item.created_at)}`)));
  return el('div.row.clip-relations', {},
    sources.length ? el('section', {}, el('h3', {}, say('clip.made_from')), el('ul.clip-plain.clip-family', {}, sources)) : null,
    children.length ? el('section', {}, el('h3', {}, say('clip.made_of_it')), el('ul.clip-plain.clip-family', {}, children)) : null);
}

// -- what can be done ---------------------------------------------------------------------------------------------

const DO = {
  'last-frame': (clip) => lastFrame(clip),
  'first-frame': (clip) => send({ to: 'create', do: 'first-frame', asset: clip.id }),
  again: (clip) => send({ to: 'create', do: 'again', asset: clip.id }),
  extend: (clip) => send({ to: 'create', do: 'extend', asset: clip.id }),
  compare: (clip) => send({ to: 'compare', do: 'with', asset: clip.id }),
  export: (clip, frame) => exportSheet(clip, frame),
  inspect: (clip) => send({ to: 'inspect', do: 'asset', asset: clip.id }),
  library: (clip) => send({ to: 'library', do: 'show', asset: clip.id }),
  bin: (clip, _frame, node) => bin(clip, node),
  unbin: (clip, _frame, node) => unbin(clip, node),
};

// Where there is little room, these stand there and the others behind "More".
const FIRST = ['last-frame', 'again', 'download', 'inspect'];
const LAST = ['bin', 'unbin'];

function actionBar({ node, actions, compact, onAction }, clip, isOpen) {
  const offered = clip.can.filter((name) => actions === null || actions.includes(name));
  const names = [...offered.filter((name) => !LAST.includes(name)), ...offered.filter((name) => LAST.includes(name))];
  const run = (name) => (onAction?.(name, clip) === true ? null : attempt(() => DO[name]?.(clip, node.player?.frame ?? 0, node)));
  const button = (name) => (name === 'download'
    ? el('a.clip-download', { href: media(clip.id), download: clip.file_name, onclick: () => saveSidecar(clip), 'data-do': name }, say('clip.do.download'))
    : el(`button${name === 'bin' ? '.danger' : ''}`, { type: 'button', 'data-do': name, onclick: (event) => busy(event.currentTarget, () => run(name)) }, say(`clip.do.${name}`)));
  const first = FIRST.filter((name) => names.includes(name));
  const rest = names.filter((name) => !FIRST.includes(name));
  if (!compact || rest.length < 2) return el('div.row.clip-actions', {}, names.map(button));
  const others = el('div.row.clip-more', { hidden: !isOpen }, rest.map(button));
  const more = el('button.clip-unfold', { type: 'button', 'aria-expanded': String(isOpen) }, say('clip.do.more'));
  more.addEventListener('click', () => {
    others.hidden = !others.hidden;
    more.setAttribute('aria-expanded', String(!others.hidden));
  });
  return el('div.row.clip-actions', {}, first.map(button), more, others);
}

async function busy(button, work) {
  button.disabled = true;
  try { await work(); } finally { button.disabled = false; }
}

function saveSidecar(clip) {
  if (clip.provenance.has_sidecar) save(`/studio/clips/${encodeURIComponent(clip.id)}/sidecar`, `${clip.id}.c2pa`);
}

async function lastFrame(clip) {
  const made = await post(`/studio/clips/${encodeURIComponent(clip.id)}/last-frame`);
  toast(say('clip.last_frame_made'));
  refresh();
  send({ to: 'create', do: 'first-frame', asset: made.asset });
}

async function bin(clip, node) {
  await post('/studio/library/bin', { ids: [clip.id] });
  refresh();
  await node.refresh();
  const undo = () => attempt(() => unbin(clip, node));
  toast(say('clip.binned'), { seconds: 12, action: { label: say('shell.undo'), run: undo } });
}

async function unbin(clip, node) {
  await post('/studio/library/restore', { ids: [clip.id] });
  refresh();
  await node.refresh();
  toast(say('clip.restored'));
}
