/**
 * Calls a function for every value of certain struct types inside an object, parents before their parts: how defaults and
 * table validation find the containers, probes, selectors, ... that are nested anywhere. Fields that cannot contain any of
 * the wanted types are not entered.
 */
import { type FieldInfo, type TypeName, type TypeRef, typeOf } from './type-table.ts';

export type JsonObject = Record<string, unknown>;
/** What is done with a value of a type; `path` only when the visitor keeps paths. */
export type Visit = (value: JsonObject, path: string) => void;

interface Step {
  readonly name: string;
  readonly type: TypeRef;
  readonly go: Walk;
}
type Walk = (value: unknown, path: string) => void;
interface TypeWalk {
  visit: Visit | undefined;
  steps: Step[];
}

/** Compiled on first use per type; owns its memo. */
export class Visitor {
  private readonly visits: (name: TypeName) => Visit | undefined;
  private readonly keepsPaths: boolean;
  private readonly walks = new Map<TypeName, TypeWalk>();
  private readonly reaches = new Map<TypeName, boolean>();

  constructor(visits: (name: TypeName) => Visit | undefined, o: { keepsPaths: boolean }) {
    this.visits = visits;
    this.keepsPaths = o.keepsPaths;
  }

  run(name: TypeName, value: JsonObject, path = ''): void {
    this.runType(this.walkOf(name), value, path);
  }

  private runType(w: TypeWalk, value: JsonObject, path: string): void {
    w.visit?.(value, path);
    for (const step of w.steps) {
      const v = value[step.name];
      if (v === undefined || v === null) continue;
      step.go(v, this.keepsPaths ? (path === '' ? step.name : `${path}.${step.name}`) : '');
    }
  }

  private walkOf(name: TypeName): TypeWalk {
    const known = this.walks.get(name);
    if (known !== undefined) return known;
    const walk: TypeWalk = { visit: this.visits(name), steps: [] };
    this.walks.set(name, walk);
    for (const f of typeOf(name).fields) {
      const go = this.walkRef(f.type);
      if (go !== undefined) walk.steps.push({ name: f.name, type: f.type, go });
    }
    return walk;
  }

  private walkRef(t: TypeRef): Walk | undefined {
    switch (t.k) {
      case 'struct': {
        if (!this.isReached(t.name)) return undefined;
        const walk = this.walkOf(t.name);
        return (v, path) => this.runType(walk, v as JsonObject, path);
      }
      case 'list': {
        const item = this.walkRef(t.of);
        if (item === undefined) return undefined;
        return (v, path) => {
          for (const [i, each] of (v as unknown[]).entries()) item(each, this.keepsPaths ? `${path}[${i}]` : '');
        };
      }
      case 'map': {
        const item = this.walkRef(t.of);
        if (item === undefined) return undefined;
        return (v, path) => {
          for (const [key, each] of Object.entries(v as object)) item(each, this.keepsPaths ? `${path}[${key}]` : '');
        };
      }
      default:
        return undefined;
    }
  }

  /** True when the type, or one that it can contain, is visited. A type met again while it is examined counts as not. */
  private isReached(name: TypeName): boolean {
    const known = this.reaches.get(name);
    if (known !== undefined) return known;
    this.reaches.set(name, false);
    const reached = this.visits(name) !== undefined || typeOf(name).fields.some((f) => this.isFieldReached(f.type));
    this.reaches.set(name, reached);
    return reached;
  }

  private isFieldReached(t: FieldInfo['type']): boolean {
    if (t.k === 'struct') return this.isReached(t.name);
    return (t.k === 'list' || t.k === 'map') && this.isFieldReached(t.of);
  }
}
