// The doctor: everything that a clip needs, tried out, with what mends the rest.
import { attempt, el, moment, poll, post, refresh, say } from '/studio/static/studio.js';
import { badge, copyButton, head, table } from '/studio/static/settings-parts.js';

const PATH = '/studio/settings/doctor';
const STATES = { true: ['ok', 'good'], false: ['bad', 'bad'], null: ['absent', 'warn'] };

export function doctor({ host }) {
  const status = el('p.settings-status', { role: 'status' });
  const bar = el('div.bar.settings-busy', { 'aria-hidden': 'true' }, el('span', {}));
  const run = el('button.primary', { type: 'button', onclick: () => attempt(begin) }, say('settings.doctor.run'));
  const frame = el('div.settings-checks', {});
  let poller = null;
  let timer = null;
  let last = null;

  const begin = async () => { take(await post(PATH)); refresh(); };

  const load = async () => {
    host.replaceChildren(head('doctor', run), status, bar, frame);
    const first = await new Promise((resolve) => {
      poller = poll(PATH, (told) => { take(told); resolve(told); }, { seconds: 1 });
    });
    timer = setInterval(tick, 500);
    if (!first.checks && !first.is_running) await attempt(begin);
  };

  function take(told) {
    last = told;
    run.disabled = told.is_running;
    run.textContent = say(told.checks ? 'settings.doctor.again' : 'settings.doctor.run');
    bar.classList.toggle('settings-idle', !told.is_running);
    tick();
    const key = JSON.stringify(told.checks);
    if (frame.dataset.key === key || !told.checks) return;
    frame.dataset.key = key;
    frame.replaceChildren(table(say('settings.part.doctor'), ['', '', { label: '' }], told.checks.map(row)));
    frame.querySelector('thead').remove();
  }

  function tick() {
    const text = sentence(last);
    if (status.textContent !== text) status.textContent = text;
  }

  return { load, stop: () => { poller?.stop(); clearInterval(timer); } };
}

function sentence(told) {
  if (!told) return '';
  if (told.is_running) return say('settings.doctor.running', { seconds: Math.max(0, Math.round((Date.now() - new Date(told.began_at)) / 1000)) });
  if (told.has_failed) return say('settings.doctor.failed');
  if (!told.checks) return '';
  const count = (ok) => told.checks.filter((check) => check.ok === ok).length;
  const summary = count(null) + count(false) ? say('settings.doctor.summary', { good: count(true), open: count(null), bad: count(false) }) : say('settings.doctor.all_well');
  return `${summary} (${say('settings.doctor.when', { date: moment(told.ended_at), seconds: told.seconds })})`;
}

function row(check) {
  const [name, kind] = STATES[String(check.ok)];
  return el('tr', { 'data-check': check.id },
    el('td', {}, badge(say(`settings.doctor.${name}`), kind)),
    el('th.settings-check', { scope: 'row' }, check.id),
    el('td', {}, check.detail, advice(check), check.commands.length > 0 && el('div.row.settings-fix', {}, check.commands.map(copyButton))));
}

// A fix that is a command and nothing else stands on the button already.
function advice(check) {
  const isCommand = check.commands.length === 1 && check.fix === `\`${check.commands[0]}\``;
  return check.fix && !isCommand ? el('p.settings-fix', {}, check.fix.replaceAll('`', '')) : null;
}
