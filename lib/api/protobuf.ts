import type { KubeObject } from './object.ts';

export function decodeProtobuf(bytes: Uint8Array): { apiVersion: string; kind: string; object: KubeObject } {
  throw new Error(`not yet ${bytes.length}`);
}
export function encodeProtobuf(object: KubeObject): Buffer {
  throw new Error(`not yet ${object.kind}`);
}
