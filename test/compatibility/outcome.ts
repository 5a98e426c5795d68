/** What came of asking for one verb: it works, or it is refused. Anything else is a fault of the server or of the probe. */
import { type Ctx, type ErrorKind, isKind, StatusError, toStatusError } from '#lib/base';
import type { HttpClient } from '#lib/client';

export type Outcome = 'works' | { readonly refused: ErrorKind };
/** By verb, in the order asked. */
export type Outcomes = ReadonlyMap<string, Outcome>;
/** Throws unless what was asked for was done, and its effect seen. */
export type Calls = Readonly<Record<string, () => Promise<void>>>;

/** How a server says that it does not do that, or not for you. */
const REFUSALS: ReadonlySet<ErrorKind> = new Set(['Forbidden', 'NotFound', 'MethodNotAllowed', 'Unimplemented']);

/** One after another: each finds what those before it left. Throws for a verb that nothing here knows how to ask for. */
export async function outcomesOf(verbs: readonly string[], calls: Calls): Promise<Outcomes> {
  const unknown = verbs.filter((verb) => !(verb in calls));
  if (unknown.length > 0) throw new Error(`nothing asks for ${unknown.join(', ')}`);
  const outcomes = new Map<string, Outcome>();
  for (const [verb, call] of Object.entries(calls))
    if (verbs.includes(verb)) outcomes.set(verb, await outcomeOf(verb, call));
  return outcomes;
}

async function outcomeOf(verb: string, call: () => Promise<void>): Promise<Outcome> {
  try {
    await call();
    return 'works';
  } catch (e) {
    if (e instanceof StatusError && REFUSALS.has(e.kind)) return { refused: e.kind };
    throw new Error(`${verb}: ${toStatusError(e).message}`, { cause: e });
  }
}

/** Each element of a wanted list is somewhere in the found one. */
export function holds(found: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted))
    return Array.isArray(found) && wanted.every((w) => found.some((f: unknown) => holds(f, w)));
  if (typeof wanted !== 'object' || wanted === null) return Object.is(found, wanted);
  if (typeof found !== 'object' || found === null) return false;
  return Object.entries(wanted).every(([k, w]) => holds((found as Record<string, unknown>)[k], w));
}

export function requireHeld(found: unknown, wanted: unknown): void {
  if (!holds(found, wanted)) throw new Error(`${JSON.stringify(wanted)} is not in ${JSON.stringify(found)}`);
}

const ATTEMPTS_MAX = 50;

/** As clients do: read and write again when somebody else (the server's own loops) wrote meanwhile. */
export async function retriedOnConflict<T>(write: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++)
    try {
      return await write();
    } catch (e) {
      if (!isKind(e, 'Conflict') || attempt === ATTEMPTS_MAX) throw e;
    }
}

/** How a probe asks: by https, as one user. */
export interface Asker {
  readonly client: HttpClient;
  readonly c: Ctx;
}
