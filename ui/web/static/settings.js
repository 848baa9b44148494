// The tab Settings: a list of parts at the side, and the one that is chosen.
import { el, get, onErrand, say, shownTab } from '/studio/static/studio.js';
import { about, defaults } from '/studio/static/settings-facts.js';
import { certificates, machine } from '/studio/static/settings-machine.js';
import { costs } from '/studio/static/settings-costs.js';
import { doctor } from '/studio/static/settings-doctor.js';
import { keys } from '/studio/static/settings-keys.js';
import { models } from '/studio/static/settings-models.js';
import { password, people } from '/studio/static/settings-people.js';
import { storage } from '/studio/static/settings-storage.js';

const PARTS = { keys, costs, models, storage, machine, certificates, doctor, defaults, people, password, about };

export function mount({ element }) {
  new Settings(element);
}

class Settings {
  constructor(element) {
    this.element = element;
    this.shown = null;
    this.nav = el('nav.settings-nav', { 'aria-label': say('settings.parts') });
    this.main = el('div.settings-main', {});
    element.replaceChildren(this.nav, this.main);
    onErrand('settings', (errand) => errand.do === 'show' && this.go(errand.section));
    window.addEventListener('hashchange', () => this.followAddress());
    new IntersectionObserver(([seen]) => this.see(seen.isIntersecting)).observe(element);
  }

  // Nothing is asked before somebody looks, and what is polled stops when they look elsewhere.
  async see(isSeen) {
    const isHere = isSeen && shownTab() === 'settings';
    if (!isHere) { this.part?.stop?.(); this.part = null; return; }
    if (this.part || this.isBusy) return;
    this.isBusy = true;
    try {
      this.overview = await get('/studio/settings');
      this.drawNav();
      this.show(this.wanted ?? this.inAddress() ?? this.shown ?? this.overview.sections[0]);
    } catch (error) {
      this.main.replaceChildren(failure(error));
    } finally {
      this.isBusy = false;
      this.wanted = null;
    }
  }

  drawNav() {
    this.buttons = new Map(this.overview.sections.map((name) => [name,
      el('button.plain', { type: 'button', onclick: () => this.choose(name) }, say(`settings.part.${name}`))]));
    this.nav.replaceChildren(...this.buttons.values());
  }

  inAddress() {
    const [tab, name] = location.hash.slice(1).split('/');
    return tab === 'settings' && this.overview.sections.includes(name) ? name : null;
  }

  followAddress() {
    const name = this.overview && this.inAddress();
    if (name && name !== this.shown) this.show(name);
  }

  choose(name) {
    history.replaceState(null, '', `#settings/${name}`);
    this.show(name);
  }

  go(name) {
    if (!this.overview) this.wanted = name;
    else if (this.overview.sections.includes(name)) this.choose(name);
  }

  async show(name) {
    if (!this.overview.sections.includes(name)) [name] = this.overview.sections;
    this.part?.stop?.();
    this.shown = name;
    for (const [key, button] of this.buttons) {
      if (key === name) button.setAttribute('aria-current', 'true'); else button.removeAttribute('aria-current');
    }
    const host = el('section.settings-part', { 'aria-labelledby': `settings-${name}`, 'data-part': name });
    const part = PARTS[name]({ host, overview: this.overview, go: (other) => this.choose(other) });
    this.part = part;
    this.main.replaceChildren(host);
    host.replaceChildren(el('p.quiet', { role: 'status' }, `${say('shell.loading')} …`));
    await part.load().catch((error) => this.part === part && host.replaceChildren(failure(error)));
  }
}

function failure(error) {
  return el('p.empty', { role: 'alert' }, say('settings.failed', { why: error.message }));
}
