// The table of jobs: one body for each group, rows that keep their nodes, and moves of as few of them as possible.
import { el, say } from '/studio/static/studio.js';

const GROUPS = ['running', 'queued', 'held', 'ended'];
const OPEN = GROUPS.slice(0, 3);
const COLUMNS = ['select', 'place', 'state', 'model', 'prompt', 'progress', 'owner', 'priority', 'cost', 'age', 'actions'];

export class Table {
  constructor(queue) {
    this.queue = queue;
    this.all = el('input', { type: 'checkbox', 'aria-label': say('queue.select_all'), onchange: () => queue.selectShown(this.all.checked) });
    const head = COLUMNS.map((name) => el('th', { scope: 'col', class: `queue-head-${name} ${name === 'owner' ? 'queue-owner' : ''}` },
      name === 'select' ? this.all : name === 'actions' ? el('span.visually-hidden', {}, say('queue.columns.actions')) : say(`queue.columns.${name}`)));
    this.bodies = new Map(GROUPS.map((name) => [name, this.body(name)]));
    this.table = el('table.queue-table', {}, el('caption.visually-hidden', {}, say('queue.title')),
      el('colgroup', {}, COLUMNS.map((name) => el('col', { class: `queue-col-${name}` }))),
      el('thead', {}, el('tr', {}, head)), [...this.bodies.values()].map((body) => body.element));
    this.element = el('div.queue-frame', { tabindex: '0', role: 'region', 'aria-label': say('queue.lost_tab') }, this.table);
    queue.order.listen(this.bodies.get('queued').element);
  }

  body(name) {
    const number = el('span.quiet', {});
    const heading = el('tr.queue-group', {}, el('th', { colspan: COLUMNS.length, scope: 'rowgroup' }, `${say(`queue.groups.${name}`)} `, number));
    return { number, heading, element: el('tbody', { 'data-group': name, hidden: true }, heading) };
  }

  /** Put the rows of these jobs in order. A row that stays where it is keeps focus, selection and scroll. */
  arrange(jobs) {
    const focused = document.activeElement;
    const hasOwners = this.queue.visitor.name !== null || jobs.some((job) => job.owner);
    this.table.classList.toggle('queue-has-owners', hasOwners);
    for (const [name, body] of this.bodies) {
      const mine = jobs.filter((job) => (OPEN.includes(job.state) ? job.state : 'ended') === name);
      const nodes = mine.flatMap((job) => this.queue.rows.get(job.id).nodes);
      place(body.element, [body.heading, ...nodes]);
      body.element.hidden = mine.length === 0;
      const told = OPEN.includes(name) && this.queue.filters.isOpen ? this.queue.summary.counts[name] ?? mine.length : mine.length;
      if (body.number.textContent !== String(told)) body.number.textContent = String(told);
    }
    // Before anything is laid out: a cell over too many columns would add one.
    this.table.querySelectorAll('[colspan]').forEach((cell) => { cell.colSpan = hasOwners ? COLUMNS.length : COLUMNS.length - 1; });
    if (focused && focused !== document.activeElement && this.element.contains(focused)) focused.focus({ preventScroll: true });
  }

  showSelection(number) {
    this.all.checked = number > 0;
    this.all.indeterminate = number > 0 && number < this.queue.all.filter((job) => this.queue.filters.admits(job) && job.can.length).length;
  }
}

/** Let a parent have exactly these children, in this order. Those of the longest row that is in order already stay. */
export function place(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  const index = new Map([...parent.children].map((child, number) => [child, number]));
  const still = stays(nodes.map((node) => index.get(node) ?? -1));
  let next = null;
  for (let number = nodes.length - 1; number >= 0; number -= 1) {
    if (!still.has(number)) parent.insertBefore(nodes[number], next);
    next = nodes[number];
  }
}

/** The positions of a longest rising sequence; -1 is never part of it. */
function stays(numbers) {
  const ends = [];
  const before = new Array(numbers.length).fill(-1);
  numbers.forEach((number, at) => {
    if (number < 0) return;
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (numbers[ends[middle]] < number) low = middle + 1; else high = middle;
    }
    before[at] = low ? ends[low - 1] : -1;
    ends[low] = at;
  });
  const found = new Set();
  for (let at = ends.length ? ends[ends.length - 1] : -1; at >= 0; at = before[at]) found.add(at);
  return found;
}
