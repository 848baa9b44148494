// Plays one sealed file, or one of this computer: its box keeps the file's shape, frames are stepped exactly, a contact sheet is drawn here.
import { el, media, say } from '/studio/static/studio.js';

const THUMBNAILS = 12;
let active = null; // the player that the keys go to: the one that was pointed at, focused or made last

/** A player. clip: {kind, width, height, frame_rate, num_frames, prompt}. source: address of the file.
 *  Returns {element, video, frame, seek(frame), step(number), onFrame(f), told()}; video is null for pictures and sound.
 *  told: say that figures of `clip` were changed. */
export function player(clip, source) {
  const shows = new Set();
  const made = { clip, source, video: null, frame: 0, onFrame: (show) => shows.add(show) };
  const stage = el('div.clip-stage', {});
  if (clip.kind !== 'sound' && clip.width && clip.height) stage.style.aspectRatio = `${clip.width} / ${clip.height}`;
  const note = el('p.clip-noplay', { hidden: true, role: 'status' }, say(source.startsWith('blob:') ? 'clip.no_preview' : 'clip.no_play'));
  const fail = () => { note.hidden = false; stage.classList.add('clip-failed'); bar?.setAttribute('hidden', ''); };
  let bar = null;
  const set = (frame) => { made.frame = frame; shows.forEach((show) => show(frame)); };
  made.seek = () => {};
  made.step = () => {};
  made.told = () => {};
  stage.append(surface(clip, source, made, fail), note);
  made.element = el('div.clip-player', { tabindex: clip.kind === 'video' ? 0 : null, role: clip.kind === 'video' ? 'group' : null,
    'aria-label': clip.kind === 'video' ? say('clip.player') : null, onpointerenter: () => { active = made; }, onfocusin: () => { active = made; } }, stage);
  if (made.video) {
    follow(made, set);
    bar = controls(made);
    made.element.append(bar);
    active = made;
  }
  return made;
}

function surface(clip, source, made, fail) {
  if (clip.kind === 'sound') return el('audio', { controls: true, src: source, preload: 'metadata', onerror: fail });
  if (clip.kind !== 'video') {
    return el('img', { src: source, alt: say('clip.picture_alt', { prompt: clip.prompt || say('clip.no_prompt') }), onerror: fail, loading: 'lazy' });
  }
  made.video = el('video', { controls: true, playsinline: true, loop: true, preload: 'metadata', src: source, onerror: fail });
  return made.video;
}

// The number of the frame that is seen: from the browser itself where it tells, else from the time.
function follow(made, set) {
  const { video, clip } = made;
  const limit = (frame) => Math.max(0, Math.min(frame, Math.max(clip.num_frames - 1, 0)));
  const rate = () => clip.frame_rate || 25; // of a file that is still looked at it becomes known later
  if ('requestVideoFrameCallback' in HTMLVideoElement.prototype) {
    const seen = (_now, { mediaTime }) => {
      set(limit(Math.round(mediaTime * rate())));
      video.requestVideoFrameCallback(seen);
    };
    video.requestVideoFrameCallback(seen);
  } else {
    video.addEventListener('timeupdate', () => set(limit(Math.floor(video.currentTime * rate() + 0.001))));
  }
  made.seek = (frame) => {
    const wanted = limit(frame);
    video.pause();
    set(wanted);
    video.currentTime = (wanted + 0.5) / rate(); // the middle of a frame belongs to no other
  };
  made.step = (number) => made.seek(made.frame + number);
}

function controls(made) {
  const { clip } = made;
  const counter = el('span.clip-frame.mono', { role: 'status', 'aria-live': 'off' });
  const show = (frame) => { counter.textContent = say('clip.frame_of', { frame, frames: Math.max(clip.num_frames - 1, 0) }); };
  made.onFrame(show);
  made.told = () => show(made.frame);
  show(0);
  const sheet = el('div.clip-sheet', { hidden: true });
  const toggle = el('button', { type: 'button', 'aria-expanded': 'false' }, say('clip.contact_sheet'));
  toggle.addEventListener('click', () => {
    sheet.hidden = !sheet.hidden;
    toggle.setAttribute('aria-expanded', String(!sheet.hidden));
    if (!sheet.hidden && !sheet.childElementCount) drawSheet(made, sheet);
  });
  return el('div.stack', {},
    el('div.row.clip-controls', {},
      el('button', { type: 'button', 'aria-label': say('clip.previous_frame'), title: say('clip.previous_frame'), onclick: () => made.step(-1) }, '‹'),
      counter,
      el('button', { type: 'button', 'aria-label': say('clip.next_frame'), title: say('clip.next_frame'), onclick: () => made.step(1) }, '›'),
      toggle),
    sheet);
}

// Thumbnails are drawn here from the sealed bytes themselves: nothing else is served. One after the other, off the screen.
async function drawSheet(made, sheet) {
  const { clip, source } = made;
  const number = Math.min(THUMBNAILS, clip.num_frames || THUMBNAILS);
  const frames = Array.from({ length: number }, (_, index) => Math.round((index * Math.max(clip.num_frames - 1, 0)) / Math.max(number - 1, 1)));
  const height = Math.max(1, Math.round((160 * (clip.height || 9)) / (clip.width || 16)));
  const canvases = frames.map(() => el('canvas', { width: 160, height, 'aria-hidden': 'true' }));
  sheet.append(...frames.map((frame, index) => el('button.clip-thumb', {
    type: 'button', onclick: () => made.seek(frame), 'data-frame': frame,
    'aria-label': say('clip.frame_at', { frame, seconds: (frame / (clip.frame_rate || 25)).toFixed(2) }),
  }, canvases[index], el('span.mono', {}, String(frame)))));
  const hidden = el('video', { muted: true, preload: 'auto', src: source });
  try {
    await happened(hidden, 'loadeddata');
    for (const [index, frame] of frames.entries()) {
      if (!sheet.isConnected) break;
      hidden.currentTime = (frame + 0.5) / (clip.frame_rate || 25);
      await happened(hidden, 'seeked');
      canvases[index].getContext('2d').drawImage(hidden, 0, 0, 160, height);
      canvases[index].dataset.drawn = 'yes';
    }
  } catch {
    sheet.replaceChildren(el('p.quiet', {}, say('clip.no_play')));
  } finally {
    hidden.removeAttribute('src');
    hidden.load();
  }
}

function happened(video, name) {
  return new Promise((resolve, reject) => {
    video.addEventListener(name, resolve, { once: true });
    video.addEventListener('error', () => reject(video.error), { once: true });
  });
}

/** The player of a file of the library. */
export function sealedPlayer(clip) {
  return player(clip, media(clip.id));
}

// Keys go to the player that was used last, wherever the focus is, unless it is on something that takes them itself.
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || !isSeen(active)) return;
  if (event.target.closest?.('input, textarea, select, [contenteditable=true], [role=slider]')) return;
  const isOnControl = event.target.closest?.('button, a, summary, video, audio, [role=button]');
  const { video } = active;
  if (event.key === ' ' && !isOnControl) { event.preventDefault(); if (video.paused) video.play(); else video.pause(); }
  if (event.key === ',' || event.key === '.') { event.preventDefault(); active.step(event.key === ',' ? -1 : 1); }
});

function isSeen(made) {
  if (!made?.video?.isConnected || !made.video.offsetParent) return false;
  const dialog = document.querySelector('dialog[open]');
  return !dialog || dialog.contains(made.video);
}
