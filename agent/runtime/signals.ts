/** Signals by name or number. Pure. */
import { constants } from 'node:os';
import { StatusError } from '#lib/base';

/** SIGTERM, TERM, 15, SIGRTMIN+3, SIGRTMAX-1. */
export function signalNumber(signal: string): number {
  const realTime = /^(?:SIG)?RTMIN(?:\+(\d+))?$/.exec(signal);
  if (realTime) return 34 + Number(realTime[1] ?? 0);
  const fromEnd = /^(?:SIG)?RTMAX(?:-(\d+))?$/.exec(signal);
  if (fromEnd && Number(fromEnd[1] ?? 0) <= 30) return 64 - Number(fromEnd[1] ?? 0);
  const table: Readonly<Record<string, number>> = constants.signals;
  const number = /^\d+$/.test(signal) ? Number(signal) : (table[signal] ?? table[`SIG${signal}`]);
  if (number === undefined || number > 64) throw new StatusError('Invalid', `unknown signal ${JSON.stringify(signal)}`);
  return number;
}
