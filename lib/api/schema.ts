import type { KindRef, KubeObject } from './object.ts';
import type { TypeName } from './type-table.ts';

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

export function decodeObject(kind: KindRef, value: unknown): { object: KubeObject; unknown: string[] } {
  throw new Error(`not yet ${kind.kind} ${String(value)}`);
}
export function decodeType(name: TypeName, value: unknown): { object: object; unknown: string[] } {
  throw new Error(`not yet ${name} ${String(value)}`);
}
