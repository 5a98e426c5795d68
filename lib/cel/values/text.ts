/** Strings by code points. CEL counts and indexes code points; JavaScript UTF-16 units. */

const HIGH_SURROGATE = /[\ud800-\udbff]/;

let lastText = '';
let lastCount = 0;

/** Number of code points; the last long text is remembered, since rules ask for one size again and again. */
export function codePoints(text: string): number {
  if (text.length < 256) return count(text);
  if (text !== lastText) {
    lastText = text;
    lastCount = count(text);
  }
  return lastCount;
}

/** Most texts have no pairs, which the search below finds out far faster than a loop. */
function count(text: string): number {
  let n = text.length;
  for (let i = text.search(HIGH_SURROGATE); i >= 0 && i < text.length - 1; i++) {
    if ((text.charCodeAt(i) & 0xfc00) === 0xd800 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
      n--;
      i++;
    }
  }
  return n;
}

/** The UTF-16 index of a code point index; `text.length` at or past the end. */
export function unitIndex(text: string, codePoint: number): number {
  let unit = 0;
  for (let i = 0; i < codePoint && unit < text.length; i++) unit += (text.codePointAt(unit) ?? 0) > 0xffff ? 2 : 1;
  return unit;
}
