/** What an expression may name: variables, types and functions. Environments are immutable; `extend` shares what it can. */
import type { Meter } from './regex/regex.ts';
import { parseSignature } from './signature.ts';
import {
  BOOL,
  BYTES,
  DOUBLE,
  DURATION,
  DYN,
  INT,
  listOf,
  mapOf,
  NULL,
  type ObjectType,
  STRING,
  TIMESTAMP,
  type Type,
  UINT,
} from './types.ts';
import type { Result, Value } from './values/value.ts';

/** A function's implementation. Arguments have the overload's types; throwing is a programmer error. */
export type Implementation = (args: readonly Value[], meter: Meter) => Result;

export interface Overload {
  readonly id: string;
  /** `target.f(args)`; the target is the first argument. */
  readonly member: boolean;
  readonly args: readonly Type[];
  readonly result: Type;
  readonly implementation: Implementation;
}

export interface Library {
  readonly name: string;
  /** By function name. */
  readonly functions: ReadonlyMap<string, readonly Overload[]>;
  /** Types that expressions may name, by the name. */
  readonly typeNames?: Readonly<Record<string, Type>>;
}

export type ResolveType = (name: string) => ObjectType | undefined;

export interface EnvOptions {
  readonly variables?: Readonly<Record<string, Type>>;
  /** Types of `Name{field: value}` literals. */
  readonly objectTypes?: readonly ObjectType[];
  /** Types of names that no list can hold (`Object.spec.containers` of mutating policies); asked after the lists. */
  readonly resolveType?: ResolveType;
  readonly libraries?: readonly Library[];
}

/** `string.(string) -> bool` is a member function, `string, int -> bool` a global one. */
export function overload(id: string, signature: string, implementation: Implementation): Overload {
  return { id, ...parseSignature(signature), implementation };
}

export function library(
  name: string,
  functions: Readonly<Record<string, readonly Overload[]>>,
  typeNames: Readonly<Record<string, Type>> = {},
): Library {
  return { name, functions: new Map(Object.entries(functions)), typeNames };
}

const BUILT_IN_TYPES: readonly (readonly [string, Type])[] = [
  ['bool', BOOL],
  ['int', INT],
  ['uint', UINT],
  ['double', DOUBLE],
  ['string', STRING],
  ['bytes', BYTES],
  ['null_type', NULL],
  ['list', listOf(DYN)],
  ['map', mapOf(DYN, DYN)],
  ['type', { kind: 'type' }],
  ['google.protobuf.Timestamp', TIMESTAMP],
  ['google.protobuf.Duration', DURATION],
];

export class Env {
  private readonly variables: ReadonlyMap<string, Type>;
  private readonly typeNames: ReadonlyMap<string, Type>;
  private readonly objectTypes: ReadonlyMap<string, ObjectType>;
  private readonly functions: ReadonlyMap<string, readonly Overload[]>;
  private readonly resolveType: ResolveType | undefined;

  private constructor(
    variables: ReadonlyMap<string, Type>,
    typeNames: ReadonlyMap<string, Type>,
    objectTypes: ReadonlyMap<string, ObjectType>,
    functions: ReadonlyMap<string, readonly Overload[]>,
    resolveType: ResolveType | undefined,
  ) {
    this.variables = variables;
    this.typeNames = typeNames;
    this.objectTypes = objectTypes;
    this.functions = functions;
    this.resolveType = resolveType;
  }

  static create(options: EnvOptions): Env {
    return new Env(new Map(), new Map(BUILT_IN_TYPES), new Map(), new Map(), undefined).extend(options);
  }

  extend(options: EnvOptions): Env {
    const { variables = {}, objectTypes = [], libraries = [] } = options;
    const functions = libraries.length === 0 ? this.functions : new Map(this.functions);
    const typeNames = new Map(this.typeNames);
    for (const lib of libraries) {
      for (const [name, type] of Object.entries(lib.typeNames ?? {})) typeNames.set(name, type);
      for (const [name, added] of lib.functions) {
        const there = this.functions.get(name) ?? [];
        if (functions instanceof Map) functions.set(name, [...(functions.get(name) ?? there), ...added]);
      }
    }
    return new Env(
      new Map([...this.variables, ...Object.entries(variables)]),
      typeNames,
      new Map([...this.objectTypes, ...objectTypes.map((t) => [t.name, t] as const)]),
      functions,
      options.resolveType ?? this.resolveType,
    );
  }

  variable(name: string): Type | undefined {
    return this.variables.get(name);
  }
  typeName(name: string): Type | undefined {
    return this.typeNames.get(name) ?? this.objectType(name);
  }
  objectType(name: string): ObjectType | undefined {
    return this.objectTypes.get(name) ?? this.resolveType?.(name);
  }
  overloads(name: string): readonly Overload[] | undefined {
    return this.functions.get(name);
  }
}
