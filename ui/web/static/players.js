// Clips that play in step within one frame: one clock, and a follower for each clip that keeps to it.
// No part of the page is drawn here; `players-stage.js` draws.

const HARD_SECONDS = 0.25; // further off than this, a clip is put where it belongs; closer, it runs faster or slower
const CATCH_UP_SECONDS = 0.2; // so long a clip takes to make up for what it is off
const MOST_NUDGE = 0.5; // of the speed
const MOST_AUDIBLE_NUDGE = 0.1; // of the speed, where it is heard
const SETTLE_MILLISECONDS = 1000; // after a start, all are not put where they belong again for so long
const EPSILON = 1e-4; // seconds; frame rates such as 30000/1001 have no exact binary form

/** All players of the page that are alive, for tests and for whoever wants to measure. */
window.studioPlayers = window.studioPlayers ?? [];

/** One clip that follows the clock. clip: {url, frame_rate (per second), num_frames, width, height, label}. */
class Follower {
  constructor(clip) {
    Object.assign(this, { clip, rate: clip.frame_rate, count: Math.max(clip.num_frames, 1), start: 0, shown: null });
    this.wanted = null;
    this.seeking = null;
    this.hasFailed = false;
    this.video = document.createElement('video');
    Object.assign(this.video, { src: clip.url, muted: true, playsInline: true, preload: 'auto', disablePictureInPicture: true });
    this.video.setAttribute('tabindex', '-1');
    this.video.addEventListener('error', () => { this.hasFailed = true; });
  }

  get length() { return this.count / this.rate; } // seconds

  /** The number of the frame, from 0, that belongs to a time of the clock. */
  frameAt(time) {
    return Math.min(Math.max(Math.floor(time * this.rate + EPSILON * this.rate), 0), this.count - 1);
  }

  /** Watch which frame is really on the screen. */
  watch(onFrame) {
    if (!this.video.requestVideoFrameCallback) return;
    const look = (_now, told) => {
      // The time of a file's first picture need not be nought.
      if (this.shown === null && this.video.currentTime < 0.75 / this.rate) this.start = told.mediaTime;
      const frame = Math.round((told.mediaTime - this.start) * this.rate);
      this.shown = { frame, mediaTime: told.mediaTime, at: told.expectedDisplayTime };
      onFrame(this);
      this.video.requestVideoFrameCallback(look);
    };
    this.video.requestVideoFrameCallback(look);
  }

  /** Be loaded so far that frames can be shown, or known to be broken. */
  async ready() {
    const { video } = this;
    if (video.readyState >= 2 || this.hasFailed) return;
    await new Promise((resolve) => {
      video.addEventListener('loadeddata', resolve, { once: true });
      video.addEventListener('error', resolve, { once: true });
    });
  }

  /** Show one frame while paused. Of many wishes in a row only the last is waited for. */
  show(frame) {
    this.wanted = frame;
    this.seeking = this.seeking ?? this.goOn().finally(() => { this.seeking = null; });
    return this.seeking;
  }

  async goOn() {
    for (let done = null; done !== this.wanted && !this.hasFailed;) {
      done = this.wanted;
      await this.ready();
      await this.goTo(this.start + (done + 0.5) / this.rate); // the middle of a frame: rounding harms nothing there
    }
  }

  async goTo(seconds) {
    const { video } = this;
    if (this.hasFailed || (Math.abs(video.currentTime - seconds) < EPSILON && !video.seeking)) return;
    const arrived = new Promise((resolve) => {
      for (const name of ['seeked', 'error', 'emptied']) video.addEventListener(name, resolve, { once: true });
    });
    video.currentTime = seconds;
    await arrived;
  }

  /** While the clock runs: be where it is. Returns false where this clip has to be waited for. */
  follow(time, speed) {
    const { video } = this;
    if (this.hasFailed) return true;
    if (time >= this.length - 0.5 / this.rate) { // it is over: its last frame stays
      if (!video.paused) video.pause();
      if (this.wanted !== this.count - 1) this.show(this.count - 1);
      return true;
    }
    if (video.ended) return true; // a file may be a little shorter than its frames say
    if (video.seeking || video.readyState < 3) return false;
    if (video.paused) { video.play().catch(() => {}); return true; }
    this.wanted = null;
    const off = video.currentTime - this.start - time;
    if (Math.abs(off) > HARD_SECONDS) return false;
    const most = video.muted ? MOST_NUDGE : MOST_AUDIBLE_NUDGE;
    const nudge = Math.abs(off) < 0.2 / this.rate ? 0 : Math.max(-most, Math.min(most, off / CATCH_UP_SECONDS));
    const wanted = Math.max(speed * (1 - nudge), 0.0625); // slower no browser plays
    if (Math.abs(video.playbackRate - wanted) > 0.004 * speed) video.playbackRate = wanted;
    return true;
  }

  dispose() {
    this.hasFailed = true;
    this.video.pause();
    this.video.removeAttribute('src');
    this.video.load();
  }
}

/** Several clips under one clock. Events: `tick` whenever the time or what is shown has changed, `state` on the rest.
 *  end: `hold` goes on to the end of the longest, others hold their last frame; `shortest` ends with the shortest. */
export class Players extends EventTarget {
  constructor(clips, { end = 'hold', isLooping = true } = {}) {
    super();
    Object.assign(this, { end, isLooping, speed: 1, isPlaying: false, sound: null });
    this.at = 0; // the clock's time in seconds, as it was at `since`
    this.since = null; // performance.now(), null while the clock stands
    this.run = 0; // of the newest start; older ones that still wait give up
    this.followers = clips.map((clip) => new Follower(clip));
    this.active = this.followers.map((_, index) => index);
    for (const item of this.followers) item.watch(() => this.tell('tick'));
    window.studioPlayers.push(this);
    this.loaded = Promise.all(this.followers.map((item) => item.ready())).then(() => this.seek(0));
  }

  get time() { return this.timeAt(performance.now()); }

  timeAt(now) {
    return this.since === null ? this.at : this.at + ((now - this.since) / 1000) * this.speed;
  }

  get shownOnes() { return this.active.map((index) => this.followers[index]); }

  /** How long it goes, in seconds. */
  get length() {
    const lengths = this.shownOnes.map((item) => item.length);
    return lengths.length ? (this.end === 'shortest' ? Math.min(...lengths) : Math.max(...lengths)) : 0;
  }

  /** Only these, by number, are played; the others rest. */
  async setActive(indices) {
    this.active = indices;
    this.followers.forEach((item, index) => { if (!indices.includes(index)) item.video.pause(); });
    this.setSound(indices.includes(this.sound) ? this.sound : null);
    await this.seek(Math.min(this.time, this.length - EPSILON));
  }

  setSpeed(speed) {
    this.setClock(this.time);
    this.speed = speed;
    this.tell('state');
  }

  async setEnd(end) {
    this.end = end;
    if (this.time >= this.length) await this.seek(0);
    this.tell('state');
  }

  setLooping(isLooping) { this.isLooping = isLooping; this.tell('state'); }

  /** The sound of one clip, by number, or of none (null). */
  setSound(index) {
    this.sound = index;
    this.followers.forEach((item, number) => { item.video.muted = number !== index; });
    this.tell('state');
  }

  toggle() { return this.isPlaying ? this.pause() : this.play(); }

  async play() {
    if (this.isPlaying) return;
    this.isPlaying = true;
    this.tell('state');
    if (this.time >= this.length - EPSILON) this.at = 0;
    await this.begin(this.time);
  }

  /** Stop, all at one and the same frame. */
  async pause() {
    if (!this.isPlaying) return;
    const time = Math.min(this.time, this.length - EPSILON);
    this.isPlaying = false;
    await this.seek(time);
    this.tell('state');
  }

  /** Go to a time in seconds. What was playing goes on from there. */
  async seek(time) {
    const wanted = Math.max(0, Math.min(time, this.length - EPSILON));
    if (this.isPlaying) { await this.begin(wanted); return; }
    await this.place(wanted);
  }

  /** To the next picture of any of the clips, or to the one before: with equal rates that is one frame of each. */
  async step(direction) {
    if (this.isPlaying) await this.pause();
    const time = this.at + EPSILON;
    const marks = this.shownOnes.map((item) => {
      const frame = Math.floor(time * item.rate + EPSILON * item.rate);
      const isOnMark = time - frame / item.rate < 4 * EPSILON;
      return (direction > 0 ? frame + 1 : isOnMark ? frame - 1 : frame) / item.rate;
    });
    const next = direction > 0 ? Math.min(...marks) : Math.max(...marks);
    if (next < this.length - EPSILON) await this.seek(Math.max(next, 0));
  }

  /** What is on the screen now. frames: of each active clip, from 0. wanted: those that the clock calls for.
   *  off: by how many frames each was early when its newest was drawn, whole ones. drift: how many frames the clips are
   *  apart at most; apart: the same in seconds. */
  measure() {
    const ones = this.shownOnes;
    const early = ones.map((item) => this.early(item));
    const off = early.map((seconds, place) => (this.isRight(ones[place]) ? 0 : Math.round(seconds * ones[place].rate)));
    const spread = (values) => (values.length ? Math.max(...values) - Math.min(...values) : 0);
    return {
      time: this.time,
      isPlaying: this.isPlaying,
      isWaiting: this.isPlaying && this.since === null, // the clock stands until all are there; what is off says nothing
      frames: ones.map((item) => item.shown?.frame ?? item.frameAt(item.video.currentTime)),
      wanted: ones.map((item) => item.frameAt(this.time)),
      off,
      drift: spread(off),
      apart: spread(early),
    };
  }

  /** By how many seconds a clip was early when its newest picture came on the screen; while paused by how many it is. */
  early(item) {
    if (item.shown === null || this.isOld(item)) return 0;
    if (this.since === null) return (item.shown.frame - item.frameAt(this.at)) / item.rate;
    const isHeld = item.shown.frame === item.count - 1 && this.isRight(item);
    return isHeld ? 0 : item.shown.frame / item.rate - this.timeAt(item.shown.at);
  }

  /** Whether a clip's newest picture was the one that belonged to the moment when it came. */
  isRight(item) {
    if (item.shown === null || this.isOld(item)) return true;
    return item.shown.frame === item.frameAt(this.since === null ? this.at : this.timeAt(item.shown.at));
  }

  /** Whether what is shown came before the clock was last started: then it says nothing of how it runs. */
  isOld(item) { return this.since !== null && item.shown.at < this.since; }

  dispose() {
    this.run += 1;
    this.isPlaying = false;
    this.since = null;
    this.followers.forEach((item) => item.dispose());
    window.studioPlayers.splice(window.studioPlayers.indexOf(this), 1);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  tell(name) { this.dispatchEvent(new Event(name)); }

  setClock(time) {
    this.at = time;
    if (this.since !== null) this.since = performance.now();
  }

  /** Stop the clock and put every clip on the frame of this time. */
  async place(time) {
    this.since = null;
    this.at = time;
    await Promise.all(this.shownOnes.map((item) => {
      item.video.pause();
      return item.show(item.frameAt(time));
    }));
    this.tell('tick');
  }

  /** Start all together from a time: the clock runs from the moment when the last of them does. */
  async begin(time) {
    const run = (this.run += 1);
    await this.place(time);
    const moving = this.shownOnes.filter((item) => !item.hasFailed && time < item.length - 0.5 / item.rate);
    await Promise.all(moving.map((item) => item.goTo(item.start + time)));
    if (run !== this.run || !this.isPlaying) return;
    await Promise.all(moving.map((item) => {
      item.video.playbackRate = this.speed;
      return item.video.play().catch(() => {});
    }));
    if (run !== this.run || !this.isPlaying) return;
    this.at = Math.max(time, Math.min(...moving.map((item) => item.video.currentTime - item.start)));
    if (!moving.length) this.at = time;
    this.since = performance.now();
    requestAnimationFrame(() => this.go(run));
  }

  go(run) {
    if (run !== this.run || !this.isPlaying) return;
    const { time } = this;
    if (time >= this.length) { this.wrap(); return; }
    const areThere = this.shownOnes.map((item) => item.follow(time, this.speed));
    const isSettled = performance.now() - this.since > SETTLE_MILLISECONDS;
    if (areThere.includes(false) && isSettled) { this.begin(time); return; } // one lags behind: all wait for it
    this.tell('tick');
    requestAnimationFrame(() => this.go(run));
  }

  async wrap() {
    if (this.isLooping) { await this.begin(0); return; }
    this.isPlaying = false;
    await this.place(this.length - EPSILON);
    this.tell('state');
  }
}
