/** Flags of instructions: `--name=value`, `--name` of truth values. Source: Dockerfile reference. Pure. */
import { invalid } from './error.ts';
import { didYouMean } from './suggest.ts';

type FlagKind = 'text' | 'texts' | 'truth';
type Value<K extends FlagKind> = K extends 'text'
  ? string | undefined
  : K extends 'texts'
    ? readonly string[]
    : boolean | undefined;

/** By name, what was given. Throws Invalid for an unknown one, one twice, a missing or a bad value. */
export function readFlags<T extends Readonly<Record<string, FlagKind>>>(
  given: readonly string[],
  known: T,
): { readonly [N in keyof T]: Value<T[N]> } {
  const out = new Map<string, string | boolean | string[]>();
  for (const [name, kind] of Object.entries(known)) if (kind === 'texts') out.set(name, []);
  for (const flag of given) {
    const at = flag.indexOf('=');
    const [name, value] = at < 0 ? [flag.slice(2), undefined] : [flag.slice(2, at), flag.slice(at + 1)];
    const kind = Object.hasOwn(known, name) ? known[name] : undefined;
    if (kind === undefined) throw invalid(`unknown flag: --${name}${didYouMean(name, Object.keys(known))}`);
    const before = out.get(name);
    if (Array.isArray(before)) before.push(textOf(name, value));
    else if (before !== undefined) throw invalid(`duplicate flag specified: --${name}`);
    else out.set(name, kind === 'truth' ? truthOf(name, value) : textOf(name, value));
  }
  return Object.fromEntries(out) as { readonly [N in keyof T]: Value<T[N]> };
}

function textOf(name: string, value: string | undefined): string {
  if (value === undefined) throw invalid(`missing a value on flag: --${name}`);
  return value;
}

function truthOf(name: string, value: string | undefined): boolean {
  const text = value?.toLowerCase();
  if (text === '') throw invalid(`missing a value on flag: --${name}`);
  if (text === undefined || text === 'true') return true;
  if (text === 'false') return false;
  throw invalid(`expecting boolean value for flag --${name}, not: ${value}`);
}
