// One comparison: what becomes of each contestant, the clips in step, votes with the names in view, and its own ranking.
import { attempt, duration, el, get, media, moment, money, poll, post, refresh, say, send, toast } from '/studio/static/studio.js';
import { confirmed, takeAlong } from '/studio/static/compare.js';
import { stage } from '/studio/static/players-stage.js';
import { rankingOf } from '/studio/static/ranking.js';
import { Ballot, takeBack } from '/studio/static/voting.js';

export async function showOne(context) {
  return new One(context).start();
}

class One {
  constructor({ go, id, edit }) {
    Object.assign(this, { go, id, edit, path: `/studio/comparisons/${encodeURIComponent(id)}`, shownClips: null, stage: null });
    this.head = el('header.stack.compare-head');
    this.entries = el('div.compare-entries');
    this.screen = el('div.compare-screen');
    this.ballot = new Ballot({ cast: (verdict, reasons) => this.vote(verdict, reasons) });
    this.ballotBox = el('section.panel.stack', { 'aria-label': say('compare.vote.title') }, this.ballot.element);
    this.standing = el('div.compare-standing');
    this.element = el('article.stack', {}, this.head, this.screen, this.ballotBox, this.entries, this.standing);
  }

  async start() {
    this.show(await get(this.path));
    this.poller = poll(this.path, (told) => this.show(told), { seconds: 1 });
    return {
      element: this.element,
      key: (name) => this.key(name),
      dispose: () => { this.poller.stop(); this.stage?.dispose(); this.ranking?.stop(); },
    };
  }

  show(told) {
    this.told = told;
    const focused = document.activeElement?.dataset?.focus;
    this.head.replaceChildren(...this.heading(told));
    this.entries.replaceChildren(el('h3', {}, say('compare.one.entries')), ...told.entries.map((entry) => this.entry(entry)));
    if (focused) this.element.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
    this.showClips();
    this.ballotBox.hidden = !told.can_vote || this.stage === null;
    if (told.votes > 0 && !this.ranking) this.ranking = rankingOf(this.standing, `by=entry&comparison=${encodeURIComponent(this.id)}`);
  }

  // -- the head ----------------------------------------------------------------------------------------------------

  heading(told) {
    const button = (name, run, { kind = '', hidden = false } = {}) => (hidden ? null
      : el(`button${kind}`, { type: 'button', onclick: run, 'data-focus': name }, say(`compare.one.${name}`)));
    const report = button('report', () => takeAlong([this.id], report), { hidden: !told.entries.some((entry) => entry.clip) }) ;
    const request = told.request;
    const asked = [
      request.resolution ?? (request.width && `${request.width}×${request.height}`), request.aspect_ratio,
      request.duration_seconds && say('compare.seconds', { seconds: Number(fraction(request.duration_seconds).toFixed(3)) }),
      request.num_frames && say('compare.frames', { frames: request.num_frames }),
      request.frame_rate && say('compare.rate', { rate: Number(fraction(request.frame_rate).toFixed(3)) }),
      request.seed !== null && say('compare.seed', { seed: request.seed }),
    ].filter(Boolean).join(' · ');
    return [
      el('div.row.compare-actions', {},
        el('h2.compare-title', {}, told.title || told.prompt || say('compare.no_prompt')),
        button('blind', () => this.go(`${this.id}/blind`), { kind: '.primary', hidden: !told.can_vote }),
        button('again', () => this.edit({ request, entries: told.entries }), { hidden: !told.can_make }),
        report,
        button('rename', () => this.rename(), { hidden: !told.is_mine }),
        button('cancel', () => this.act('cancel'), { hidden: !told.is_mine || told.is_over }),
        button('remove', () => this.remove(), { kind: '.danger', hidden: !told.is_mine })),
      el('p.quiet', {}, told.title ? `${told.prompt} — ` : '', asked),
      el('p.quiet', {}, [moment(told.created_at), told.owner, told.tags.length ? say('compare.one.tags', { tags: told.tags.join(', ') }) : null,
        say('compare.one.votes', { votes: told.votes, mine: told.my_votes })].filter(Boolean).join(' · ')),
    ];
  }

  async act(what) {
    const told = await attempt(() => post(`${this.path}/${what}`));
    if (told) { refresh(); }
    return told;
  }

  async remove() {
    if (!(await confirmed(say('compare.one.remove_sure', { votes: this.told.votes }), say('compare.one.remove')))) return;
    if (await this.act('remove')) this.go('');
  }

  rename() {
    const title = el('input', { type: 'text', maxlength: 200, value: this.told.title });
    const tags = el('input', { type: 'text', value: this.told.tags.join(', ') });
    const save = async () => {
      const words = tags.value.split(',').map((word) => word.trim()).filter(Boolean);
      const told = await attempt(() => post(`${this.path}/label`, { title: title.value, tags: words }));
      if (told) { dialog.close(); refresh(); }
    };
    const dialog = el('dialog.sheet', { 'aria-label': say('compare.one.rename') },
      el('form.stack', { method: 'dialog', onsubmit: (event) => { event.preventDefault(); save(); } },
        el('label.stack', {}, say('compare.form.title'), title), el('label.stack', {}, say('compare.form.tags'), tags),
        el('div.row.compare-dialog', {}, el('button', { type: 'button', onclick: () => dialog.close() }, say('shell.cancel')),
          el('button.primary', { type: 'submit' }, say('compare.one.save')))));
    dialog.addEventListener('close', () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }

  // -- contestants -------------------------------------------------------------------------------------------------

  entry(entry) {
    const action = (name, run) => el('button.plain', {
      type: 'button', onclick: run, 'data-focus': `${name} ${entry.number}`, 'aria-label': say(`compare.one.${name}_of`, { label: entry.label }),
    }, say(`compare.one.${name}`));
    const { clip } = entry;
    return el('section.panel.stack.compare-entry', { 'data-number': entry.number, 'data-state': entry.state, 'aria-label': entry.label },
      el('div.row', {}, el('strong', {}, `${entry.number}  ${entry.label}`), el(`span.badge.${entry.tone}`, {}, entry.state_text),
        entry.checks ? el(`span.badge.${entry.checks_tone}`, {}, entry.checks_text) : null),
      this.progress(entry),
      this.facts(entry),
      this.changes(entry),
      entry.error ? el('p.compare-error', {}, [entry.error.message, entry.error.fix].filter(Boolean).join('. ')) : null,
      entry.error && !entry.differences.length ? null : differences(entry.differences),
      el('div.row', {},
        clip && action('inspect', () => send({ to: 'inspect', do: 'asset', asset: clip.id })),
        clip && action('library', () => send({ to: 'library', do: 'show', asset: clip.id })),
        entry.job_id && !entry.clip && entry.state !== 'removed' ? action('queue', () => send({ to: 'queue', do: 'show', job: entry.job_id })) : null));
  }

  progress(entry) {
    if (entry.is_over) return null;
    const left = entry.eta_seconds === null ? '' : say('compare.one.left', { time: duration(entry.eta_seconds) });
    return el('div.stack', {},
      el('div.bar', { role: 'progressbar', 'aria-valuemin': 0, 'aria-valuemax': 100, 'aria-valuenow': entry.percent, 'aria-label': entry.label },
        el('span', { style: `width: ${entry.percent}%` })),
      el('span.quiet', {}, [entry.stage ?? entry.state_text, left].filter(Boolean).join(', ')));
  }

  facts(entry) {
    const { clip } = entry;
    const made = clip && [`${clip.width}×${clip.height}`, say('compare.frames', { frames: clip.num_frames }),
      say('compare.rate', { rate: Number(clip.frame_rate.toFixed(3)) }), say('compare.seconds', { seconds: Number(clip.seconds.toFixed(2)) }),
      say('compare.seed', { seed: clip.seed }), clip.steps && say('compare.steps', { steps: clip.steps })];
    const cost = entry.cost && entry.cost.amount ? say(entry.is_billed ? 'compare.one.billed' : 'compare.one.estimated', { cost: money(entry.cost) }) : null;
    const took = entry.seconds === null || entry.error ? null : say('compare.one.took', { time: duration(entry.seconds) });
    const line = [...(made || []), took, cost].filter(Boolean).join(' · ');
    return line ? el('p.quiet', {}, line) : null;
  }

  /** What was set otherwise for it on purpose. */
  changes(entry) {
    const { options = {}, ...fields } = entry.changes;
    const list = Object.entries({ ...fields, ...options }).map(([name, value]) => `${name.replaceAll('_', ' ')} ${value}`).join(', ');
    return list ? el('p.quiet', {}, say('compare.one.changes', { list })) : null;
  }

  // -- clips and votes ---------------------------------------------------------------------------------------------

  showClips() {
    const ready = this.told.entries.filter((entry) => entry.clip);
    const key = ready.map((entry) => entry.clip.id).join();
    if (key === this.shownClips) return;
    if (ready.length < 2) {
      this.stage?.dispose();
      this.stage = null;
      this.screen.replaceChildren(el('p.panel.empty', {}, say(this.told.is_over ? 'compare.one.too_few' : 'compare.one.waiting')));
      return;
    }
    if (this.stage !== null && ready.length > this.numbers.length) { this.offer(); return; } // nobody is disturbed while looking
    this.build(ready, key);
  }

  offer() {
    if (this.screen.querySelector('.compare-offer')) return;
    const showAll = () => { this.stage.dispose(); this.stage = null; this.showClips(); };
    this.screen.prepend(el('button.compare-offer', { type: 'button', onclick: showAll }, say('compare.one.another')));
  }

  build(ready, key) {
    this.stage?.dispose();
    this.shownClips = key;
    this.numbers = ready.map((entry) => entry.number);
    this.stage = stage(ready.map((entry) => ({ ...entry.clip, url: media(entry.clip.id), label: entry.label })), { onPair: () => this.nameSides() });
    this.screen.replaceChildren(this.stage.element);
    this.nameSides();
  }

  nameSides() {
    const labels = this.stage.pair().map((index) => this.told.entries.find((entry) => entry.number === this.numbers[index]).label);
    this.ballot.name(...labels);
    this.ballot.offer(this.told.reasons);
  }

  async vote(verdict, reasons) {
    const [left, right] = this.stage.pair().map((index) => this.numbers[index]);
    const cast = await attempt(() => post(`${this.path}/votes`, { left, right, verdict, reasons }));
    if (!cast) return;
    this.ballot.clear();
    const takeItBack = async () => { if (await takeBack(this.path, cast.id)) refresh(); };
    toast(say('compare.vote.kept', { votes: cast.votes }), { action: { label: say('compare.vote.take_back'), run: takeItBack } });
    refresh();
  }

  key(name) {
    if (this.stage === null || ![' ', ',', '.', 's', 'w', 'd', 'b', 'o'].includes(name)) return false;
    this.stage.key(name);
    return true;
  }
}

/** What a contestant does otherwise than was asked; said even if it is nothing. */
export function differences(list) {
  if (!list.length) return el('p.quiet', {}, say('compare.as_asked'));
  return el('div', {}, el('p.compare-differs', {}, say('compare.otherwise')), el('ul.compare-differences', {}, list.map((item) => el('li', {}, item.sentence))));
}

function fraction(text) {
  const [top, bottom = 1] = String(text).split('/').map(Number);
  return top / bottom;
}
