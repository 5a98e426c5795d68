/** What somebody who mistyped a word most likely meant. Pure. */

const CHANGES_MAX = 2;

/** ` (did you mean WORD?)`, or nothing. */
export function didYouMean(word: string, known: readonly string[]): string {
  if (word.length < 3 || word.length > 40) return '';
  const [best] = known
    .map((k) => ({ k, changes: distance(word.toLowerCase(), k.toLowerCase()) }))
    .filter(({ changes }) => changes <= CHANGES_MAX)
    .sort((a, b) => a.changes - b.changes);
  return best === undefined ? '' : ` (did you mean ${best.k}?)`;
}

/** Of Levenshtein; two swapped neighbours count as one change. */
function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      const swapped =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (rows[i - 2]?.[j - 2] ?? 0) + 1 : Infinity;
      row.push(
        Math.min((rows[i - 1]?.[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (rows[i - 1]?.[j - 1] ?? 0) + same, swapped),
      );
    }
    rows.push(row);
  }
  return rows[a.length]?.[b.length] ?? Infinity;
}
