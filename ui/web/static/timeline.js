// The consistency timeline: a curve for each check that has figures, with its threshold and its worst frames. Anything in it can be clicked to see the frame.
import { el, say } from '/studio/static/studio.js';

const WIDTH = 1000;
const HEIGHT = 60;

/** What the checks of a clip found. report: of GET /studio/clips/ID. Returns an element; its `follow(frame)` moves the playhead.
 *  video: the player, or null. seek: called with a frame that somebody wants to see; by default the player is moved there. */
export function timeline(report, { video = null, frameRate, numFrames, seek = null }) {
  const state = {
    frameRate, numFrames, tracks: [],
    seek: seek ?? ((frame) => { if (video) { video.pause(); video.currentTime = (frame + 0.5) / frameRate; } }),
  };
  const told = (word) => report.checks.filter((check) => check.word === word);
  const node = el('div.timeline', {},
    el('p.timeline-sentence', {}, el(`span.badge.${report.tone}`, {}, verdict(report)), ' ', report.sentence),
    told('flagged').map((check) => row(check, state)),
    group(told('passed'), 'clip.passed_checks', state),
    group(told('not_assessed'), 'clip.unassessed_checks', state),
    report.not_assessed.length ? missing(report.not_assessed) : null);
  node.follow = (frame) => state.tracks.forEach((track) => track.follow(frame));
  return node;
}

function verdict(report) {
  return say(`clip.check.${report.passed === false ? 'flagged' : report.passed ? 'passed' : 'not_assessed'}`);
}

// Opened, a group draws its curves; until then they cost nothing.
function group(checks, words, state) {
  if (!checks.length) return null;
  const inside = el('div.stack');
  const details = el('details.timeline-group', {}, el('summary', {}, say(words, { count: checks.length })), inside);
  details.addEventListener('toggle', () => {
    if (details.open && !inside.childElementCount) inside.append(...checks.map((check) => row(check, state)));
  });
  return details;
}

function missing(items) {
  return el('details.timeline-group', {}, el('summary', {}, say('clip.not_looked_at', { count: items.length })),
    el('dl.facts', {}, items.map((item) => [el('dt', {}, item.title), el('dd', {}, item.reason, item.extra ? el('div.mono', {}, item.extra) : null)])));
}

function row(check, state) {
  const has = check.series.some((value) => value !== null);
  return el('section.timeline-check', { 'aria-label': check.title, 'data-check': check.id },
    el('header.row', {},
      el('h4', {}, check.title), el(`span.badge.${check.tone}`, {}, check.word_text), el('span.quiet.timeline-value', {}, measured(check))),
    el('p', {}, check.text),
    has ? track(check, state) : null,
    jumps(check, state));
}

function measured(check) {
  if (check.value === null || check.value === undefined) return '';
  const words = check.threshold === null || check.threshold === undefined ? 'clip.measured_alone' : 'clip.measured';
  return say(words, { value: figure(check.value), unit: check.unit, threshold: figure(check.threshold) });
}

// Worst frames and events as buttons: the frame is one click away.
function jumps(check, state) {
  const frames = [...new Set([...check.worst_frames, ...check.events.map((event) => event.first_frame)])].slice(0, 12);
  if (!frames.length || !state.numFrames) return null;
  return el('div.row.timeline-jumps', {}, el('span.quiet', {}, say('clip.worst')),
    frames.map((frame) => el('button', {
      type: 'button', onclick: () => state.seek(frame), 'aria-label': say('clip.seek_to', { frame }), 'data-frame': frame,
    }, String(frame))));
}

function track(check, state) {
  const { frameRate, numFrames } = state;
  const step = check.series_step;
  const last = Math.max(numFrames - 1, 1);
  const known = check.series.filter((value) => value !== null);
  const ceiling = Math.max(...known, check.threshold_fits ? check.threshold : 0, 1e-9) * 1.08;
  const floor = Math.min(...known, 0);
  const x = (frame) => (Math.min(frame, last) / last) * WIDTH;
  const y = (value) => HEIGHT - ((value - floor) / (ceiling - floor)) * (HEIGHT - 4) - 2;
  const curve = el('svg.timeline-curve', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    check.events.map((event) => el('rect.event', { x: x(event.first_frame), y: 0, width: Math.max(x(event.last_frame + 1) - x(event.first_frame), 3), height: HEIGHT })),
    check.threshold_fits ? el('line.threshold', { x1: 0, x2: WIDTH, y1: y(check.threshold), y2: y(check.threshold) }) : null,
    pieces(check.series).map((piece) => el('polyline.series', { points: drawn(piece, step, x, y) })),
    check.worst_frames.map((frame) => el('line.worst', { x1: x(frame), x2: x(frame), y1: 0, y2: HEIGHT })));
  const head = el('span.timeline-head', { 'aria-hidden': 'true' });
  const pointer = el('span.timeline-pointer', { 'aria-hidden': 'true', hidden: true });
  const readout = el('span.timeline-readout', {}, check.threshold_fits ? say('clip.threshold', { value: figure(check.threshold), unit: check.unit }) : check.series_unit);
  const idle = readout.textContent;
  let at = 0;
  const point = (frame) => {
    at = Math.max(0, Math.min(last, frame));
    pointer.hidden = false;
    pointer.style.left = `${(at / last) * 100}%`;
    readout.textContent = told(check, at, state);
    slider.setAttribute('aria-valuenow', at);
    slider.setAttribute('aria-valuetext', readout.textContent);
  };
  const leave = () => { pointer.hidden = true; readout.textContent = idle; };
  const frameOf = (event) => {
    const box = slider.getBoundingClientRect();
    return Math.round(((event.clientX - box.left) / Math.max(box.width, 1)) * last);
  };
  const keys = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -Math.ceil(frameRate), PageUp: Math.ceil(frameRate), Home: -Infinity, End: Infinity };
  const slider = el('div.timeline-track', {
    role: 'slider', tabindex: 0, 'aria-label': say('clip.timeline_of', { title: check.title }), 'aria-valuemin': 0, 'aria-valuemax': last, 'aria-valuenow': 0,
    'aria-valuetext': told(check, 0, state),
    onpointermove: (event) => point(frameOf(event)), onpointerleave: leave, onfocus: () => point(at), onblur: leave,
    onclick: (event) => { point(frameOf(event)); state.seek(at); },
    onkeydown: (event) => {
      if (event.key in keys) { event.preventDefault(); point(at + keys[event.key]); }
      if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); state.seek(at); }
    },
  }, curve, head, pointer);
  const follow = (frame) => { head.style.left = `${(Math.min(frame, last) / last) * 100}%`; };
  state.tracks.push({ follow });
  return el('div.timeline-row', {}, slider, readout);
}

function told(check, frame, { frameRate }) {
  const step = check.series_step;
  const value = check.series[Math.floor(frame / step)] ?? null;
  const gaps = { frame, seconds: (frame / frameRate).toFixed(2), value: figure(value), unit: check.series_unit };
  if (value === null) return say('clip.timeline_none', gaps);
  if (step === 1) return say('clip.timeline_value', gaps);
  const first = Math.floor(frame / step) * step;
  return say('clip.timeline_span', { ...gaps, frame: first, last: first + step - 1 });
}

/** The series cut where a frame has no figure: lists of [index, value]. */
export function pieces(series) {
  const found = [];
  let piece = [];
  series.forEach((value, index) => {
    if (value !== null) piece.push([index, value]);
    else if (piece.length) { found.push(piece); piece = []; }
  });
  if (piece.length) found.push(piece);
  return found;
}

function drawn(piece, step, x, y) {
  const points = piece.map(([index, value]) => `${x(index * step).toFixed(1)},${y(value).toFixed(1)}`);
  if (piece.length === 1) points.push(`${(x(piece[0][0] * step) + 3).toFixed(1)},${y(piece[0][1]).toFixed(1)}`);
  return points.join(' ');
}

export function figure(value) {
  if (value === null || value === undefined) return '–';
  return Number(value.toPrecision(3)).toString();
}
