// The tab Inspect: takes any file, sends it to be looked at on this machine, and shows what may be trusted about it.
import { attempt, el, get, media, onErrand, poll, post, say, send, shownTab, toast } from '/studio/static/studio.js';
import { player } from '/studio/static/player.js';
import { consistency, findings, sentences } from '/studio/static/inspect-report.js';

const MAX_BYTES = 4 * 2 ** 30;
const KEPT = 'studio-inspection';

export function mount({ element }) {
  const desk = new Desk(element);
  onErrand('inspect', (errand) => {
    if (errand.do === 'asset') desk.asset(errand.asset);
    if (errand.do === 'file') desk.take([errand.file]);
  });
  document.addEventListener('paste', (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (shownTab() === 'inspect' && files.length) { event.preventDefault(); desk.take(files); }
  });
  desk.resume();
}

class Desk {
  constructor(element) {
    this.note = el('p.inspect-note', { role: 'status', 'aria-live': 'polite' });
    this.bar = el('span', { style: 'width:0' });
    this.progress = el('div.bar', { role: 'progressbar', 'aria-label': say('inspect.uploaded'), 'aria-valuemin': 0, 'aria-valuemax': 100, hidden: true }, this.bar);
    this.stop = el('button', { type: 'button', hidden: true, onclick: () => this.cancel() }, say('inspect.stop'));
    this.result = el('div.inspect-result.stack', { 'aria-live': 'off' });
    const input = el('input', { type: 'file', multiple: true, accept: 'video/*,image/*,audio/*,.c2pa', hidden: true, 'aria-label': say('inspect.choose'),
      onchange: () => { this.take([...input.files]); input.value = ''; } });
    this.choose = el('button.primary', { type: 'button', onclick: () => input.click() }, say('inspect.choose'));
    this.zone = el('section.panel.inspect-zone', { 'aria-label': say('inspect.title') },
      el('div', {}, el('h2', {}, say('inspect.title')), el('p.quiet', {}, say('inspect.lead'))),
      el('div.row', {}, this.choose, el('span.quiet', {}, say('inspect.or_paste')), input, this.stop, this.note),
      this.progress);
    this.root = el('div.inspect.stack', { 'data-drop': 'inspect' }, this.zone, this.result);
    element.replaceChildren(this.root);
    this.acceptDrops();
    this.blank();
  }

  acceptDrops() {
    const over = (is) => this.zone.classList.toggle('inspect-over', is);
    this.root.addEventListener('dragover', (event) => { event.preventDefault(); over(true); });
    this.root.addEventListener('dragleave', (event) => { if (!this.root.contains(event.relatedTarget)) over(false); });
    this.root.addEventListener('drop', (event) => {
      event.preventDefault();
      over(false);
      this.take([...event.dataTransfer.files]);
    });
  }

  /** Inspect a file of this computer, with the record beside it if that was chosen too. */
  take(files) {
    const record = files.find((file) => file.name.toLowerCase().endsWith('.c2pa'));
    const file = files.find((item) => item !== record);
    if (!file) return;
    this.clear();
    if (file.size > MAX_BYTES) { this.fail(say('inspect.too_large', { name: file.name })); return; }
    if (file.size === 0) { this.fail(say('inspect.empty', { name: file.name })); return; }
    this.address = URL.createObjectURL(file);
    this.frames = this.screen({ kind: kindOf(file), name: file.name }, this.address);
    this.upload(file, record);
  }

  // XMLHttpRequest, as fetch does not tell how much of a body was sent.
  upload(file, record) {
    const form = new FormData();
    form.append('name', file.name.slice(0, 300));
    form.append('file', file, `file${/\.[a-z0-9]{1,8}$/i.exec(file.name)?.[0] ?? ''}`);
    if (record) form.append('sidecar', record, 'record.c2pa');
    const request = new XMLHttpRequest();
    this.request = request;
    request.upload.onprogress = ({ loaded, total }) => this.say(say('inspect.uploading', { name: file.name, percent: Math.floor((100 * loaded) / total) }), (100 * loaded) / total);
    request.upload.onload = () => this.say(say('inspect.uploaded'), 100);
    request.onload = () => {
      const told = parsed(request.responseText);
      if (request.status === 401) location.assign('/login');
      if (request.status >= 400) this.fail(told?.error ? sentences(told.error) : `${request.status} ${request.statusText}`);
      else this.follow(told);
    };
    request.onerror = () => this.fail(say('shell.offline'));
    request.onabort = () => this.fail(say('inspect.canceled'));
    request.open('POST', '/studio/inspect');
    this.stop.hidden = false;
    this.say(say('inspect.uploading', { name: file.name, percent: 0 }), 0);
    request.send(form);
  }

  /** Show an inspection, and go on looking until it is done. */
  follow(told) {
    this.request = null;
    this.id = told.id;
    sessionStorage.setItem(KEPT, told.id);
    this.show(told);
    if (told.is_open) this.poller = poll(`/studio/inspect/${told.id}`, (next) => this.id === next.id && this.show(next), { seconds: 0.6 });
  }

  show(told) {
    if (!told.is_open) { this.poller?.stop(); this.poller = null; }
    this.stop.hidden = !told.is_open;
    this.choose.textContent = say('inspect.another');
    if (told.error) { this.fail(sentences(told.error)); return; }
    this.say(told.is_open ? told.state_text : '', told.is_open && told.percent !== null && told.state === 'checking' ? told.percent : null);
    const { verification } = told;
    if (!verification) return;
    if (!this.parts) this.draw(verification, { restore: () => this.restore(told), report: () => ({ ...verification.report, consistency: this.latest.consistency_json }) });
    this.latest = told;
    this.check(told);
  }

  draw(verification, doing) {
    this.figures(verification.media);
    const checks = el('section.panel.inspect-checks', { 'aria-label': say('inspect.consistency') });
    const preview = this.frames?.element ?? el('p.quiet.inspect-gone', {}, say('inspect.gone'));
    const { banner, credentials, file } = findings(verification, doing);
    this.parts = { checks, phase: null, update: null };
    this.result.replaceChildren(banner, el('div.inspect-columns', {},
      el('div.stack', {}, el('div.panel', {}, preview), checks, file), el('div.stack', {}, credentials)));
  }

  // The player learns from the verification how many frames there are.
  figures(facts) {
    if (!this.frames || !facts) return;
    const rate = facts.frame_rate ?? 25;
    Object.assign(this.frames.clip, { frame_rate: rate, num_frames: facts.num_frames ?? Math.round((facts.duration_seconds ?? 0) * rate) });
    if (facts.width && !facts.rotation) {
      Object.assign(this.frames.clip, { width: facts.width, height: facts.height });
      const stage = this.frames.element.querySelector('.clip-stage');
      stage.style.aspectRatio = `${facts.width} / ${facts.height}`;
    }
    this.frames.told();
  }

  check(told) {
    const phase = told.is_open ? 'open' : told.state;
    if (this.parts.phase === phase) { this.parts.update?.(told); return; }
    this.parts.phase = phase;
    const { element, follow, update } = consistency(told, { frames: this.frames, cancel: () => this.cancel() });
    this.parts.update = update;
    this.parts.checks.replaceChildren(el('h3', {}, say('inspect.consistency')), element);
    if (follow) this.frames?.onFrame(follow);
  }

  /** Inspect a file of the library. */
  async asset(id) {
    this.clear();
    this.say(say('inspect.progress.verifying'));
    const wanted = (this.wanted = {});
    try {
      const told = await get(`/studio/inspect/asset/${encodeURIComponent(id)}`);
      if (this.wanted !== wanted) return;
      this.choose.textContent = say('inspect.another');
      this.say('');
      this.frames = this.screen({ kind: told.kind, name: told.verification.name }, media(told.asset));
      this.draw(told.verification, {
        restore: () => send({ to: 'create', do: 'again', asset: told.asset }),
        report: () => ({ ...told.verification.report, consistency: told.consistency }),
      });
      this.check({ ...told, state: 'done', is_video: told.kind === 'video', check_error: null });
    } catch (error) {
      this.fail(error.message);
    }
  }

  async restore(told) {
    await attempt(async () => {
      const recipe = await post(`/studio/inspect/${told.id}/recipe`);
      send({ to: 'create', do: 'restore', recipe: recipe.id });
      toast(say('inspect.restored'));
    });
  }

  /** After the page was loaded again: what was being looked at is still known, its frames are not. */
  async resume() {
    const id = sessionStorage.getItem(KEPT);
    if (!id) return;
    const told = await get(`/studio/inspect/${id}`).catch(() => null);
    if (told && !this.id && !this.request && !this.frames) this.follow(told);
  }

  cancel() {
    if (this.request) this.request.abort();
    else if (this.id) attempt(async () => this.show(await post(`/studio/inspect/${this.id}/cancel`)));
  }

  clear() {
    this.request?.abort();
    this.poller?.stop();
    if (this.address) URL.revokeObjectURL(this.address);
    if (this.id && this.latest?.is_open) post(`/studio/inspect/${this.id}`, {}, { method: 'DELETE' }).catch(() => {});
    sessionStorage.removeItem(KEPT);
    this.result.replaceChildren();
    this.stop.hidden = true;
    this.say('');
    this.blank();
  }

  blank() {
    Object.assign(this, { request: null, poller: null, address: null, frames: null, parts: null, id: null, latest: null, wanted: null });
  }

  screen({ kind, name }, address) {
    return player({ kind, prompt: name, width: 16, height: 9, frame_rate: null, num_frames: 0 }, address);
  }

  say(text, percent = null) {
    this.note.textContent = text;
    this.note.classList.remove('inspect-bad');
    this.note.setAttribute('role', 'status');
    this.progress.hidden = percent === null;
    if (percent !== null) {
      this.bar.style.width = `${percent}%`;
      this.progress.setAttribute('aria-valuenow', Math.round(percent));
    }
  }

  fail(text) {
    this.poller?.stop();
    this.say(text);
    this.note.setAttribute('role', 'alert');
    this.note.classList.add('inspect-bad');
    this.stop.hidden = true;
  }
}

function kindOf(file) {
  if (file.type === 'image/gif' || file.type === 'image/webp') return 'animation';
  const [kind] = file.type.split('/');
  return { image: 'picture', audio: 'sound' }[kind] ?? 'video';
}

function parsed(text) {
  try { return JSON.parse(text); } catch { return null; }
}

