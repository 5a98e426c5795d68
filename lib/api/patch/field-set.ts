/**
 * Sets of field paths, as managedFields keep them (FieldsV1).
 *
 * A path is a list of elements, each a text as FieldsV1 writes it: `f:name` (field or map key), `k:{"name":"a"}` (item of a
 * list by its keys), `v:"x"` (item of a set), `i:0` (by index). A set knows for each element whether the element itself is a
 * member, and the set below it. In FieldsV1 `{}` is a member without anything below, `"."` a member with something below.
 * Invariants: sets are values: no method changes one after it was built; no empty child is kept.
 * Source: sigs.k8s.io/structured-merge-diff/v4/fieldpath {set,element,serialize}.go.
 */
import { isObject, type JsonObject } from './value.ts';

export type Path = readonly string[];

export class FieldSet {
  readonly members: ReadonlySet<string>;
  readonly children: ReadonlyMap<string, FieldSet>;

  constructor(members: ReadonlySet<string>, children: ReadonlyMap<string, FieldSet>) {
    this.members = members;
    this.children = children;
  }

  get isEmpty(): boolean {
    return this.members.size === 0 && this.children.size === 0;
  }

  has(path: Path): boolean {
    const [first, ...rest] = path;
    if (first === undefined) return false;
    return rest.length === 0 ? this.members.has(first) : (this.children.get(first)?.has(rest) ?? false);
  }

  union(other: FieldSet): FieldSet {
    if (this.isEmpty) return other;
    if (other.isEmpty) return this;
    const children = new Map(this.children);
    for (const [key, child] of other.children) children.set(key, children.get(key)?.union(child) ?? child);
    return new FieldSet(new Set([...this.members, ...other.members]), children);
  }

  intersection(other: FieldSet): FieldSet {
    const members = [...this.members].filter((key) => other.members.has(key));
    return new FieldSet(
      new Set(members),
      this.#eachChild((child, key) => child.intersection(other.children.get(key) ?? EMPTY)),
    );
  }

  /** Members of this set that `other` has not. */
  difference(other: FieldSet): FieldSet {
    if (other.isEmpty) return this;
    const members = [...this.members].filter((key) => !other.members.has(key));
    return new FieldSet(
      new Set(members),
      this.#eachChild((child, key) => child.difference(other.children.get(key) ?? EMPTY)),
    );
  }

  /** This set without the members of `other` and all that is below them. */
  without(other: FieldSet): FieldSet {
    if (other.isEmpty) return this;
    const members = [...this.members].filter((key) => !other.members.has(key));
    const children = this.#eachChild((child, key) =>
      other.members.has(key) ? EMPTY : child.without(other.children.get(key) ?? EMPTY),
    );
    return new FieldSet(new Set(members), children);
  }

  equals(other: FieldSet): boolean {
    if (this.members.size !== other.members.size || this.children.size !== other.children.size) return false;
    for (const key of this.members) if (!other.members.has(key)) return false;
    for (const [key, child] of this.children) {
      const same = other.children.get(key);
      if (same === undefined || !child.equals(same)) return false;
    }
    return true;
  }

  /** All member paths, sorted, a container before what is in it. */
  paths(): Path[] {
    const keys = [...new Set([...this.members, ...this.children.keys()])].sort();
    return keys.flatMap((key) => [
      ...(this.members.has(key) ? [[key]] : []),
      ...(this.children.get(key)?.paths() ?? []).map((path) => [key, ...path]),
    ]);
  }

  toFieldsV1(): Record<string, unknown> {
    const result: Record<string, unknown> = {};
    for (const key of [...new Set([...this.members, ...this.children.keys()])].sort()) {
      const child = this.children.get(key);
      if (child === undefined) result[key] = {};
      else result[key] = this.members.has(key) ? { '.': {}, ...child.toFieldsV1() } : child.toFieldsV1();
    }
    return result;
  }

  #eachChild(fn: (child: FieldSet, key: string) => FieldSet): Map<string, FieldSet> {
    const children = new Map<string, FieldSet>();
    for (const [key, child] of this.children) {
      const next = fn(child, key);
      if (!next.isEmpty) children.set(key, next);
    }
    return children;
  }
}

export const EMPTY: FieldSet = new FieldSet(new Set(), new Map());

interface Draft {
  readonly members: Set<string>;
  readonly children: Map<string, Draft>;
}

export function setOfPaths(paths: Iterable<Path>): FieldSet {
  const root: Draft = { members: new Set(), children: new Map() };
  for (const path of paths) {
    let level = root;
    for (const [i, element] of path.entries()) {
      if (i === path.length - 1) level.members.add(element);
      else {
        const next: Draft = level.children.get(element) ?? { members: new Set(), children: new Map() };
        level.children.set(element, next);
        level = next;
      }
    }
  }
  return fromDraft(root);
}

function fromDraft(draft: Draft): FieldSet {
  return new FieldSet(draft.members, new Map([...draft.children].map(([key, child]) => [key, fromDraft(child)])));
}

/** Reads FieldsV1; undefined if it is no such thing. */
export function parseFieldsV1(value: unknown): FieldSet | undefined {
  if (!isObject(value)) return undefined;
  return parseLevel(value);
}

function parseLevel(value: JsonObject): FieldSet | undefined {
  const members = new Set<string>();
  const children = new Map<string, FieldSet>();
  for (const [key, below] of Object.entries(value)) {
    if (key === '.') continue;
    if (!/^[fkvi]:/.test(key) || !isObject(below)) return undefined;
    const keys = Object.keys(below);
    if (keys.length === 0 || '.' in below) members.add(key);
    const child = parseLevel(below);
    if (child === undefined) return undefined;
    if (!child.isEmpty) children.set(key, child);
  }
  return new FieldSet(members, children);
}

/** `.spec.containers[name="a"].image`, as conflicts are worded. */
export function pathText(path: Path): string {
  return path.map(elementText).join('');
}

function elementText(element: string): string {
  const rest = element.slice(2);
  switch (element.charAt(0)) {
    case 'f':
      return `.${rest}`;
    case 'v':
      return `[=${rest}]`;
    case 'i':
      return `[${rest}]`;
    default: {
      const keys: unknown = JSON.parse(rest);
      const parts = isObject(keys) ? Object.entries(keys).map(([k, v]) => `${k}=${JSON.stringify(v)}`) : [];
      return `[${parts.join(',')}]`;
    }
  }
}
