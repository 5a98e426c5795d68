/**
 * The `name` filter: a regular expression in Docker, whose engine takes linear time whatever it is given. Ours does not, and
 * it runs in the agent's one thread, so what could take long is matched as other parts match (http/name-match.ts). Pure. Source: moby api/types/filters (Match).
 */
import { matchesPattern } from '../../http/name-match.ts';

const PATTERN_MAX = 256;
const NAME_MAX = 512;
const SAFE_QUANTIFIERS = 2;

export function namePattern(pattern: string): (name: string) => boolean {
  const plain = (name: string): boolean => matchesPattern(pattern, name);
  const quantifiers = pattern.match(/[*+?{]/g)?.length ?? 0;
  /* A quantifier behind a group, or a back-reference, is where time explodes. */
  if (pattern.length > PATTERN_MAX || quantifiers > SAFE_QUANTIFIERS || /\)[*+?{]|\\\d|\(\?/.test(pattern))
    return plain;
  try {
    const expression = new RegExp(pattern);
    return (name) => name === pattern || expression.test(name.slice(0, NAME_MAX));
  } catch {
    /* Not an expression of ours. */
    return plain;
  }
}
