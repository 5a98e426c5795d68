import type { TypeName } from '../type-table.ts';

export function applyStrategicMergePatch(schema: TypeName, object: unknown, patch: unknown): unknown {
  throw new Error(`not yet ${schema} ${String(object)} ${String(patch)}`);
}
