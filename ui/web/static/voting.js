// Votes on two clips, with the names in view or blind: then nothing on the page tells who is who before the vote.
import { attempt, el, post, say, toast } from '/studio/static/studio.js';
import { stage } from '/studio/static/players-stage.js';

const VERDICTS = { left: 'ArrowLeft', tie: 'ArrowDown', both_bad: 'x', right: 'ArrowRight' };
const SHOWN_KEYS = { ArrowLeft: '←', ArrowDown: '↓', ArrowRight: '→', x: 'x' };
const PLAYER_KEYS = [' ', ',', '.', 's', 'w', 'd', 'b', 'o'];
const MOST_REASONS = 8;

/** What somebody thinks of two clips. cast(verdict, reasons) is called with left, right, tie or both_bad. */
export class Ballot {
  constructor({ cast, withKeys = false }) {
    Object.assign(this, { cast, chosen: new Set(), isBusy: false });
    const button = (verdict, key) => el('button.compare-verdict', { type: 'button', 'data-verdict': verdict, onclick: () => this.vote(verdict) },
      el('span', {}, say(`compare.vote.${verdict}`)), withKeys && el('kbd', {}, SHOWN_KEYS[key]));
    this.buttons = Object.fromEntries(Object.entries(VERDICTS).map(([verdict, key]) => [verdict, button(verdict, key)]));
    this.chips = el('div.row', { role: 'group', 'aria-label': say('compare.vote.reasons') });
    this.own = el('input.compare-own', { type: 'text', maxlength: 200, 'aria-label': say('compare.vote.own'), placeholder: say('compare.vote.own') });
    this.element = el('div.stack.compare-ballot', {},
      el('h3', {}, say('compare.vote.title')),
      el('div.compare-verdicts', {}, Object.values(this.buttons)),
      el('details', {}, el('summary', {}, say('compare.vote.why')), el('div.stack', {}, this.chips, this.own)));
  }

  /** Call the sides by their names. */
  name(left, right) {
    this.buttons.left.firstChild.textContent = say('compare.vote.better', { label: left });
    this.buttons.right.firstChild.textContent = say('compare.vote.better', { label: right });
  }

  /** The reasons that can be chosen. */
  offer(reasons) {
    if (this.chips.childElementCount) return;
    const chip = (reason) => el('button.compare-chip', {
      type: 'button', 'aria-pressed': 'false', onclick: (event) => this.choose(reason, event.currentTarget),
    }, reason);
    this.chips.replaceChildren(...reasons.map(chip));
  }

  choose(reason, chip) {
    if (!this.chosen.delete(reason)) this.chosen.add(reason);
    chip.setAttribute('aria-pressed', String(this.chosen.has(reason)));
  }

  clear() {
    this.chosen.clear();
    this.own.value = '';
    for (const chip of this.chips.children) chip.setAttribute('aria-pressed', 'false');
  }

  async vote(verdict) {
    if (this.isBusy) return; // one key pressed twice is one vote
    this.isBusy = true;
    const reasons = [...this.chosen, this.own.value.trim()].filter(Boolean).slice(0, MOST_REASONS);
    try {
      await this.cast(verdict, reasons);
    } finally {
      this.isBusy = false;
    }
  }
}

/** Take a vote back. path: of its comparison. Returns whether it is gone. */
export async function takeBack(path, id) {
  const told = await attempt(() => post(`${path}/votes/${encodeURIComponent(id)}`, {}, { method: 'DELETE' }));
  if (told) toast(say('compare.vote.taken_back'));
  return told !== undefined;
}

/** Pairs of one comparison, one after the other, without names. */
export async function showBlind({ go, id }) {
  const blind = new Blind(go, id);
  await blind.next();
  return { element: blind.element, key: (name) => blind.key(name), dispose: () => blind.stage?.dispose() };
}

class Blind {
  constructor(go, id) {
    Object.assign(this, { go, id, path: `/studio/comparisons/${encodeURIComponent(id)}`, stage: null, dealt: null, isRevealed: false });
    this.prompt = el('p');
    this.counts = el('p.quiet', { role: 'status' });
    this.screen = el('div');
    this.ballot = new Ballot({ cast: (verdict, reasons) => this.vote(verdict, reasons), withKeys: true });
    this.ballotBox = el('section.panel.stack', { 'aria-label': say('compare.vote.title') });
    this.element = el('article.stack.compare-blind', {},
      el('div.row.compare-actions', {}, el('h2.compare-title', {}, say('compare.blind.title')),
        el('button', { type: 'button', onclick: () => go(id) }, say('compare.blind.leave'))),
      el('p.quiet', {}, say('compare.blind.how')), this.prompt, this.counts, this.screen, this.ballotBox);
  }

  async next() {
    const dealt = await post(`${this.path}/blind/next`);
    this.stage?.dispose();
    Object.assign(this, { dealt, isRevealed: false });
    this.prompt.textContent = dealt.prompt;
    this.counts.textContent = say('compare.blind.counts', { votes: dealt.votes }) + (dealt.seen ? ` ${say('compare.blind.seen', { seen: dealt.seen })}` : '');
    this.stage = stage(['left', 'right'].map((side) => ({ ...dealt[side], label: say(`compare.blind.${side}`) })));
    this.screen.replaceChildren(this.stage.element);
    this.ballot.clear();
    this.ballot.name(say('compare.blind.left'), say('compare.blind.right'));
    this.ballot.offer(dealt.reasons);
    this.ballotBox.replaceChildren(this.ballot.element);
  }

  async vote(verdict, reasons) {
    if (this.isRevealed) return;
    try {
      const told = await post(`${this.path}/blind/vote`, { token: this.dealt.token, verdict, reasons });
      this.reveal(told);
    } catch (error) {
      toast(error.message, { kind: 'bad' });
      if (error.status === 404 || error.status === 409) await attempt(() => this.next()); // the server forgot the pair, or it was voted on
    }
  }

  reveal(told) {
    this.isRevealed = true;
    const side = (name) => el('div.compare-revealed', { 'data-side': name, class: `compare-revealed${told.verdict === name ? ' won' : ''}` },
      el('span.quiet', {}, say(`compare.blind.${name}`)), el('strong', {}, told[name].label));
    const next = el('button.primary', { type: 'button', onclick: () => attempt(() => this.next()) }, el('span', {}, say('compare.blind.next')), ' ', el('kbd', {}, 'n'));
    this.counts.textContent = say('compare.blind.counts', { votes: told.mine });
    this.ballotBox.replaceChildren(
      el('h3', { role: 'status' }, say(`compare.blind.said.${told.verdict}`)),
      el('div.compare-reveal', {}, side('left'), side('right')),
      el('div.row', {}, next, el('button', { type: 'button', onclick: () => this.takeBack(told.id) }, say('compare.vote.take_back')), el('button', { type: 'button', onclick: () => this.go(this.id) }, say('compare.blind.results'))));
    next.focus();
  }

  async takeBack(id) {
    if (await takeBack(this.path, id)) await attempt(() => this.next());
  }

  key(name) {
    const verdict = Object.keys(VERDICTS).find((item) => VERDICTS[item] === name);
    if (verdict && !this.isRevealed) this.ballot.vote(verdict);
    else if (name === 'n' && this.isRevealed) attempt(() => this.next());
    else if (name === 'Escape') this.go(this.id);
    else if (PLAYER_KEYS.includes(name)) this.stage.key(name);
    else return false;
    return true;
  }
}
