// The bar above the tabs: what runs, dark or light, shortcuts, who is signed in. It also keeps the address in step with the tab.
import { el, poll, post, say, send, shortcut, showTab, shownTab, tabInAddress, toast } from '/studio/static/studio.js';

const TABS = ['create', 'compare', 'queue', 'library', 'inspect', 'settings'];
const KEYS = [
  ['everywhere', [[['Alt+1 … Alt+6'], 'tabs_typing'], [['1 … 6'], 'tabs'], [['Ctrl+Enter'], 'submit'], [['/'], 'search'], [['?'], 'help'], [['Esc'], 'close']]],
  ['player', [[['Space'], 'play'], [[',', '.'], 'step']]],
  ['compare', [[['s'], 'side'], [['w'], 'wipe'], [['d'], 'difference'], [['b'], 'blink'], [['o'], 'overlay']]],
  ['vote', [[['←', '→'], 'better'], [['↓'], 'tie'], [['x'], 'both_bad'], [['n'], 'next']]],
];

export function mount({ element, props, watch }) {
  const person = el('span.person');
  const status = el('span.status', { role: 'status', 'aria-live': 'polite' });
  const theme = el('button.plain', { type: 'button', onclick: changeTheme, 'aria-label': say('shell.theme') }, '◐');
  const help = el('button.plain', { type: 'button', onclick: showKeys, 'aria-label': say('shell.shortcuts') }, '?');
  element.replaceChildren(
    el('div.brand', {}, el('span.mark', { 'aria-hidden': 'true' }), el('h1', {}, say('shell.title'))),
    status, theme, help, person,
  );
  const greet = () => person.replaceChildren(...(props.value?.name ? signedIn(props.value) : []));
  watch('value', greet);
  greet();
  poll('/studio/queue/summary', (queue) => { status.textContent = queue.sentence; });
  keepTheme();
  followAddress();
  TABS.forEach((name, index) => shortcut(String(index + 1), null, () => showTab(name)));
  document.addEventListener('keydown', goByAlt);
  shortcut('?', null, showKeys);
  acceptDrops();
}

// Alt and a digit go to a tab even while somebody types. Where Alt writes a sign of its own (on a Mac), typing comes first.
function goByAlt(event) {
  if (!event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || document.querySelector('dialog[open]')) return;
  const digit = /^Digit([1-6])$/.exec(event.code)?.[1];
  const isTyping = event.target.closest?.('input, textarea, select, [contenteditable=true]');
  if (!digit || (isTyping && event.key !== digit)) return;
  event.preventDefault();
  showTab(TABS[digit - 1]);
}

function signedIn(visitor) {
  const leave = () => post('/logout').then(() => location.assign('/login'), () => location.assign('/login'));
  return [say('shell.signed_in', visitor), el('button.plain', { type: 'button', onclick: leave }, say('shell.sign_out'))];
}

function keepTheme() {
  const apply = () => {
    const wanted = localStorage.getItem('studio-theme');
    if (wanted && document.body.classList.contains('dark') !== (wanted === 'dark')) {
      document.body.classList.toggle('dark', wanted === 'dark');
    }
  };
  apply();
  new MutationObserver(apply).observe(document.body, { attributes: true, attributeFilter: ['class'] });
}

function changeTheme() {
  const isDark = document.body.classList.contains('dark');
  localStorage.setItem('studio-theme', isDark ? 'light' : 'dark');
  document.body.classList.toggle('dark', !isDark);
}

function showKeys() {
  const dialog = el('dialog.sheet', { 'aria-label': say('shell.shortcuts') },
    el('h2', {}, say('shell.shortcuts')),
    KEYS.map(([title, rows]) => [el('h3', {}, say(`shell.keys.${title}`)), el('dl.keys', {}, rows.map(([keys, name]) =>
      [el('dt', {}, keys.map((key) => el('kbd', {}, key))), el('dd', {}, say(`shell.keys.${name}`))]))]),
    el('button', { type: 'button', onclick: () => dialog.close() }, say('shell.close')));
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

// The address leads to the tab, as the tab goes into the address (in studio.js): after a refresh, from a bookmark, and back.
function followAddress() {
  const go = () => {
    const name = tabInAddress() || TABS[0];
    if (TABS.includes(name) && shownTab() !== name) showTab(name);
  };
  window.addEventListener('hashchange', go);
  window.addEventListener('popstate', go);
  if (tabInAddress()) go(); // an address that names none takes nobody from where they went meanwhile
}

// A file dropped anywhere that takes none itself: how it was made is put into the form; others can be inspected.
function acceptDrops() {
  const cover = el('div.dropcover', { 'aria-hidden': 'true' }, say('shell.drop_here'));
  const carriesFile = (event) => event.dataTransfer?.types?.includes('Files');
  const ownZone = (event) => event.target.closest?.('[data-drop], .block button, .block [data-testid]');
  let depth = 0;
  document.addEventListener('dragenter', (event) => {
    if (!carriesFile(event)) return;
    depth += 1;
    if (!ownZone(event)) document.body.append(cover);
  });
  document.addEventListener('dragleave', () => { depth = Math.max(0, depth - 1); if (!depth) cover.remove(); });
  document.addEventListener('dragover', (event) => carriesFile(event) && event.preventDefault());
  document.addEventListener('drop', async (event) => {
    depth = 0;
    cover.remove();
    if (!carriesFile(event) || event.defaultPrevented || ownZone(event)) return;
    event.preventDefault();
    const file = event.dataTransfer.files[0];
    if (!file) return;
    const form = new FormData();
    form.append('file', file);
    try {
      const recipe = await post('/studio/recipe', form);
      send({ to: 'create', do: 'restore', recipe: recipe.id });
    } catch (error) {
      const inspect = { label: say('shell.inspect_it'), run: () => send({ to: 'inspect', do: 'file', file }) };
      toast(error.message, { kind: 'bad', seconds: 20, action: inspect });
    }
  });
}
