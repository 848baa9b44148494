// The machine that clips are made on, and the certificates that they are signed with.
import { bytes, el, get, moment, post, say, toast } from '/studio/static/studio.js';
import { badge, copyButton, during, facts, head, panel, table } from '/studio/static/settings-parts.js';

export function machine({ host, go }) {
  const load = async () => {
    const told = await get('/studio/settings/machine');
    const again = el('button', { type: 'button', onclick: () => during(again, load) }, say('settings.again'));
    host.replaceChildren(head('machine', again), el('div.settings-two', {}, figures(told), limits(told.limits)), findings(told, go));
  };
  return { load };
}

function figures(told) {
  const devices = told.devices.map((name) => (name === 'auto' ? say('settings.machine.auto') : name)).join(', ');
  const workers = told.workers.map((worker) => say(worker.model_name ? 'settings.machine.worker_busy' : 'settings.machine.worker_idle',
    { device: worker.device, model: worker.model_name }));
  return el('section.panel', {}, facts([
    [say('settings.machine.system'), told.system],
    [say('settings.machine.cpu'), told.cpu_count === null ? say('settings.not_known') : String(told.cpu_count)],
    [say('settings.machine.ram'), say('settings.machine.ram_free', { free: bytes(told.ram_free_bytes), total: bytes(told.ram_bytes) })],
    [say('settings.machine.devices'), devices],
    [say('settings.machine.workers'), workers.length ? workers.map((text) => el('div', {}, text)) : say('settings.machine.no_workers')],
  ]));
}

function limits(told) {
  const set = (value, variable) => say('settings.machine.set_by', { value, variable });
  return panel(say('settings.machine.limits'), facts([
    [say('settings.machine.device'), set(told.device, 'STUDIO_DEVICE')],
    [say('settings.machine.threads'), set(told.threads || say('settings.machine.threads_auto'), 'STUDIO_THREADS')],
    [say('settings.machine.vram'), set(told.vram_bytes === null ? say('settings.machine.vram_all') : bytes(told.vram_bytes), 'STUDIO_VRAM_LIMIT')],
    [say('settings.machine.embeddings'), set(told.embeddings_bytes ? bytes(told.embeddings_bytes) : say('settings.machine.embeddings_none'), 'STUDIO_EMBEDDINGS_LIMIT')],
  ]));
}

function findings(told, go) {
  if (!told.findings.length) {
    return panel(say('settings.machine.found'), el('p.quiet', {}, say('settings.machine.not_found')),
      el('div.row', {}, el('button', { type: 'button', onclick: () => go('doctor') }, say('settings.machine.look'))));
  }
  return panel(say('settings.machine.found'), facts(told.findings.map((item) => [item.id, item.detail])),
    el('p.quiet.settings-small', {}, moment(told.examined_at)));
}

export function certificates({ host }) {
  const load = async () => {
    const told = await get('/studio/settings/certificates');
    const again = el('button', { type: 'button', onclick: () => during(again, load) }, say('settings.again'));
    host.replaceChildren(head('certificates', again), identity(told), trust(told.trust), stamps(told));
  };

  function stamps(told) {
    const waiting = told.waiting_stamps;
    const again = el('button', { type: 'button', onclick: () => during(again, retry) }, say('settings.certificates.ask'));
    const retry = async () => {
      const { done, failed } = await post('/studio/settings/certificates/stamps');
      if (failed.length) toast(say('settings.certificates.stamped_some', { number: done, failed: failed.length, why: failed[0] }), { kind: 'bad', seconds: 12 });
      else toast(say('settings.certificates.stamped', { number: done }));
      await load();
    };
    const url = told.identity.timestamp_url;
    return panel(say('settings.certificates.stamps'),
      waiting.length ? el('ul.settings-list', {}, waiting.map((item) => el('li', {}, say('settings.certificates.since',
        { asset: item.asset_id, since: moment(item.since), attempts: item.attempts, reason: item.reason })))) : el('p.quiet', {}, say('settings.certificates.no_stamps')),
      waiting.length > 0 && url && el('div.row', {}, again, el('span.quiet.settings-small', {}, say('settings.certificates.ask_why', { url }))));
  }

  return { load };
}

function identity({ identity: found, has_watermark_key: hasMark }) {
  const days = say('settings.certificates.days_left', { date: moment(found.valid_until), days: found.days_left });
  return panel(say('settings.certificates.identity'), facts([
    [say('settings.certificates.subject'), found.subject],
    [say('settings.certificates.issuer'), found.issuer],
    [say('settings.certificates.until'), found.days_left < 180 ? badge(days, found.days_left < 30 ? 'bad' : 'warn') : days],
    [say('settings.certificates.origin'), say(`settings.certificates.origin_${found.origin}`)],
    [say('settings.certificates.signer'), found.signer],
    [say('settings.certificates.algorithm'), found.algorithm],
    [say('settings.certificates.fingerprint'), found.fingerprint, true],
    [say('settings.certificates.retired'), String(found.retired)],
    [say('settings.certificates.watermark'), hasMark ? badge(say('settings.certificates.watermark_yes'), 'good') : say('settings.certificates.watermark_no')],
    [say('settings.certificates.clock'), found.timestamp_url ?? say('settings.certificates.no_clock')],
  ]), el('p.quiet.settings-small', {}, say('settings.certificates.rotate')), el('div.row', {}, copyButton('studio identity rotate'), copyButton('studio identity import')));
}

function trust(lists) {
  const words = (name) => say(`settings.certificates.${name}`);
  const columns = [words('list'), words('vouches'), { label: words('number'), number: true }, words('dated'), words('source')];
  return panel(words('trust'), table(words('trust'), columns, lists.map((item) => [item.name, words(`kind_${item.kind}`), String(item.certificates), el('span.settings-nowrap', {}, item.dated ?? '–'),
    item.is_replaced ? words('own_copy') : item.source ?? words('this_computer')])));
}
