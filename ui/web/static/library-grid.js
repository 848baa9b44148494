// The grid of the library: as long as the library is, with the rows in the document that can be seen, and no more.
import { el, say } from '/studio/static/studio.js';
import { makeCell } from '/studio/static/library-cell.js';

const NARROWEST = 190;
const GAP = 14;
const BELOW = 50; // pixels of text below each picture
const SPARE = 2; // rows above and below what is seen
const LOWEST = 420; // pixels
const BELOW_GRID = 48; // the foot of the page
const SETTLED = 90; // milliseconds without scrolling after which pictures are drawn

export class Grid {
  /** source: of items. selection: a Set of ids. on: {pick(index, event), toggle(index), open(index), key(event)}. */
  constructor({ source, selection, on }) {
    Object.assign(this, { source, selection, on, rows: new Map(), active: 0, columns: 1, rowHeight: 200, hovered: null });
    this.canvas = el('div.library-canvas', { role: 'rowgroup' });
    this.element = el('div.library-scroll', { role: 'grid', tabindex: 0, 'aria-label': say('library.grid'), 'aria-multiselectable': 'true' }, this.canvas);
    this.element.addEventListener('scroll', () => this.plan(), { passive: true });
    this.element.addEventListener('keydown', (event) => this.key(event));
    this.element.addEventListener('focus', () => this.draw());
    this.canvas.addEventListener('click', (event) => this.click(event));
    this.canvas.addEventListener('dblclick', (event) => this.cellOf(event) && on.open(this.cellOf(event).index));
    this.canvas.addEventListener('pointerover', (event) => this.hover(this.cellOf(event)));
    this.canvas.addEventListener('pointerleave', () => this.hover(null));
    new ResizeObserver(() => this.measure()).observe(this.element);
    addEventListener('resize', () => this.reach());
  }

  get total() {
    return this.source.total ?? 0;
  }

  /** Let grid and panel reach down to the end of the window, whatever stands above them. */
  reach() {
    const box = this.element.getBoundingClientRect();
    if (!box.width) return;
    const height = Math.max(LOWEST, Math.round(innerHeight - box.top - scrollY - BELOW_GRID));
    this.element.closest('.library').style.setProperty('--library-height', `${height}px`);
  }

  /** Where the picture of a cell is as wide as the room allows; the place that is seen first stays the first. */
  measure() {
    const width = this.element.clientWidth;
    if (!width) return; // another tab is shown
    this.reach();
    const first = this.firstSeen();
    const columns = Math.max(1, Math.floor((width + GAP) / (NARROWEST + GAP)));
    const cellWidth = (width - GAP * (columns - 1)) / columns;
    const rowHeight = Math.round((cellWidth * 9) / 16) + BELOW + GAP;
    if (columns === this.columns && rowHeight === this.rowHeight && this.isMeasured) { this.draw(); return; }
    const isOther = columns !== this.columns;
    Object.assign(this, { columns, rowHeight, isMeasured: true });
    this.element.style.setProperty('--columns', columns);
    this.element.style.setProperty('--row', `${rowHeight - GAP}px`);
    if (isOther) this.clear();
    this.fit();
    this.element.scrollTop = Math.floor(first / columns) * rowHeight + (isOther ? 0 : this.rest ?? 0);
    this.draw();
  }

  fit() {
    const rows = Math.ceil(this.total / this.columns);
    this.canvas.style.height = `${Math.max(0, rows * this.rowHeight - GAP)}px`;
    this.element.setAttribute('aria-rowcount', rows);
    this.element.setAttribute('aria-colcount', this.columns);
  }

  /** Draw what is seen now: after a change of what is found, of what is selected, or of the room. */
  draw() {
    if (!this.isMeasured || !this.element.clientWidth) return;
    this.fit();
    const [first, last] = this.seenRows();
    for (const [row, drawn] of this.rows) if (row < first || row > last) this.drop(row, drawn);
    for (let row = first; row <= last; row += 1) this.fill(row);
    const shown = this.shownCell(this.active);
    if (shown) this.element.setAttribute('aria-activedescendant', shown.node.id);
    else this.element.removeAttribute('aria-activedescendant');
    this.settle(last < first ? null : [first * this.columns, Math.min((last + 1) * this.columns, this.total) - 1]);
  }

  /** Make a place the one that keys go from, and have it seen. */
  go(index, { isSeen = true } = {}) {
    this.active = Math.max(0, Math.min(index, this.total - 1));
    if (isSeen) {
      const top = Math.floor(this.active / this.columns) * this.rowHeight;
      const { scrollTop, clientHeight } = this.element;
      if (top < scrollTop) this.element.scrollTop = top;
      else if (top + this.rowHeight - GAP > scrollTop + clientHeight) this.element.scrollTop = top + this.rowHeight - GAP - clientHeight;
    }
    this.draw();
  }

  toTop() {
    this.active = 0;
    this.element.scrollTop = 0;
  }

  // -- what is in the document ------------------------------------------------------------------------------------

  plan() {
    this.frame ??= requestAnimationFrame(() => { this.frame = null; this.draw(); });
  }

  firstSeen() {
    const row = Math.floor(this.element.scrollTop / this.rowHeight);
    this.rest = this.element.scrollTop - row * this.rowHeight;
    return row * this.columns;
  }

  seenRows() {
    const { scrollTop, clientHeight } = this.element;
    const rows = Math.ceil(this.total / this.columns);
    const first = Math.max(0, Math.floor(scrollTop / this.rowHeight) - SPARE);
    return [first, Math.min(rows - 1, Math.floor((scrollTop + clientHeight) / this.rowHeight) + SPARE)];
  }

  fill(row) {
    const count = Math.min(this.columns, this.total - row * this.columns);
    let drawn = this.rows.get(row);
    if (drawn && drawn.cells.length !== count) { this.drop(row, drawn); drawn = null; }
    if (!drawn) {
      const cells = Array.from({ length: count }, (_, column) => makeCell(row * this.columns + column, column));
      const node = el('div.library-row', { role: 'row', 'aria-rowindex': row + 1 }, cells.map((cell) => cell.node));
      node.style.transform = `translateY(${row * this.rowHeight}px)`;
      drawn = { node, cells };
      this.rows.set(row, drawn);
      this.place(row, node);
    }
    for (const cell of drawn.cells) {
      const item = this.source.at(cell.index);
      cell.fill(item, { isSelected: item !== undefined && this.selection.has(item.id), isActive: cell.index === this.active });
    }
  }

  /** Rows stand in the document in their order, as they are read aloud. */
  place(row, node) {
    const later = [...this.rows.keys()].filter((other) => other > row);
    const next = later.length ? this.rows.get(Math.min(...later)).node : null;
    this.canvas.insertBefore(node, next);
  }

  drop(row, { node, cells }) {
    for (const cell of cells) { if (this.hovered === cell) this.hovered = null; cell.leave(); }
    node.remove();
    this.rows.delete(row);
  }

  clear() {
    for (const [row, drawn] of [...this.rows]) this.drop(row, drawn);
  }

  /** Once nothing moves any more, have read and drawn what is seen. */
  settle(seen) {
    clearTimeout(this.timer);
    if (!seen) return;
    const work = () => {
      this.source.want(...seen);
      for (const { cells } of this.rows.values()) for (const cell of cells) cell.draw();
    };
    this.timer = setTimeout(work, this.wasDrawn ? SETTLED : 0);
    this.wasDrawn = true;
  }

  // -- pointer and keys -------------------------------------------------------------------------------------------

  cellOf(event) {
    const node = event.target.closest?.('[data-index]');
    return node ? this.shownCell(Number(node.dataset.index)) : null;
  }

  shownCell(index) {
    return this.rows.get(Math.floor(index / this.columns))?.cells[index % this.columns];
  }

  hover(cell) {
    if (cell === this.hovered) return;
    this.hovered?.hover.end();
    this.hovered = cell ?? null;
    cell?.hover.rest();
  }

  click(event) {
    const cell = this.cellOf(event);
    if (!cell?.item) return;
    this.active = cell.index;
    if (event.target.closest('[data-check]')) this.on.toggle(cell.index);
    else this.on.pick(cell.index, event);
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.rowHeight)) * this.columns;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns, PageDown: page, PageUp: -page,
      Home: -this.total, End: this.total };
    if (event.key in steps && !event.altKey) {
      event.preventDefault();
      const before = this.active;
      this.go(this.active + steps[event.key]);
      if (event.ctrlKey || event.metaKey) return;
      if (event.shiftKey) this.on.pick(this.active, event);
      else if (before !== this.active || this.source.at(this.active)) this.on.move(this.active);
      return;
    }
    if (event.key === ' ') { event.preventDefault(); this.on.toggle(this.active); return; }
    if (event.key === 'Enter') { event.preventDefault(); this.on.open(this.active); return; }
    this.on.key(event);
  }
}
