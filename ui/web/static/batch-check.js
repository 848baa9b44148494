// What was found in a batch file: everything that is wrong with its place, and the clips that it asks for.
import { duration, el, money, say } from '/studio/static/studio.js';

/** What did not come along and is named, with a way to add it. add: a button. */
export function missingNote(told, add) {
  if (!told.missing.length) return null;
  return el('div.batch-missing', {}, el('span', {}, say('batch.missing_files')), el('ul', {}, told.missing.map((name) => el('li', {}, el('code', {}, name)))), add);
}

/** All that is wrong, in the order of the file. */
export function faultsTable(told) {
  const head = ['where', 'problem', 'fix'];
  const rows = told.faults.map((fault) => el('tr.batch-fault', {},
    el('td', {}, fault.where),
    el('td', {}, fault.field ? el('code', {}, fault.field) : null, fault.field ? ': ' : '', sentence(fault)),
    el('td', {}, fault.fix ?? '')));
  return el('div', {}, frame(say('batch.faults_table'), head, rows, 'batch-faults'),
    told.fault_count > told.faults.length ? el('p.quiet', {}, say('batch.more_faults', { number: told.fault_count - told.faults.length })) : null);
}

/** The clips, those that something is wrong with first. */
export function entriesTable(told) {
  const faulty = new Map();
  for (const fault of told.faults) faulty.set(fault.where, [...(faulty.get(fault.where) ?? []), fault]);
  const head = ['entry', 'where', 'name', 'model', 'prompt', 'seed', 'size', 'time', 'cost', ...(told.faults.length ? ['problem'] : [])];
  const rows = told.entries.map((entry) => row(entry, told.faults.length ? faulty.get(entry.where) ?? [] : null));
  const { clips } = told.totals;
  return el('div', {}, frame(say('batch.table'), head, rows, 'batch-entries'),
    clips > told.entries.length ? el('p.quiet', {}, say('batch.more_entries', { shown: told.entries.length, clips })) : null);
}

function row(entry, faults) {
  const files = entry.files.length ? el('div.quiet', {}, entry.files.join(', ')) : null;
  const cells = [
    String(entry.number), entry.where, entry.name ?? '–', entry.model_name,
    [el('div.batch-prompt', { title: entry.prompt }, entry.prompt), files],
    entry.seed ?? say('batch.seed_drawn'), entry.size ?? '–', duration(entry.seconds), entry.cost?.amount ? money(entry.cost) : '–',
  ];
  if (faults) cells.push(faults.length ? el('span.batch-bad', {}, faults.map((fault) => fault.message).join('; ')) : say('batch.in_order'));
  return el('tr', { class: faults?.length ? 'batch-faulty' : '' }, cells.map((cell) => el('td', {}, cell)));
}

function frame(label, head, rows, kind) {
  return el('div', { class: `batch-frame ${kind}`, tabindex: '0', role: 'region', 'aria-label': label },
    el('table', {}, el('caption.visually-hidden', {}, label),
      el('thead', {}, el('tr', {}, head.map((name) => el('th', { scope: 'col' }, say(`batch.${name}`))))), el('tbody', {}, rows)));
}

function sentence({ message, got, allowed }) {
  const more = [got && say('queue.detail.got', { got }), allowed && say('queue.detail.allowed', { allowed })].filter(Boolean);
  return [`${message}.`, ...more].join(' ').replaceAll('..', '.');
}
