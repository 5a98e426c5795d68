/**
 * Seats of the priority levels from their shares of the server's total.
 * Source: KEP-1040; flowcontrol/v1 LimitedPriorityLevelConfiguration (formulas of NominalCL, LendableCL, BorrowingCL).
 */
import type { DeepReadonly, PriorityLevelConfiguration } from '#lib/api';

export interface Queuing {
  readonly queues: number;
  readonly handSize: number;
  /** Waiting requests of one queue. */
  readonly queueLengthMax: number;
}

export interface LevelSettings {
  readonly name: string;
  /** Requests of an exempt level never wait. */
  readonly isExempt: boolean;
  readonly nominalSeats: number;
  /** Of the nominal ones: what others may use while this level does not. */
  readonly lendableSeats: number;
  /** Nominal and borrowed ones together. */
  readonly seatsMax: number;
  /** undefined: what finds no seat is refused at once. */
  readonly queuing: Queuing | undefined;
}

const SHARES_DEFAULT = 30;
const QUEUING_DEFAULT: Queuing = { queues: 64, handSize: 8, queueLengthMax: 50 };

type Level = DeepReadonly<PriorityLevelConfiguration>;

export function levelSettings(levels: readonly Level[], serverSeats: number): LevelSettings[] {
  const shares = levels.reduce((sum, level) => sum + sharesOf(level), 0);
  return levels.map((level) => {
    const { name } = level.metadata;
    const nominalSeats = shares === 0 ? 0 : Math.ceil((serverSeats * sharesOf(level)) / shares);
    const isExempt = level.spec.type === 'Exempt';
    const lendable = isExempt ? level.spec.exempt?.lendablePercent : level.spec.limited?.lendablePercent;
    const lendableSeats = Math.round((nominalSeats * (lendable ?? 0)) / 100);
    const borrowing = level.spec.limited?.borrowingLimitPercent;
    const seatsMax =
      borrowing === undefined ? serverSeats : nominalSeats + Math.round((nominalSeats * borrowing) / 100);
    return {
      name,
      isExempt,
      nominalSeats,
      lendableSeats,
      seatsMax: Math.max(1, seatsMax),
      queuing: isExempt ? undefined : queuingOf(level),
    };
  });
}

function sharesOf(level: Level): number {
  const { type, limited, exempt } = level.spec;
  return type === 'Exempt'
    ? (exempt?.nominalConcurrencyShares ?? 0)
    : (limited?.nominalConcurrencyShares ?? SHARES_DEFAULT);
}

function queuingOf(level: Level): Queuing | undefined {
  const response = level.spec.limited?.limitResponse;
  if (response?.type !== 'Queue') return undefined;
  const { queuing } = response;
  if (queuing === undefined) return QUEUING_DEFAULT;
  return { queues: queuing.queues, handSize: queuing.handSize, queueLengthMax: queuing.queueLengthLimit };
}
