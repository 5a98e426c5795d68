/**
 * What a custom kind does where built-in ones ask the field table and their per-kind code. Made of one version of a
 * CustomResourceDefinition by structural/kinds.ts.
 */
import type { FieldError } from './field-error.ts';
import type { CustomResourceSubresourceScale } from './gen/types/apiextensions-v1.ts';
import type { KubeObject } from './object.ts';
import type { Shape } from './patch/shape.ts';
import type { JsonObject } from './patch/value.ts';
import type { CustomColumns } from './structural/columns.ts';

export interface CustomBehavior {
  readonly listKind: string;
  /** Of all that documents are made of: equal digests, equal documents. */
  readonly digest: string;
  /** For server-side apply. */
  readonly shape: Shape;
  readonly columns: CustomColumns;
  /** Paths (`spec.color`) that field selectors may name. */
  readonly selectable: readonly string[];
  readonly scale: CustomResourceSubresourceScale | undefined;
  /** For a Warning header of every answer, when the version is deprecated. */
  readonly deprecation: string | undefined;

  /** A copy without what the schema does not know, which is listed as of lib/api/schema.ts. BadRequest: malformed metadata. */
  decode(value: unknown): { object: KubeObject; unknown: string[] };
  /** Of an object of this version as the store has it: pruned and defaulted by today's schema; itself when nothing changed. */
  fromStorage<T extends object>(object: T): T;
  /** Of an object that was converted to this version: pruned, not defaulted; itself when nothing changed. */
  fromOtherVersion<T extends object>(object: T): T;
  /** In place. */
  applyDefaults(object: KubeObject): void;
  /** Metadata has been validated by the rules common to all kinds. [] = valid. */
  validateCreate(object: KubeObject): FieldError[];
  validateUpdate(next: KubeObject, previous: KubeObject, subresource?: string): FieldError[];
  /** Components (v3) or definitions (v2) of the kind and its list, by name. */
  openApi(version: 'v2' | 'v3'): JsonObject;
  readonly componentName: string;
  readonly listComponentName: string;
}
