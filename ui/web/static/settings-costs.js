// Budgets, what was spent today and this month, and when a machine of one's own costs less.
import { duration, el, get, money, say } from '/studio/static/studio.js';
import { during, head, panel, table } from '/studio/static/settings-parts.js';

const NUMBER = (label) => ({ label, number: true });

export function costs({ host }) {
  const load = async () => {
    const told = await get('/studio/settings/costs');
    const again = el('button', { type: 'button', onclick: () => during(again, load) }, say('settings.again'));
    host.replaceChildren(head('costs', again),
      el('div.settings-two', {}, told.budgets.map((budget, index) => budgetPanel(budget, index === 0 ? 'daily' : 'monthly'))),
      ...Object.entries(told.spans).map(([span, groups]) => panel(say(`settings.costs.${span}`), spanTables(groups))),
      panel(say('settings.costs.pays'), el('p', {}, told.break_even)));
  };
  return { load };
}

function budgetPanel(budget, name) {
  if (!budget.is_set) return panel(say(`settings.costs.${name}`), el('p.quiet', {}, say('settings.costs.unset', budget)));
  const share = budget.money.amount ? Math.min(1, budget.spent.amount / budget.money.amount) : 1;
  const sums = { spent: money(budget.spent), money: money(budget.money), left: money(budget.left) };
  return panel(say(`settings.costs.${name}`),
    el('div.bar', { role: 'progressbar', 'aria-valuemin': '0', 'aria-valuemax': '100', 'aria-valuenow': String(Math.round(share * 100)),
      'aria-label': say(`settings.costs.${name}`) }, el('span', { style: `width:${Math.round(share * 100)}%` })),
    el('p', {}, say('settings.costs.of', sums)), el('p.quiet.settings-small', {}, say('settings.costs.set_by', budget)));
}

function spanTables(groups) {
  if (!groups.provider.orders.length && !groups.provider.work.length) {
    return el('p.quiet', {}, `${say('settings.costs.no_orders')} ${say('settings.costs.no_work')}`);
  }
  return el('div.stack', {},
    groups.provider.orders.length ? ['provider', 'model'].map((by) => orderTable(groups[by].orders, by)) : el('p.quiet', {}, say('settings.costs.no_orders')),
    groups.model.work.length ? workTable(groups.model.work) : el('p.quiet', {}, say('settings.costs.no_work')));
}

function orderTable(orders, by) {
  const title = say(`settings.costs.${by}`);
  const sum = (line, amount) => (line.currency === null || amount === null ? say('settings.costs.unknown') : money({ amount, currency: line.currency }));
  const columns = [title, ...['orders', 'output', 'charged', 'unsettled', 'per_minute'].map((name) => NUMBER(say(`settings.costs.${name}`)))];
  return table(title, columns, orders.map((line) => [line.key, String(line.orders), line.clip_seconds.toFixed(1),
    sum(line, line.charged), sum(line, line.unsettled), sum(line, line.per_minute)]));
}

function workTable(work) {
  const title = say('settings.costs.work');
  const columns = [title, ...['output', 'time', 'energy', 'cost', 'per_minute'].map((name) => NUMBER(say(`settings.costs.${name}`)))];
  return table(title, columns, work.map((line) => [line.key, line.clip_seconds.toFixed(1), duration(line.work_seconds),
    line.kwh === null ? say('settings.costs.unknown') : say('settings.costs.kwh', { number: line.kwh.toFixed(3) }),
    line.electricity ? money(line.electricity) : say('settings.costs.unknown'), line.per_minute ? money(line.per_minute) : say('settings.costs.unknown')]));
}
