/**
 * A KMS plugin, dialled at its unix socket. What it answers is checked before it is used: it is another program, and what it
 * says is stored beside every value. Limits are those of Kubernetes (apiserver, storage/value/encrypt/envelope/kmsv2).
 */
import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import { type Ctx, raceAbort, StatusError } from '#lib/base';
import {
  type DecryptRequest,
  type DecryptResponse,
  type EncryptRequest,
  type EncryptResponse,
  kmsService,
  type StatusResponse,
} from './protocol.ts';

const TIMEOUT_MS = 3_000;
const KEY_ID_BYTES_MAX = 1_024;
const CIPHERTEXT_BYTES_MAX = 1_024;
const ANNOTATIONS_BYTES_MAX = 32 * 1_024;
const VERSIONS: readonly string[] = ['v2', 'v2beta1'];
/** A fully qualified name, as Kubernetes asks of annotations' keys. */
const DOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+\.?$/;

export interface WrappedKey {
  readonly ciphertext: Buffer;
  readonly keyId: string;
  readonly annotations: Readonly<Record<string, Buffer>>;
}

export interface KmsPlugin extends AsyncDisposable {
  readonly endpoint: string;
  /** The key that `encrypt` uses now. Throws Unavailable when the plugin is not healthy or does not answer. */
  keyId(c: Ctx): Promise<string>;
  encrypt(plaintext: Buffer, uid: string, c: Ctx): Promise<WrappedKey>;
  decrypt(wrapped: WrappedKey, uid: string, c: Ctx): Promise<Buffer>;
}

/** `endpoint`: `unix:///run/kms.sock`, or `unix:///@name` for an abstract socket. Throws Invalid for anything else. */
export function connectKms(o: { endpoint: string; timeoutMs?: number | undefined }): KmsPlugin {
  const path = /^unix:\/\/(\/.+)$/.exec(o.endpoint)?.[1];
  if (path === undefined)
    throw new StatusError('Invalid', `${o.endpoint}: a KMS plugin is named by its socket, as in unix:///run/kms.sock`);
  const target = path.startsWith('/@') ? `unix-abstract:${path.slice(2)}` : `unix:${path}`;
  return new GrpcPlugin(o.endpoint, target, o.timeoutMs ?? TIMEOUT_MS);
}

class GrpcPlugin implements KmsPlugin {
  readonly endpoint: string;
  readonly #timeoutMs: number;
  readonly #client: Client;
  readonly #service = kmsService();

  constructor(endpoint: string, target: string, timeoutMs: number) {
    this.endpoint = endpoint;
    this.#timeoutMs = timeoutMs;
    this.#client = new Client(target, credentials.createInsecure(), {
      'grpc.enable_channelz': 0,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 2_000,
      'grpc.max_receive_message_length': 1024 * 1024,
      'grpc.default_authority': 'localhost',
    });
  }

  async keyId(c: Ctx): Promise<string> {
    const { version, healthz, key_id: keyId } = await this.#call<object, StatusResponse>('Status', {}, c);
    if (!VERSIONS.includes(version)) throw this.#wrong(`speaks version "${version}" of the protocol, not v2`);
    if (healthz !== 'ok') throw new StatusError('Unavailable', `the KMS plugin at ${this.endpoint} says "${healthz}"`);
    return this.#checkedKeyId(keyId);
  }

  async encrypt(plaintext: Buffer, uid: string, c: Ctx): Promise<WrappedKey> {
    const answer = await this.#call<EncryptRequest, EncryptResponse>('Encrypt', { plaintext, uid }, c);
    const { ciphertext, annotations } = answer;
    if (ciphertext.byteLength === 0 || ciphertext.byteLength > CIPHERTEXT_BYTES_MAX)
      throw this.#wrong(
        `gave a ciphertext of ${ciphertext.byteLength} bytes; 1 to ${CIPHERTEXT_BYTES_MAX} are allowed`,
      );
    let size = 0;
    for (const [name, value] of Object.entries(annotations)) {
      if (name.length > 253 || !DOMAIN.test(name))
        throw this.#wrong(`gave an annotation "${name}": no qualified domain name`);
      size += name.length + value.byteLength;
    }
    if (size > ANNOTATIONS_BYTES_MAX) throw this.#wrong(`gave ${size} bytes of annotations`);
    return { ciphertext, keyId: this.#checkedKeyId(answer.key_id), annotations };
  }

  async decrypt(wrapped: WrappedKey, uid: string, c: Ctx): Promise<Buffer> {
    const { ciphertext, keyId, annotations } = wrapped;
    const request = { ciphertext, uid, key_id: keyId, annotations };
    return (await this.#call<DecryptRequest, DecryptResponse>('Decrypt', request, c)).plaintext;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
  }

  #call<Q, A>(name: 'Status' | 'Encrypt' | 'Decrypt', request: Q, c: Ctx): Promise<A> {
    const { path, requestSerialize, responseDeserialize } = this.#service[name] as unknown as {
      path: string;
      requestSerialize: (q: Q) => Buffer;
      responseDeserialize: (b: Buffer) => A;
    };
    const deadline = c.clock.now() + this.#timeoutMs;
    const answer = new Promise<A>((resolve, reject) => {
      const options = { deadline, waitForReady: true };
      this.#client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, options, (e, value) => {
        if (value === undefined) reject(this.#failed(name, e));
        else resolve(value);
      });
    });
    return raceAbort(answer, c.signal);
  }

  #checkedKeyId(keyId: string): string {
    const size = Buffer.byteLength(keyId);
    if (size === 0 || size > KEY_ID_BYTES_MAX) throw this.#wrong(`gave a key_id of ${size} bytes`);
    return keyId;
  }

  #failed(name: string, e: ServiceError | null): StatusError {
    const why = e?.details ?? 'no answer';
    return new StatusError('Unavailable', `${name} at the KMS plugin ${this.endpoint} failed: ${why}`, { cause: e });
  }

  #wrong(what: string): StatusError {
    return new StatusError('Internal', `the KMS plugin at ${this.endpoint} ${what}`);
  }
}
