/**
 * Lists of amounts by resource name, as exact quantities: the arithmetic of quotas and limits. No function changes its
 * arguments. Source: k8s.io/apiserver/pkg/quota/v1/resources.go.
 */
import {
  addQuantity,
  compareQuantity,
  formatQuantity,
  parseQuantity,
  type Quantity,
  quantityOf,
  subQuantity,
} from './quantity.ts';

export type Amounts = ReadonlyMap<string, Quantity>;

const ZERO = quantityOf(0n);

/** From an object's list of texts. BadRequest when one is not a quantity. */
export function amountsOf(list: Readonly<Record<string, string>> | undefined): Amounts {
  return new Map(Object.entries(list ?? {}).map(([name, text]) => [name, parseQuantity(text)]));
}

/** As an object has them, names in order. */
export function resourceListOf(amounts: Amounts): Record<string, string> {
  return Object.fromEntries(sortedEntries(amounts).map(([name, q]) => [name, formatQuantity(q)]));
}

/** `cpu=1,pods=2`, as refusals of quotas show them. */
export function amountsText(amounts: Amounts): string {
  return sortedEntries(amounts)
    .map(([name, q]) => `${name}=${formatQuantity(q)}`)
    .join(',');
}

export function addAmounts(a: Amounts, b: Amounts): Amounts {
  const sum = new Map(a);
  for (const [name, q] of b) {
    const known = sum.get(name);
    sum.set(name, known === undefined ? q : addQuantity(known, q));
  }
  return sum;
}

/** The larger of each. */
export function maxAmounts(a: Amounts, b: Amounts): Amounts {
  const out = new Map(a);
  for (const [name, q] of b) {
    const known = out.get(name);
    if (known === undefined || compareQuantity(q, known) > 0) out.set(name, q);
  }
  return out;
}

/** `a - b`, never below zero; names of either. */
export function subtractToZero(a: Amounts, b: Amounts): Amounts {
  const out = new Map<string, Quantity>([...b.keys()].map((name) => [name, ZERO]));
  for (const [name, q] of a) {
    const other = b.get(name);
    const left = other === undefined ? q : subQuantity(q, other);
    out.set(name, left.nano > 0n ? left : ZERO);
  }
  return out;
}

export function maskAmounts(amounts: Amounts, names: Iterable<string>): Amounts {
  const kept = new Set(names);
  return new Map([...amounts].filter(([name]) => kept.has(name)));
}

export function withoutZeros(amounts: Amounts): Amounts {
  return new Map([...amounts].filter(([, q]) => q.nano !== 0n));
}

export function isSameAmounts(a: Amounts, b: Amounts): boolean {
  return a.size === b.size && [...a].every(([name, q]) => b.get(name)?.nano === q.nano);
}

function sortedEntries(amounts: Amounts): [string, Quantity][] {
  return [...amounts].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}
