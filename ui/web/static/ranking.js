// Who is better, as far as the votes allow to say: strengths with their intervals, and which differences are certain.
import { el, get, poll, say } from '/studio/static/studio.js';

const WIDTH = 320; // of the plot, in units of its own
const PAD = 10;
const HEIGHT = 24;
const MEAN = 1000; // points of an average contestant

/** The ranking of models over all comparisons, or those of one tag. */
export async function showRanking() {
  const box = el('div.stack');
  const { tags } = await get('/studio/comparisons/ranking?by=model');
  let shown = rankingOf(box, 'by=model');
  const choose = el('select', {
    onchange: () => { shown.stop(); shown = rankingOf(box, `by=model&tag=${encodeURIComponent(choose.value)}`); },
  }, el('option', { value: '' }, say('compare.ranking.every')), tags.map((tag) => el('option', { value: tag }, tag)));
  const element = el('section.stack', { 'aria-label': say('compare.nav.ranking') },
    el('div.row', {}, el('h2', {}, say('compare.ranking.title')), tags.length ? el('label.row', {}, say('compare.ranking.tag'), choose) : null), box);
  return { element, dispose: () => shown.stop() };
}

/** Draw a ranking into a box, and keep it up to date. query: of `/studio/comparisons/ranking`. */
export function rankingOf(box, query) {
  return poll(`/studio/comparisons/ranking?${query}`, (told) => box.replaceChildren(...ranking(told)), { seconds: 3 });
}

function ranking(told) {
  if (!told.votes && !told.both_bad) return [el('div.panel.empty.stack', {}, el('h3', {}, say('compare.ranking.empty')), el('p', {}, say('compare.ranking.empty_how')))];
  const scale = scaleOf(told.ranks);
  const pairs = told.pairs.filter((pair) => pair.probability !== null && pair.left_wins + pair.right_wins + pair.ties + pair.both_bad > 0);
  return [
    el('section.panel.stack.compare-ranking', { 'aria-label': say('compare.ranking.title') },
      standing(told),
      scrolled(say(`compare.ranking.of_${told.by}`), table(told, scale)),
      told.notes.length ? el('ul.quiet.compare-notes', {}, told.notes.map((note) => el('li', {}, note))) : null,
      pairs.length ? el('details', { open: told.claims > 0 }, el('summary', {}, say('compare.ranking.pairs')),
        scrolled(say('compare.ranking.pairs'), duels(pairs))) : null,
      el('p.quiet.compare-method', {}, told.method)),
  ];
}

/** What may be wider than a narrow window; it has the focus so that keys can move it. */
function scrolled(label, content) {
  return el('div.compare-scroll', { tabindex: 0, role: 'group', 'aria-label': label }, content);
}

/** How many votes there are, and how many are needed before anybody is said to be better. */
function standing(told) {
  const share = Math.min(100, Math.round((told.votes / told.votes_needed) * 100));
  const sentence = told.is_enough ? say(told.claims ? 'compare.ranking.claims' : 'compare.ranking.no_claim', { votes: told.votes, claims: told.claims })
    : say('compare.ranking.not_enough', { votes: told.votes, needed: told.votes_needed, each: told.votes_needed_each });
  return el('div.stack', {},
    el('p', { role: 'status' }, sentence, ' ', el('span.quiet', {}, say('compare.ranking.both_bad', { number: told.both_bad }))),
    told.is_enough ? null : el('div.bar', {
      role: 'progressbar', 'aria-valuemin': 0, 'aria-valuemax': told.votes_needed, 'aria-valuenow': told.votes, 'aria-label': say('compare.ranking.progress'),
    }, el('span', { style: `width: ${share}%` })));
}

function table(told, scale) {
  const heads = ['place', told.by, 'rating', 'interval', 'wins', 'losses', 'ties', 'bad_share'];
  return el('table', {},
    el('thead', {}, el('tr', {}, heads.map((name) => el('th', { scope: 'col' }, say(`compare.ranking.head.${name}`))))),
    el('tbody', {}, told.ranks.map((rank) => el('tr', { 'data-key': rank.key },
      el('td', {}, rank.rank === null ? say('compare.ranking.none') : String(rank.rank)),
      el('th', { scope: 'row' }, rank.label),
      el('td', {}, rank.votes ? `${rank.rating}` : '–'),
      el('td.compare-interval', {}, rank.votes ? interval(rank, scale) : el('span.quiet', {}, say('compare.ranking.no_votes'))),
      ...[rank.wins, rank.losses, rank.ties].map((number) => el('td', {}, String(number))),
      el('td', {}, rank.both_bad_share === null ? '–' : percent(rank.both_bad_share))))));
}

function scaleOf(ranks) {
  const voted = ranks.filter((rank) => rank.votes);
  const low = Math.min(MEAN - 50, ...voted.map((rank) => rank.rating_low));
  const high = Math.max(MEAN + 50, ...voted.map((rank) => rank.rating_high));
  return (rating) => PAD + ((rating - low) / (high - low)) * (WIDTH - 2 * PAD);
}

/** A dot where the rating is, a line over where it may be, and a mark for the average. */
function interval(rank, scale) {
  const middle = HEIGHT / 2;
  const words = say('compare.ranking.interval', { rating: rank.rating, low: rank.rating_low, high: rank.rating_high });
  const [low, dot, high, mean] = [rank.rating_low, rank.rating, rank.rating_high, MEAN].map((value) => scale(value).toFixed(1));
  return el('svg.compare-plot', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': words },
    el('line.mean', { x1: mean, x2: mean, y1: 0, y2: HEIGHT }),
    el('line.span', { x1: low, x2: high, y1: middle, y2: middle }),
    el('line.span', { x1: low, x2: low, y1: middle - 5, y2: middle + 5 }),
    el('line.span', { x1: high, x2: high, y1: middle - 5, y2: middle + 5 }),
    el('circle.dot', { cx: dot, cy: middle, r: 5 }));
}

function duels(pairs) {
  const heads = ['pair', 'preferred', 'duel', 'certain'];
  return el('table', {},
    el('thead', {}, el('tr', {}, heads.map((name) => el('th', { scope: 'col' }, say(`compare.ranking.head.${name}`))))),
    el('tbody', {}, pairs.map((pair) => {
      const isTurned = pair.probability < 0.5;
      const [better, other] = isTurned ? [pair.right_label, pair.left_label] : [pair.left_label, pair.right_label];
      const [share, low, high] = isTurned ? [1 - pair.probability, 1 - pair.high, 1 - pair.low] : [pair.probability, pair.low, pair.high];
      const wins = isTurned ? [pair.right_wins, pair.left_wins] : [pair.left_wins, pair.right_wins];
      return el('tr', {},
        el('td', {}, say('compare.ranking.against', { better, other })),
        el('td', {}, say('compare.ranking.share', { share: percent(share), low: percent(low), high: percent(high) })),
        el('td', {}, say('compare.ranking.tally', { wins: wins[0], losses: wins[1], ties: pair.ties, bad: pair.both_bad })),
        el('td', {}, pair.better === null ? el('span.badge', {}, say('compare.ranking.uncertain')) : el('span.badge.good', {}, say('compare.ranking.certain'))));
    })));
}

function percent(share) {
  return `${Math.round(share * 100)} %`;
}
