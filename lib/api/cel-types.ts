/**
 * Types of the field table as CEL types, for type checking of expressions. What has several forms in JSON (quantities,
 * int-or-string, raw objects) is dyn. Source: k8s.io/apiserver/pkg/cel/common/schemas.go SchemaDeclType.
 */
import {
  BOOL,
  BYTES,
  DOUBLE,
  DYN,
  escapePropertyName,
  INT,
  listOf,
  mapOf,
  type ObjectField,
  type ObjectType,
  STRING,
  TIMESTAMP,
  type Type,
} from '#lib/cel';
import { type TypeName, type TypeRef, typeOf } from './type-table.ts';

const TIMES: ReadonlySet<TypeName> = new Set(['meta/v1.Time', 'meta/v1.MicroTime']);

/** Object types, each made once; they may be recursive. */
export class TableTypes {
  readonly #made = new Map<TypeName, ObjectType>();

  of(name: TypeName): ObjectType {
    const known = this.#made.get(name);
    if (known !== undefined) return known;
    const fields = new Map<string, ObjectField>();
    const type: ObjectType = { kind: 'object', name: name.slice(name.lastIndexOf('.') + 1), fields };
    this.#made.set(name, type);
    for (const field of typeOf(name).fields) {
      const escaped = escapePropertyName(field.name);
      if (escaped !== undefined) fields.set(escaped, { type: this.#ref(field.type), jsonName: field.name });
    }
    return type;
  }

  #ref(type: TypeRef): Type {
    switch (type.k) {
      case 'string':
        return STRING;
      case 'bool':
        return BOOL;
      case 'int32':
      case 'int64':
      case 'uint32':
      case 'uint64':
        return INT;
      case 'float64':
        return DOUBLE;
      case 'bytes':
        return BYTES;
      case 'any':
        return DYN;
      case 'list':
        return listOf(this.#ref(type.of));
      case 'map':
        return mapOf(STRING, this.#ref(type.of));
      case 'struct':
        return this.of(type.name);
      case 'wellKnown':
        return TIMES.has(type.name) ? TIMESTAMP : DYN;
    }
  }
}
