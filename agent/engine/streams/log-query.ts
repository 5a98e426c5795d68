/** What a client asks of a log. Source: moby daemon/server/router/container (getContainersLogs), internal/timestamp. Pure. */
import { badParameter, type EngineQuery } from '../http/contract.ts';

export interface LogQuery {
  readonly follow: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly timestamps: boolean;
  readonly details: boolean;
  /** Instants as the log's records have them: texts of 30 characters that compare as instants do. */
  readonly since: string | undefined;
  readonly until: string | undefined;
  /** undefined = all. */
  readonly tailLines: number | undefined;
}

export function logQuery(q: EngineQuery): LogQuery {
  const [stdout, stderr] = [q.bool('stdout'), q.bool('stderr')];
  if (!stdout && !stderr) throw badParameter("must specify at least one of 'stdout' or 'stderr'");
  return {
    ...{ stdout, stderr, follow: q.bool('follow'), timestamps: q.bool('timestamps'), details: q.bool('details') },
    since: instant(q.get('since'), 'since'),
    until: q.get('until') === '0' ? undefined : instant(q.get('until'), 'until'),
    tailLines: tail(q.get('tail')),
  };
}

/** Whatever is no whole number is all, as "all" is. */
function tail(text: string | undefined): number | undefined {
  return text !== undefined && /^\+?\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** The end of the year 9999. */
const SECONDS_MAX = 253_402_300_799;

/** `seconds` or `seconds.fraction`, as a text of RFC 3339 with nine digits. */
function instant(text: string | undefined, what: string): string | undefined {
  if (text === undefined || text === '') return undefined;
  const [, whole, fraction = ''] = /^([+-]?\d{1,18})(?:\.(\d{0,20}))?$/.exec(text) ?? [];
  if (whole === undefined)
    throw badParameter(`invalid value for "${what}": invalid timestamp ${JSON.stringify(text.slice(0, 64))}`);
  const seconds = Math.min(Math.max(Number(whole), 0), SECONDS_MAX);
  const nanos = Number(whole) < 0 ? '' : fraction.slice(0, 9);
  return new Date(seconds * 1000).toISOString().replace('.000Z', `.${nanos.padEnd(9, '0')}Z`);
}

/** Of nanoseconds since the epoch. */
export function instantOf(ns: bigint): string {
  const seconds = new Date(Number(ns / 1_000_000_000n) * 1000).toISOString();
  return seconds.replace('.000Z', `.${String(ns % 1_000_000_000n).padStart(9, '0')}Z`);
}

/** Milliseconds since the epoch of such a text, rounded down. */
export function msOf(instantText: string): number {
  return Date.parse(`${instantText.slice(0, 23)}Z`);
}
