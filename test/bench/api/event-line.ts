/** How a watcher of the bench knows when an event was sent: a mark that stands in the object, of wall time in milliseconds. */
const MARK = Buffer.from('"sent":"');
const DIGITS = 13;

export function eventLine(nowMs: number, bytes: number): Buffer {
  const head = `{${MARK.toString()}${Math.floor(nowMs)}","pad":"`;
  return Buffer.from(`${head}${'x'.repeat(Math.max(bytes - head.length - 3, 0))}"}\n`);
}

/** Every time in these bytes; one that is cut by the end of the piece is left out. */
export function sentTimes(piece: Buffer): number[] {
  const out: number[] = [];
  for (let at = piece.indexOf(MARK); at !== -1; at = piece.indexOf(MARK, at + MARK.length)) {
    const begin = at + MARK.length;
    if (begin + DIGITS > piece.length) break;
    out.push(Number(piece.toString('latin1', begin, begin + DIGITS)));
  }
  return out;
}
