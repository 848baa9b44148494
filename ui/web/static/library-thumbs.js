// Small pictures of clips, drawn in the browser from the sealed bytes themselves: nothing else is served. Few at a time.
import { media } from '/studio/static/studio.js';

const AT_ONCE = 3;
const MOST_KEPT = 1500;
const WIDTH = 360;
const SECONDS = 15;

const kept = new Map(); // by SHA-256: the address of the picture, null where there can be none
const waiting = new Map(); // by SHA-256: {item, shows}
let busy = 0;

/** The address of the small picture of an item: at once if it is there, null if there can be none, else undefined. */
export function thumbOf(item) {
  return kept.get(item.sha256);
}

/** Have a small picture made. show(address or null) is called when it is there, unless `forget` is called before. */
export function makeThumb(item, show) {
  if (kept.has(item.sha256)) { show(kept.get(item.sha256)); return () => {}; }
  const order = waiting.get(item.sha256) ?? { item, shows: new Set() };
  order.shows.add(show);
  waiting.delete(item.sha256); // what was asked for last is seen now, and is made first
  waiting.set(item.sha256, order);
  next();
  return () => {
    order.shows.delete(show);
    if (!order.shows.size && !order.isBusy) waiting.delete(item.sha256);
  };
}

function next() {
  if (busy >= AT_ONCE) return;
  const order = [...waiting.values()].reverse().find((item) => !item.isBusy);
  if (!order) return;
  order.isBusy = true;
  busy += 1;
  draw(order.item).catch(() => null).then((address) => {
    keep(order.item.sha256, address);
    waiting.delete(order.item.sha256);
    for (const show of order.shows) show(address);
  }).finally(() => { busy -= 1; next(); });
  next();
}

function keep(sha256, address) {
  kept.set(sha256, address);
  if (kept.size <= MOST_KEPT) return;
  const [oldest, gone] = kept.entries().next().value;
  kept.delete(oldest);
  if (gone) URL.revokeObjectURL(gone);
}

async function draw(item) {
  if (item.kind === 'sound') return null;
  const source = item.kind === 'video' ? await firstFrame(item) : await picture(item);
  const height = Math.max(1, Math.round((WIDTH * item.height) / item.width));
  const canvas = document.createElement('canvas');
  canvas.width = WIDTH;
  canvas.height = height;
  canvas.getContext('2d').drawImage(source, 0, 0, WIDTH, height);
  if (source instanceof HTMLVideoElement) { source.removeAttribute('src'); source.load(); }
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/webp', 0.8));
  return blob ? URL.createObjectURL(blob) : null;
}

function firstFrame(item) {
  const video = document.createElement('video');
  video.muted = true;
  video.preload = 'auto';
  video.src = media(item.id);
  return happened(video, 'loadeddata');
}

function picture(item) {
  const image = new Image();
  image.src = media(item.id);
  return happened(image, 'load');
}

function happened(element, name) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail(new Error('too slow')), SECONDS * 1000);
    const done = () => { clearTimeout(timer); resolve(element); };
    const fail = (error) => { clearTimeout(timer); element.removeAttribute('src'); reject(error); };
    element.addEventListener(name, done, { once: true });
    element.addEventListener('error', () => fail(new Error('unreadable')), { once: true });
  });
}
