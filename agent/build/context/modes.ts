/**
 * `--chmod`: octal, or as chmod(1) has it (`u=rwX,go-w`). Source: Dockerfile reference, "COPY --chmod"; POSIX chmod. Pure.
 */
import { StatusError } from '#lib/base';

export type ModeChange = (mode: number, isFolder: boolean) => number;

const WHO: Readonly<Record<string, number>> = { u: 0o4700, g: 0o2070, o: 0o1007 };
const CLAUSE = /^([ugoa]*)((?:[-+=][rwxXst]*)+)$/;

/** Throws Invalid. */
export function parseMode(text: string): ModeChange {
  if (/^[0-7]{1,5}$/.test(text)) {
    const mode = Number.parseInt(text, 8);
    if (mode <= 0o7777) return () => mode;
  }
  if (/^\d+$/.test(text))
    throw new StatusError(
      'Invalid',
      `invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`,
    );
  const clauses = text.split(',').map((clause) => {
    const [, who = '', actions = ''] = CLAUSE.exec(clause) ?? [];
    if (actions === '') throw new StatusError('Invalid', `invalid chmod parameter: '${text}': "${clause}" is no mode`);
    return { mask: maskOf(who), actions: [...actions.matchAll(/([-+=])([rwxXst]*)/g)] };
  });
  return (mode, isFolder) => {
    let now = mode;
    for (const { mask, actions } of clauses)
      for (const [, sign = '', letters = ''] of actions) now = applied(now, mask, sign, bitsOf(letters, now, isFolder));
    return now;
  };
}

function maskOf(who: string): number {
  if (who === '' || who.includes('a')) return 0o7777;
  return [...who].reduce((mask, ch) => mask | (WHO[ch] ?? 0), 0);
}

function bitsOf(letters: string, mode: number, isFolder: boolean): number {
  let bits = 0;
  for (const ch of letters) {
    if (ch === 'r') bits |= 0o444;
    else if (ch === 'w') bits |= 0o222;
    else if (ch === 'x') bits |= 0o111;
    else if (ch === 'X') bits |= isFolder || (mode & 0o111) !== 0 ? 0o111 : 0;
    else if (ch === 's') bits |= 0o6000;
    else bits |= 0o1000;
  }
  return bits;
}

function applied(mode: number, mask: number, sign: string, bits: number): number {
  if (sign === '+') return mode | (bits & mask);
  if (sign === '-') return mode & ~(bits & mask);
  return (mode & ~mask) | (bits & mask);
}
