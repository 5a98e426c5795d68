/** The operators that need not evaluate every operand, and so may absorb failures (cel-spec "Logical Operators"). */
import { CelError, isFailure, mergeUnknown, OptionalValue, type Result, Unknown } from '../values/value.ts';
import { NO_OVERLOAD } from './access.ts';
import type { Step } from './frame.ts';

export function and(a: Step, b: Step): Step {
  return logical(a, b, false);
}

export function or(a: Step, b: Step): Step {
  return logical(a, b, true);
}

/** `decisive` on either side decides, whatever the other side is. */
function logical(a: Step, b: Step, decisive: boolean): Step {
  return (f) => {
    const left = a(f);
    if (left === decisive) return decisive;
    const right = b(f);
    if (right === decisive) return decisive;
    if (left === !decisive && right === !decisive) return !decisive;
    return worse(left, right);
  };
}

/** Unknowns win over errors, the left error over the right one; what is no bool is an error. */
function worse(left: Result, right: Result): Result {
  if (left instanceof Unknown) return right instanceof Unknown ? mergeUnknown(left, right) : left;
  if (right instanceof Unknown) return right;
  if (left instanceof CelError) return left;
  return right instanceof CelError ? right : NO_OVERLOAD;
}

export function conditional(condition: Step, yes: Step, no: Step): Step {
  return (f) => {
    const c = condition(f);
    if (c === true) return yes(f);
    if (c === false) return no(f);
    return isFailure(c) ? c : NO_OVERLOAD;
  };
}

/** Loop condition of the quantifiers: an error so far does not end the loop. */
export function notStrictlyFalse(a: Step): Step {
  return (f) => {
    const v = a(f);
    f.charge(1);
    return v !== false;
  };
}

/** `opt.or(other)` and `opt.orValue(value)`: the other side is evaluated only when it is needed. */
export function orElse(a: Step, b: Step, fn: 'or' | 'orValue'): Step {
  return (f) => {
    const left = a(f);
    if (isFailure(left)) return left;
    if (!(left instanceof OptionalValue)) return NO_OVERLOAD;
    f.charge(1);
    if (left.value === undefined) return b(f);
    return fn === 'or' ? left : left.value;
  };
}
