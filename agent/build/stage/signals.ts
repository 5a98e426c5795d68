/** Names of Linux' signals, as STOPSIGNAL and `docker kill` take them. Source: signal(7). Pure. */

const NAMES: ReadonlySet<string> = new Set(
  (
    'HUP INT QUIT ILL TRAP ABRT IOT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CLD CONT STOP TSTP TTIN TTOU URG ' +
    'XCPU XFSZ VTALRM PROF WINCH IO POLL PWR SYS UNUSED RTMIN RTMAX'
  ).split(' '),
);

/** A number, a name with or without SIG, RTMIN+n, RTMAX-n. */
export function isSignal(text: string): boolean {
  if (/^\d{1,2}$/.test(text)) return Number(text) >= 1 && Number(text) <= 64;
  const [, name = '', realTime = ''] = /^(?:SIG)?([A-Z0-9]+)((?:[+-]\d{1,2})?)$/.exec(text.toUpperCase()) ?? [];
  if (realTime === '') return NAMES.has(name);
  const n = Number(realTime.slice(1));
  return n <= 15 && ((name === 'RTMIN' && realTime[0] === '+') || (name === 'RTMAX' && realTime[0] === '-' && n <= 14));
}
