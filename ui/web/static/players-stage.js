// What is seen of clips in step: side by side, wiped, blinking, laid over each other, or only what differs; and their controls.
import { el, say } from '/studio/static/studio.js';
import { Players } from '/studio/static/players.js';
import { Difference } from '/studio/static/players-difference.js';

export const MODES = ['side', 'wipe', 'difference', 'blink', 'overlay'];
const KEYS = { s: 'side', w: 'wipe', d: 'difference', b: 'blink', o: 'overlay' };
const SPEEDS = [0.1, 0.25, 0.5, 1, 1.5, 2];
const GAINS = [1, 2, 4, 8, 16];
const BLINKS = [0.5, 1, 2]; // seconds; faster would be flashes (WCAG 2.3.1)
const MAX_HEIGHT = '64vh';
const ICONS = { back: 'M3 3h2v10H3zM13 3v10L6 8z', on: 'M11 3h2v10h-2zM3 3v10l7-5z', play: 'M4 2.5l10 5.5-10 5.5z', pause: 'M4 3h3v10H4zM9 3h3v10H9z' };

/** Draw clips and their controls. clips: as of `Players`, 2 or more, each with a label.
 *  Returns {element, players, key(name), pair(): [left, right], dispose()}. onPair is told when another pair is shown. */
export function stage(clips, { onPair = () => {} } = {}) {
  return new Stage(clips, onPair).handle();
}

class Stage {
  constructor(clips, onPair) {
    Object.assign(this, { clips, onPair, mode: 'side', pair: [0, 1], isFlipped: false, blinkTimer: null, isActual: false });
    this.players = new Players(clips);
    this.difference = new Difference(this.players);
    this.panels = clips.map((clip, index) => this.panel(clip, index));
    this.divider = el('div.players-divider', {
      role: 'slider', tabindex: 0, 'aria-label': say('compare.players.divider'), 'aria-valuemin': 0, 'aria-valuemax': 100,
      onkeydown: (event) => this.moveByKey(event),
    }, el('span', { 'aria-hidden': 'true' }, '⇔'));
    this.screen = el('div.players-screen', { onpointerdown: (event) => this.drag(event) },
      this.panels.map((item) => item.figure), this.difference.element, this.divider);
    this.element = el('section.players', { 'aria-label': say('compare.players.title') },
      this.modeBar(), el('div.players-window', {}, this.screen), this.extraBar(), this.transport(), this.note = el('p.quiet.players-note'));
    this.players.addEventListener('tick', () => {
      if (this.players.isPlaying && this.element.offsetParent === null) this.players.pause(); // another tab is shown
      this.showTime();
    });
    this.players.addEventListener('state', () => this.showState());
    this.players.loaded.then(() => this.showTime());
    this.split(50);
    this.setMode('side');
    this.showState();
  }

  handle() {
    return {
      element: this.element,
      players: this.players,
      pair: () => (this.clips.length === 2 ? [0, 1] : [...this.pair]),
      key: (name) => this.key(name),
      dispose: () => { clearInterval(this.blinkTimer); this.players.dispose(); },
    };
  }

  // -- parts -------------------------------------------------------------------------------------------------------

  panel(clip, index) {
    const { video } = this.players.followers[index];
    video.setAttribute('aria-label', clip.label);
    const count = el('span.players-count', {}, ' ');
    const facts = `${clip.width}×${clip.height}, ${figure(clip.frame_rate)} fps`;
    const failed = el('p.players-failed', { hidden: true }, say('compare.players.failed'));
    video.addEventListener('error', () => { if (video.hasAttribute('src')) failed.hidden = false; });
    const box = el('div.players-box', { style: `aspect-ratio: ${clip.width} / ${clip.height}` }, video, failed);
    const caption = el('figcaption', {}, el('strong', {}, clip.label), el('span.quiet', {}, facts), count);
    return { figure: el('figure.players-panel', {}, box, caption), count, box };
  }

  modeBar() {
    this.modeButtons = MODES.map((mode) => {
      const key = Object.keys(KEYS).find((name) => KEYS[name] === mode);
      return el('button', { type: 'button', title: say('compare.players.key', { key }), onclick: () => this.setMode(mode), 'data-mode': mode },
        say(`compare.players.mode.${mode}`));
    });
    this.fit = el('button', { type: 'button', 'aria-pressed': 'false', onclick: () => this.setActual(!this.isActual) }, say('compare.players.actual'));
    const choose = (side) => el('select', { 'aria-label': say(`compare.players.side.${side}`), onchange: (event) => this.choose(side, Number(event.target.value)) },
      this.clips.map((clip, index) => el('option', { value: index }, clip.label)));
    this.selects = [choose(0), choose(1)];
    const against = el('span', { 'aria-hidden': 'true' }, say('compare.players.against'));
    this.pairs = el('span.row.players-pairs', {}, el('span.quiet', {}, say('compare.players.pair')), this.selects[0], against, this.selects[1]);
    return el('div.row.players-bar', {},
      el('div.row', { role: 'group', 'aria-label': say('compare.players.how') }, this.modeButtons), this.clips.length > 2 && this.pairs, this.fit);
  }

  extraBar() {
    const select = (name, values, initial, run) => el('label.row', { 'data-for': name }, say(`compare.players.${name}`),
      el('select', { onchange: (event) => run(Number(event.target.value)) },
        values.map((value) => el('option', { value, selected: value === initial }, say(`compare.players.${name}_value`, { value })))));
    this.opacity = el('input', { type: 'range', min: 0, max: 100, value: 50, oninput: () => this.screen.style.setProperty('--overlay', this.opacity.value / 100) });
    this.figure = el('span.quiet', { 'data-for': 'difference', role: 'status' });
    this.difference.onFigure = (text) => { this.figure.textContent = text; };
    this.flipped = el('span.quiet', { 'data-for': 'blink' });
    this.extra = el('div.row.players-extra', {},
      select('difference', GAINS, 4, (gain) => this.difference.setGain(gain)), this.figure,
      select('blink', BLINKS, 1, (seconds) => this.blink(seconds)),
      el('button', { type: 'button', 'data-for': 'blink', onclick: () => this.flip() }, say('compare.players.flip')), this.flipped,
      el('label.row', { 'data-for': 'overlay' }, say('compare.players.overlay'), this.opacity),
      el('span.quiet', { 'data-for': 'wipe' }, say('compare.players.wipe_hint')));
    return this.extra;
  }

  transport() {
    const { players } = this;
    const button = (name, run) => {
      const title = say(`compare.players.${name}`);
      return el('button.players-icon', { type: 'button', onclick: run, 'aria-label': title, title }, icon(name));
    };
    this.play = button('play', () => players.toggle());
    this.scrub = el('input', { type: 'range', min: 0, max: 1000, step: 1, value: 0, 'aria-label': say('compare.players.scrub'), oninput: () => this.scrubbed() });
    this.clock = el('output.players-clock');
    this.loop = el('button', { type: 'button', onclick: () => players.setLooping(!players.isLooping) }, say('compare.players.loop'));
    this.step = el('span.badge.players-step');
    const labelled = (name, control) => el('label.row', {}, say(`compare.players.${name}`), control);
    this.speed = el('select', { onchange: () => players.setSpeed(Number(this.speed.value)) },
      SPEEDS.map((value) => el('option', { value, selected: value === 1 }, `${value}×`)));
    this.end = el('select', { onchange: () => players.setEnd(this.end.value) },
      ['hold', 'shortest'].map((value) => el('option', { value }, say(`compare.players.end.${value}`))));
    this.sound = el('select', { onchange: () => players.setSound(this.sound.value === '' ? null : Number(this.sound.value)) },
      el('option', { value: '' }, say('compare.players.silent')), this.clips.map((clip, index) => el('option', { value: index }, clip.label)));
    return el('div.players-transport', {},
      el('div.row', {}, button('back', () => players.step(-1)), this.play, button('on', () => players.step(1)), this.scrub, this.clock, this.step),
      el('div.row', {}, this.loop, labelled('speed', this.speed), labelled('end_label', this.end), labelled('sound', this.sound)));
  }

  // -- doing -------------------------------------------------------------------------------------------------------

  key(name) {
    const { players } = this;
    const runs = { ' ': () => players.toggle(), ',': () => players.step(-1), '.': () => players.step(1) };
    if (runs[name]) runs[name]();
    else if (KEYS[name] === 'blink' && this.mode === 'blink') this.flip();
    else if (KEYS[name]) this.setMode(KEYS[name]);
  }

  setMode(mode) {
    this.mode = mode;
    this.element.dataset.mode = mode;
    this.modeButtons.forEach((item) => item.setAttribute('aria-pressed', String(item.dataset.mode === mode)));
    for (const item of this.extra.children) item.hidden = item.dataset.for !== mode;
    this.divider.hidden = mode !== 'wipe';
    this.blink(mode === 'blink' ? Number(this.extra.querySelector('[data-for=blink] select').value) : null);
    this.arrange();
  }

  /** Another clip on one side of the pair; the two change places where it is on the other one. */
  choose(side, index) {
    if (this.pair[1 - side] === index) this.pair[1 - side] = this.pair[side];
    this.pair[side] = index;
    this.arrange();
    this.onPair([...this.pair]);
  }

  arrange() {
    const [left, right] = this.pair;
    const isAll = this.mode === 'side';
    this.panels.forEach(({ figure: panel }, index) => {
      panel.hidden = !isAll && !this.pair.includes(index);
      panel.classList.toggle('first', index === left);
      panel.classList.toggle('second', index === right);
    });
    this.selects.forEach((item, side) => { item.value = this.pair[side]; });
    const shape = this.clips[left];
    this.screen.style.setProperty('--columns', isAll ? columnsOf(this.clips.length) : 1);
    this.screen.style.setProperty('--shape', `${shape.width} / ${shape.height}`);
    this.screen.style.setProperty('--widest', `calc(${MAX_HEIGHT} * ${shape.width / shape.height})`);
    this.screen.style.setProperty('--actual', `${shape.width / window.devicePixelRatio}px`);
    this.panels.forEach(({ box }, index) => box.style.setProperty('--own', `${this.clips[index].width / window.devicePixelRatio}px`));
    this.difference.show(this.mode === 'difference' ? [left, right] : null);
    this.players.setActive(isAll ? this.clips.map((_, index) => index) : [left, right]).then(() => this.showState());
  }

  setActual(isActual) {
    this.isActual = isActual;
    this.fit.setAttribute('aria-pressed', String(isActual));
    this.element.classList.toggle('actual', isActual);
  }

  scrubbed() {
    this.players.seek((this.scrub.value / 1000) * this.players.length);
  }

  split(percent) {
    const value = Math.min(100, Math.max(0, percent));
    this.percent = value;
    this.screen.style.setProperty('--split', `${value}%`);
    this.divider.setAttribute('aria-valuenow', String(Math.round(value)));
    this.divider.setAttribute('aria-valuetext', say('compare.players.split', { value: Math.round(value) }));
  }

  moveByKey(event) {
    const far = event.shiftKey ? 10 : 2;
    const moves = { ArrowLeft: -far, ArrowRight: far, ArrowDown: -far, ArrowUp: far, Home: -100, End: 100 };
    if (!(event.key in moves)) return;
    event.preventDefault();
    this.split(this.percent + moves[event.key]);
  }

  drag(event) {
    if (this.mode !== 'wipe' || event.button !== 0) return;
    event.preventDefault();
    this.divider.focus();
    const box = this.screen.getBoundingClientRect();
    const follow = (move) => this.split(((move.clientX - box.left) / box.width) * 100);
    follow(event);
    this.screen.setPointerCapture(event.pointerId);
    const stop = () => this.screen.removeEventListener('pointermove', follow);
    this.screen.addEventListener('pointermove', follow);
    for (const name of ['pointerup', 'pointercancel']) this.screen.addEventListener(name, stop, { once: true });
  }

  blink(seconds) {
    clearInterval(this.blinkTimer);
    this.blinkTimer = seconds && setInterval(() => (this.element.isConnected ? this.flip() : clearInterval(this.blinkTimer)), seconds * 1000);
    this.flip(false);
  }

  flip(isFlipped = !this.isFlipped) {
    this.isFlipped = isFlipped;
    this.screen.classList.toggle('flipped', isFlipped);
    const label = this.clips[this.pair[isFlipped ? 1 : 0]].label;
    this.flipped.textContent = say('compare.players.now', { label });
  }

  // -- showing -----------------------------------------------------------------------------------------------------

  showTime() {
    const { players } = this;
    const told = players.measure();
    players.active.forEach((index, place) => {
      const { count } = this.panels[index];
      count.textContent = say('compare.players.frame', { frame: told.frames[place] + 1, count: this.clips[index].num_frames });
    });
    const time = Math.max(0, Math.min(told.time, players.length));
    if (document.activeElement !== this.scrub || told.isPlaying) this.scrub.value = Math.round((time / players.length) * 1000);
    const text = `${time.toFixed(2)} / ${players.length.toFixed(2)} s`;
    this.clock.textContent = text;
    this.scrub.setAttribute('aria-valuetext', text);
    const apart = Math.abs(told.drift);
    const word = told.isWaiting ? 'waiting' : apart ? 'apart' : 'together';
    this.step.textContent = say(`compare.players.${word}`, { frames: apart });
    this.step.classList.toggle('good', !told.isWaiting && apart <= 1);
    this.step.classList.toggle('warn', !told.isWaiting && apart > 1);
    Object.assign(this.element.dataset, { frames: told.frames.join(), wanted: told.wanted.join(), drift: apart });
    this.difference.draw();
  }

  showState() {
    const { players } = this;
    const does = players.isPlaying ? 'pause' : 'play';
    this.play.replaceChildren(icon(does));
    for (const name of ['aria-label', 'title']) this.play.setAttribute(name, say(`compare.players.${does}`));
    this.loop.setAttribute('aria-pressed', String(players.isLooping));
    this.sound.value = players.sound ?? '';
    for (const [index, item] of [...this.sound.options].entries()) item.disabled = index > 0 && !players.active.includes(index - 1);
    this.note.textContent = lengthNote(players, this.clips);
    this.showTime();
  }
}

function icon(name) {
  return el('svg', { viewBox: '0 0 16 16', 'aria-hidden': 'true' }, el('path', { d: ICONS[name] }));
}

function columnsOf(number) {
  return number <= 3 ? number : number === 4 ? 2 : number <= 6 ? 3 : 4;
}

/** One sentence on what becomes of clips of different length, rate or size; nothing is hidden about it. */
function lengthNote(players, clips) {
  const shown = players.active.map((index) => ({ ...clips[index], seconds: players.followers[index].length }));
  const rates = new Set(shown.map((clip) => figure(clip.frame_rate)));
  const sizes = new Set(shown.map((clip) => `${clip.width}×${clip.height}`));
  const lengths = new Set(shown.map((clip) => clip.seconds.toFixed(2)));
  const notes = [];
  if (lengths.size > 1) {
    const list = shown.map((clip) => say('compare.players.lasts', { label: clip.label, seconds: clip.seconds.toFixed(2) })).join(', ');
    notes.push(say(`compare.players.end_note.${players.end}`, { list }));
  }
  if (rates.size > 1) notes.push(say('compare.players.rates_note', { rates: [...rates].join(', ') }));
  if (sizes.size > 1) notes.push(say('compare.players.sizes_note'));
  return notes.join(' ') || say('compare.players.same_note');
}

function figure(number) {
  return String(Number(Number(number).toFixed(3)));
}
