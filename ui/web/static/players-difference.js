// How far two clips differ, picture by picture: |A - B| of each colour, made brighter to be seen.
import { el, say } from '/studio/static/studio.js';

const MOST_WIDTH = 960; // pixels; more costs time and shows nothing more
const FIGURE_WIDTH = 64;
const FIGURE_EVERY = 250; // milliseconds

/** A canvas over the clips of some players. */
export class Difference {
  constructor(players) {
    Object.assign(this, { players, pair: null, gain: 4, told: 0, onFigure: () => {} });
    this.element = el('canvas.players-difference', { role: 'img', 'aria-label': say('compare.players.mode.difference'), hidden: true });
    this.small = document.createElement('canvas');
    this.setGain(this.gain);
  }

  setGain(gain) {
    this.gain = gain;
    this.element.style.filter = `brightness(${gain})`; // multiplies each colour, and stops at white
  }

  /** Compare these two, by number; null: none. */
  show(pair) {
    this.pair = pair;
    this.element.hidden = pair === null;
    if (pair === null) return;
    const { clip } = this.players.followers[pair[0]];
    this.element.width = Math.min(clip.width, MOST_WIDTH);
    this.element.height = Math.round((this.element.width * clip.height) / clip.width);
    this.small.width = FIGURE_WIDTH;
    this.small.height = Math.max(1, Math.round((FIGURE_WIDTH * clip.height) / clip.width));
    this.draw();
  }

  draw() {
    if (this.pair === null) return;
    const [left, right] = this.pair.map((index) => this.players.followers[index].video);
    if (left.readyState < 2 || right.readyState < 2) return;
    const { width, height } = this.element;
    const brush = this.element.getContext('2d');
    brush.globalCompositeOperation = 'copy';
    brush.drawImage(left, 0, 0, width, height);
    brush.globalCompositeOperation = 'difference'; // |A - B|
    brush.drawImage(right, 0, 0, width, height);
    this.tell();
  }

  tell() {
    const now = performance.now();
    if (this.players.isPlaying && now - this.told < FIGURE_EVERY) return;
    this.told = now;
    const brush = this.small.getContext('2d', { willReadFrequently: true });
    brush.globalCompositeOperation = 'copy';
    brush.imageSmoothingQuality = 'high';
    brush.drawImage(this.element, 0, 0, this.small.width, this.small.height);
    const { data } = brush.getImageData(0, 0, this.small.width, this.small.height);
    let sum = 0;
    for (let index = 0; index < data.length; index += 4) sum += data[index] + data[index + 1] + data[index + 2];
    const mean = sum / (data.length * 0.75);
    this.element.dataset.mean = mean.toFixed(2);
    this.onFigure(say('compare.players.mean', { mean: mean.toFixed(2) }));
  }
}
