// Made by tools/generate-api.ts from the fact tables; do not edit.


export interface TypeMeta {
  apiVersion?: string | undefined;
  kind?: string | undefined;
}
export type RawExtension = unknown;
export type Unknown = unknown;
