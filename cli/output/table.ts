/** Text tables as kubectl prints them: columns padded to the widest cell, three blanks between, none behind the last. */

const GAP = '   ';

/** With a header row when one is given. Ends with a line break unless there are no rows at all. */
export function textTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  return rows.map((row) => `${lineOf(row, widths)}\n`).join('');
}

function lineOf(row: readonly string[], widths: readonly number[]): string {
  return row
    .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)))
    .join(GAP)
    .trimEnd();
}

/**
 * Rows that come one after another (a watch): a column only ever grows, so that what is printed later stays below what
 * was printed before wherever it fits.
 */
export class GrowingTable {
  readonly #widths: number[] = [];

  add(rows: readonly (readonly string[])[]): string {
    for (const row of rows)
      for (const [i, cell] of row.entries()) this.#widths[i] = Math.max(this.#widths[i] ?? 0, cell.length);
    return rows.map((row) => `${lineOf(row, this.#widths)}\n`).join('');
  }
}
