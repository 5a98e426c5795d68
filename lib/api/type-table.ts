/** Types of the field table; see below. */
export type TypeName = string;

/** A Go type with aliases resolved. `wrapped` lists are a message of their own in protobuf (meta/v1 Verbs, ExtraValue). */
export type TypeRef =
  | { readonly k: 'string'; readonly values?: readonly string[]; readonly goName: string }
  | { readonly k: 'bool' | 'int32' | 'int64' | 'float64'; readonly goName: string }
  | { readonly k: 'bytes'; readonly goName: string }
  | { readonly k: 'any'; readonly goName: string }
  | { readonly k: 'list'; readonly of: TypeRef; readonly wrapped: boolean; readonly goName: string }
  | { readonly k: 'map'; readonly of: TypeRef; readonly goName: string }
  | { readonly k: 'struct'; readonly name: TypeName; readonly goName: string }
  | { readonly k: 'wellKnown'; readonly name: TypeName; readonly goName: string };

export interface FieldInfo {
  readonly name: string;
  readonly type: TypeRef;
  /** The Go field is a pointer: absent differs from zero. */
  readonly pointer: boolean;
  readonly omitempty: boolean;
  readonly omitzero: boolean;
  readonly optional: boolean;
  /** Marked +required. Fields with neither marker are required unless omitempty. */
  readonly required: boolean;
  readonly proto: number | undefined;
  readonly patchStrategy: readonly string[];
  readonly mergeKey: string | undefined;
  readonly listType: string | undefined;
  readonly listMapKeys: readonly string[];
  readonly mapType: string | undefined;
  readonly structType: string | undefined;
  readonly default: unknown;
  readonly enum: readonly string[] | undefined;
}

/** A Go struct. `fields`: as JSON has them, inline structs flattened; `inlined`: the embedded structs with their protobuf number. */
export interface TypeInfo {
  readonly name: TypeName;
  readonly fields: readonly FieldInfo[];
  readonly byName: ReadonlyMap<string, FieldInfo>;
  readonly own: readonly FieldInfo[];
  readonly inlined: readonly { readonly type: TypeName; readonly proto: number | undefined }[];
  readonly structType: string | undefined;
}

export function typeOf(name: TypeName): TypeInfo {
  throw new Error(`not yet: ${name}`);
}
