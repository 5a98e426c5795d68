/**
 * The KMS v2 plugin protocol as data: three calls over a unix socket (k8s.io/kms apis/v2; KEP-3299). Field names and numbers are
 * the protocol; a .proto file of four messages would have to travel beside the bundle.
 */
import type { MethodDefinition } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';

export const KMS_SERVICE = 'v2.KeyManagementService';

export interface StatusResponse {
  readonly version: string;
  readonly healthz: string;
  readonly key_id: string;
}

export interface EncryptRequest {
  readonly plaintext: Buffer;
  readonly uid: string;
}

export interface EncryptResponse {
  readonly ciphertext: Buffer;
  readonly key_id: string;
  readonly annotations: Readonly<Record<string, Buffer>>;
}

export interface DecryptRequest extends EncryptResponse {
  readonly uid: string;
}

export interface DecryptResponse {
  readonly plaintext: Buffer;
}

export type KmsService = {
  readonly Status: MethodDefinition<object, StatusResponse>;
  readonly Encrypt: MethodDefinition<EncryptRequest, EncryptResponse>;
  readonly Decrypt: MethodDefinition<DecryptRequest, DecryptResponse>;
};

const text = (id: number): object => ({ type: 'string', id });
const bytes = (id: number): object => ({ type: 'bytes', id });
const byteMap = (id: number): object => ({ keyType: 'string', type: 'bytes', id });
const method = (name: string): object => ({ requestType: `${name}Request`, responseType: `${name}Response` });

export function kmsService(): KmsService {
  const definition = fromJSON(
    {
      nested: {
        v2: {
          nested: {
            KeyManagementService: {
              methods: { Status: method('Status'), Encrypt: method('Encrypt'), Decrypt: method('Decrypt') },
            },
            StatusRequest: { fields: {} },
            StatusResponse: { fields: { version: text(1), healthz: text(2), key_id: text(3) } },
            EncryptRequest: { fields: { plaintext: bytes(1), uid: text(2) } },
            EncryptResponse: { fields: { ciphertext: bytes(1), key_id: text(2), annotations: byteMap(3) } },
            DecryptRequest: {
              fields: { ciphertext: bytes(1), uid: text(2), key_id: text(3), annotations: byteMap(4) },
            },
            DecryptResponse: { fields: { plaintext: bytes(1) } },
          },
        },
      },
    } as Parameters<typeof fromJSON>[0],
    { keepCase: true, defaults: true, objects: true },
  );
  return definition[KMS_SERVICE] as unknown as KmsService;
}
