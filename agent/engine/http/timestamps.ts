/**
 * Instants as clients send them: `1700000000` or `1700000000.123456789`, seconds since 1970 (clients turn what their users type
 * into that). Source: moby api/types/time/timestamp.go (ParseTimestamps).
 */
import { badParameter } from './contract.ts';

const FORM = /^(-?\d{1,12})(?:\.(\d{1,9}))?$/;
const MICROS = 1_000_000;

/** Microseconds since 1970, cut; undefined for '' and what is absent. 400 for another text. */
export function microsOf(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  const [, seconds, fraction = ''] = FORM.exec(text) ?? [];
  if (seconds === undefined) throw badParameter(`failed to parse value as time or duration: ${JSON.stringify(text)}`);
  return Number(seconds) * MICROS + Number(fraction.padEnd(9, '0').slice(0, 6));
}
