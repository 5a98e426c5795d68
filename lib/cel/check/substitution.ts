/** Type parameters and assignability (cel-go checker/types.go). */
import { isDyn, sameType, type Type } from '../types.ts';

export class Substitution {
  private map: Map<string, Type>;
  constructor(map: Map<string, Type> = new Map()) {
    this.map = map;
  }

  find(name: string): Type | undefined {
    return this.map.get(name);
  }

  /** Whether each of `from` may stand where `to` is asked; parameters learn from it only when all do. */
  assignable(from: readonly Type[], to: readonly Type[]): boolean {
    const trial = new Substitution(new Map(this.map));
    const ok = from.length === to.length && from.every((f, i) => trial.unify(f, to[i] ?? f));
    if (ok) this.map = trial.map;
    return ok;
  }

  private unify(a: Type, b: Type): boolean {
    if (b.kind === 'param') {
      const known = this.map.has(b.name);
      if (this.bind(b.name, b, a)) return true;
      if (known) return false;
    }
    if (a.kind === 'param') return this.bind(a.name, a, b);
    if (isDyn(a) || isDyn(b)) return true;
    if (a.kind === 'null') return isNullable(b);
    if (b.kind === 'null') return isNullable(a);
    if (a.kind === 'wrapper') return this.unify(a.of, b);
    if (b.kind === 'wrapper') return this.unify(a, b.of);
    if (a.kind === 'list' && b.kind === 'list') return this.unify(a.element, b.element);
    if (a.kind === 'map' && b.kind === 'map') return this.unify(a.key, b.key) && this.unify(a.value, b.value);
    if (a.kind === 'opaque' && b.kind === 'opaque')
      return (
        a.name === b.name &&
        a.params.length === b.params.length &&
        a.params.every((p, i) => this.unify(p, b.params[i] ?? p))
      );
    if (a.kind === 'type') return b.kind === 'type';
    return sameType(a, b);
  }

  private bind(name: string, param: Type, type: Type): boolean {
    if (type.kind === 'param' && type.name === name) return true;
    const bound = this.map.get(name);
    if (bound === undefined) {
      if (this.occurs(name, type)) return false;
      this.map.set(name, type);
      return true;
    }
    if (sameType(bound, type)) return true;
    if (!this.unify(type, bound)) return false;
    const general = lessSpecific(type, bound) ? type : bound;
    if (!sameType(general, param) && !this.occurs(name, general)) this.map.set(name, general);
    return true;
  }

  private occurs(name: string, t: Type): boolean {
    switch (t.kind) {
      case 'param': {
        if (t.name === name) return true;
        const bound = this.map.get(t.name);
        return bound !== undefined && this.occurs(name, bound);
      }
      case 'list':
        return this.occurs(name, t.element);
      case 'map':
        return this.occurs(name, t.key) || this.occurs(name, t.value);
      case 'opaque':
        return t.params.some((p) => this.occurs(name, p));
      case 'type':
        return t.of !== undefined && this.occurs(name, t.of);
      default:
        return false;
    }
  }

  /** With `final` what is not known becomes dyn. */
  apply(t: Type, mode: 'partial' | 'final'): Type {
    switch (t.kind) {
      case 'param': {
        const bound = this.map.get(t.name);
        if (bound !== undefined) return this.apply(bound, mode);
        return mode === 'final' ? { kind: 'dyn' } : t;
      }
      case 'list':
        return { ...t, element: this.apply(t.element, mode) };
      case 'map':
        return { kind: 'map', key: this.apply(t.key, mode), value: this.apply(t.value, mode) };
      case 'opaque':
        return t.params.length === 0 ? t : { ...t, params: t.params.map((p) => this.apply(p, mode)) };
      case 'type':
        return t.of === undefined ? t : { kind: 'type', of: this.apply(t.of, mode) };
      default:
        return t;
    }
  }
}

function isNullable(t: Type): boolean {
  return ['opaque', 'object', 'wrapper', 'null', 'timestamp', 'duration'].includes(t.kind);
}

/** Whether `a` says no more than `b`. */
export function lessSpecific(a: Type, b: Type): boolean {
  if (isDyn(a) || a.kind === 'param') return true;
  if (isDyn(b) || b.kind === 'param') return false;
  if (a.kind === 'null') return false;
  if (b.kind === 'null') return isNullable(a);
  if (a.kind === 'wrapper') return true;
  if (a.kind === 'list' && b.kind === 'list') return lessSpecific(a.element, b.element);
  if (a.kind === 'map' && b.kind === 'map') return lessSpecific(a.key, b.key) && lessSpecific(a.value, b.value);
  if (a.kind === 'opaque' && b.kind === 'opaque')
    return a.name === b.name && a.params.every((p, i) => lessSpecific(p, b.params[i] ?? p));
  return sameType(a, b);
}

/** Renames an overload's parameters so that each call has its own. */
export function freshen(t: Type, suffix: string): Type {
  switch (t.kind) {
    case 'param':
      return { kind: 'param', name: `${t.name}${suffix}` };
    case 'list':
      return { ...t, element: freshen(t.element, suffix) };
    case 'map':
      return { kind: 'map', key: freshen(t.key, suffix), value: freshen(t.value, suffix) };
    case 'opaque':
      return t.params.length === 0 ? t : { ...t, params: t.params.map((p) => freshen(p, suffix)) };
    case 'type':
      return t.of === undefined ? t : { kind: 'type', of: freshen(t.of, suffix) };
    default:
      return t;
  }
}
