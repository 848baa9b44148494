// What stands in the form, as text: kept over a refresh, and turned into the figures that the studio reads.

const KEY = 'studio-comparison';

/** The form as it was left, in this tab of the browser alone. */
export const Draft = {
  kept() {
    try {
      return JSON.parse(sessionStorage.getItem(KEY)) ?? {};
    } catch {
      return {};
    }
  },
  keep(raw) { sessionStorage.setItem(KEY, JSON.stringify(raw)); },
  drop() { sessionStorage.removeItem(KEY); },
};

/** Text, or nothing where there is none. */
export function text(value) {
  return String(value ?? '').trim() || undefined;
}

/** A number, or nothing; what is no number goes to the studio as it is, which says so. */
export function number(value) {
  const written = text(value);
  if (written === undefined) return undefined;
  const read = Number(written.replace(',', '.'));
  return Number.isFinite(read) ? read : written;
}

/** A whole number with all its digits: a seed may have more than a browser counts. */
export function exact(value) {
  const written = text(value);
  if (written === undefined || !/^\d{16,19}$/.test(written) || !JSON.rawJSON) return number(value);
  return JSON.rawJSON(String(BigInt(written)));
}
