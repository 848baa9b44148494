// Weights: which are here, and downloading others once somebody has agreed to the licence.
import { bytes, el, get, poll, post, refresh, say } from '/studio/static/studio.js';
import { away, badge, dialogForm, during, facts, head, table } from '/studio/static/settings-parts.js';

const PULLS = '/studio/settings/pulls';

export function models({ host }) {
  let rows = [];
  let pulls = new Map();
  let poller = null;
  let isOnlyAbsent = false;
  const cells = new Map();

  const load = async () => {
    rows = (await get('/studio/settings/models')).models;
    draw();
    poller ??= poll(PULLS, takePulls, { seconds: 1 });
  };

  function takePulls(told) {
    const ended = told.pulls.some((item) => !item.is_open && pulls.get(item.model)?.is_open);
    pulls = new Map(told.pulls.map((item) => [item.model, item]));
    for (const row of rows) fillState(row);
    if (ended) load().catch(() => null);
  }

  function draw() {
    cells.clear();
    const again = el('button', { type: 'button', onclick: () => during(again, load) }, say('settings.again'));
    const only = el('input', { type: 'checkbox', checked: isOnlyAbsent, onchange: () => { isOnlyAbsent = only.checked; draw(); } });
    const shown = rows.filter((row) => !isOnlyAbsent || !row.is_here);
    const folders = new Map(rows.map((row) => [row.repository, row.disk_bytes]));
    const sum = [...folders.values()].reduce((total, size) => total + size, 0);
    const columns = [say('settings.models.model'), say('settings.models.licence'), { label: say('settings.models.size'), number: true }, say('settings.models.state')];
    host.replaceChildren(head('models', el('label.row', {}, only, say('settings.models.only_absent')), again),
      el('p.quiet', {}, say('settings.models.count', { here: rows.filter((row) => row.is_here).length, all: rows.length, size: bytes(sum) })),
      shown.length ? table(say('settings.part.models'), columns, shown.map(line)) : el('p.empty', {}, say('settings.models.none')));
    for (const row of rows) fillState(row);
  }

  function line(row) {
    const state = el('div.settings-pull', {});
    cells.set(row.id, state);
    return el('tr', { 'data-model': row.id },
      el('td', {}, el('strong', {}, row.name), ' ', row.kind === 'check' && badge(say('settings.models.kind_check')),
        el('div.quiet.settings-small', {}, row.summary), el('div.mono.quiet', {}, row.id)),
      el('td', {}, row.licence.id, el('div.quiet.settings-small', {}, commercial(row.licence))),
      el('td.settings-number', {}, row.is_embedded ? '–' : bytes(row.download_bytes)),
      el('td', {}, state));
  }

  function fillState(row) {
    const cell = cells.get(row.id);
    if (!cell) return;
    const pull = pulls.get(row.id);
    const key = JSON.stringify([pull, row.is_here, row.disk_bytes]);
    if (cell.dataset.key === key) return;
    cell.dataset.key = key;
    const held = cell.contains(document.activeElement);
    cell.replaceChildren(...(pull?.is_open ? progress(row, pull) : standing(row, pull)));
    if (held) cell.querySelector('button')?.focus({ preventScroll: true });
  }

  function progress(row, pull) {
    const percent = pull.total_bytes ? Math.floor((100 * pull.done_bytes) / pull.total_bytes) : 0;
    const figures = { done: bytes(pull.done_bytes), total: bytes(pull.total_bytes), percent };
    const text = pull.state === 'waiting' ? say('settings.models.waiting') : say(`settings.models.${pull.stage ?? 'starting'}`, figures);
    const stop = el('button', { type: 'button', 'aria-label': say('settings.models.cancel_named', row),
      onclick: () => during(stop, () => post(path(row, 'cancel')).then(refresh)) }, say('settings.models.cancel'));
    return [el('div.bar', { role: 'progressbar', 'aria-valuemin': '0', 'aria-valuemax': '100', 'aria-valuenow': String(percent),
      'aria-label': say('settings.models.progress', row) }, el('span', { style: `width:${percent}%` })),
    el('div.row', {}, el('span.settings-small', {}, text), stop)];
  }

  function standing(row, pull) {
    if (row.is_embedded) return [badge(say('settings.models.embedded'), 'good')];
    if (row.is_here) return [badge(say('settings.models.here'), 'good'), el('span.quiet.settings-small', {}, bytes(row.disk_bytes))];
    const isBegun = row.disk_bytes > 0;
    const start = el('button', { type: 'button', 'aria-label': say('settings.models.pull_named', row), onclick: () => consent(row) },
      say(isBegun ? 'settings.models.go_on' : 'settings.models.pull'));
    const why = pull?.state === 'failed' ? [pull.error.message, pull.error.fix].filter(Boolean).join('. ') : null;
    return [el('div.row', {}, badge(say(isBegun ? 'settings.models.partly' : 'settings.models.absent'), isBegun ? 'warn' : ''), start),
      why && el('p.settings-problem', { role: 'alert' }, say('settings.models.failed', { why })),
      pull?.state === 'canceled' && el('p.quiet.settings-small', {}, say('settings.models.canceled'))].filter(Boolean);
  }

  function consent(row) {
    const agree = el('input', { type: 'checkbox' });
    dialogForm({
      title: say('settings.models.ask', row),
      yes: say('settings.models.begin', { size: row.download_bytes ? bytes(row.download_bytes) : say('settings.models.unknown_size') }),
      canSend: () => agree.checked,
      fields: [
        facts([
          [say('settings.models.licence'), el('span', {}, row.licence.id, ' – ', commercial(row.licence))],
          row.licence.url && ['', away(row.licence.url, say('settings.models.licence_terms'))],
          row.licence.note && ['', row.licence.note],
          [say('settings.models.from'), row.repository, true],
          [say('settings.models.revision'), row.revision ?? say('settings.models.first'), Boolean(row.revision)],
        ]),
        row.is_gated && el('p.settings-warning.panel', {}, say('settings.models.gated')),
        el('label.row', {}, agree, say('settings.models.agree', { licence: row.licence.id })),
      ],
      send: async () => {
        await post(path(row, 'pull'), { licence: row.licence.id });
        refresh();
      },
    });
  }

  return { load, stop: () => poller?.stop() };
}

function commercial(licence) {
  const words = { true: 'commercial_yes', false: 'commercial_no', null: 'commercial_unclear' };
  return say(`settings.models.${words[String(licence.commercial_use)]}`);
}

function path(row, what) {
  return `/studio/settings/models/${encodeURIComponent(row.id)}/${what}`;
}
