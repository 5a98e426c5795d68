import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadPackageDefinition, Server, ServerCredentials, type ServiceClientConstructor } from '@grpc/grpc-js';
import { load } from '@grpc/proto-loader';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Ctx, realRandom, silentLogger, VirtualClock } from '#lib/base';
import { decodeRecord, encodeRecord, MemoryStore, SealedStore, sealedWith } from '#lib/store';
import { Replica } from '../store/sealing/testing.ts';
import { KmsSealer } from './kms-sealer.ts';
import { connectKms, type KmsPlugin } from './plugin.ts';
import { KMS_RECORD_KEY, kmsRotationStep } from './rotation.ts';

/** As the protocol is published; the client has it as data. */
const PROTO = `syntax = "proto3";
package v2;
service KeyManagementService {
  rpc Status(StatusRequest) returns (StatusResponse) {}
  rpc Decrypt(DecryptRequest) returns (DecryptResponse) {}
  rpc Encrypt(EncryptRequest) returns (EncryptResponse) {}
}
message StatusRequest {}
message StatusResponse { string version = 1; string healthz = 2; string key_id = 3; }
message DecryptRequest { bytes ciphertext = 1; string uid = 2; string key_id = 3; map<string, bytes> annotations = 4; }
message DecryptResponse { bytes plaintext = 1; }
message EncryptRequest { bytes plaintext = 1; string uid = 2; }
message EncryptResponse { bytes ciphertext = 1; string key_id = 2; map<string, bytes> annotations = 3; }
`;
const SECRETS = '/registry/core/secrets/';
const value = (text: string): Buffer => Buffer.from(text);

/** A plugin of its own, with a key for each key_id; what it says can be bent. */
class FakePlugin {
  keyId = 'kek-1';
  status: { version?: string; healthz?: string; key_id?: string } = {};
  encryptAnswer: { ciphertext?: Buffer; key_id?: string; annotations?: Record<string, Buffer> } = {};
  isDecrypting = true;
  decryptAnswer: Buffer | undefined;
  readonly calls = { Status: 0, Encrypt: 0, Decrypt: 0 };
  readonly uids = new Set<string>();
  readonly #keys = new Map<string, Buffer>();
  #server: Server | undefined;

  async listen(folder: string, socket: string): Promise<void> {
    await writeFile(join(folder, 'kms.proto'), PROTO);
    const types = loadPackageDefinition(await load(join(folder, 'kms.proto'), { keepCase: true, defaults: true }));
    const { KeyManagementService } = types['v2'] as unknown as { KeyManagementService: ServiceClientConstructor };
    this.#server = new Server();
    this.#server.addService(KeyManagementService.service, {
      Status: (_: unknown, done: (e: null, answer: object) => void) => {
        this.calls.Status++;
        done(null, { version: 'v2', healthz: 'ok', key_id: this.keyId, ...this.status });
      },
      Encrypt: (call: { request: { plaintext: Buffer; uid: string } }, done: (e: null, answer: object) => void) => {
        this.calls.Encrypt++;
        this.uids.add(call.request.uid);
        const nonce = randomBytes(12);
        const cipher = createCipheriv('aes-256-gcm', this.#key(this.keyId), nonce);
        const body = Buffer.concat([cipher.update(call.request.plaintext), cipher.final(), cipher.getAuthTag()]);
        const annotations = { 'nonce.example.com': nonce };
        done(null, { ciphertext: body, key_id: this.keyId, annotations, ...this.encryptAnswer });
      },
      Decrypt: (
        call: { request: { ciphertext: Buffer; key_id: string; annotations: Record<string, Buffer> } },
        done: (e: { code: number; details: string } | null, answer?: object) => void,
      ) => {
        this.calls.Decrypt++;
        if (this.isDecrypting === false) return done({ code: 14, details: 'restarting' });
        if (this.decryptAnswer !== undefined) return done(null, { plaintext: this.decryptAnswer });
        const { ciphertext, key_id, annotations } = call.request;
        try {
          const nonce = annotations['nonce.example.com'] ?? Buffer.alloc(12);
          const decipher = createDecipheriv('aes-256-gcm', this.#key(key_id), nonce);
          decipher.setAuthTag(ciphertext.subarray(-16));
          const plaintext = Buffer.concat([decipher.update(ciphertext.subarray(0, -16)), decipher.final()]);
          done(null, { plaintext });
        } catch {
          done({ code: 3, details: 'cannot decrypt' });
        }
      },
    });
    await new Promise<void>((resolve, reject) => {
      this.#server?.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (e) => (e ? reject(e) : resolve()));
    });
  }

  stop(): void {
    this.#server?.forceShutdown();
  }

  #key(id: string): Buffer {
    const known = this.#keys.get(id) ?? randomBytes(32);
    this.#keys.set(id, known);
    return known;
  }
}

let folder: string;
let socket: string;
let fake: FakePlugin;
let plugin: KmsPlugin;
let store: MemoryStore;
let clock: VirtualClock;
let c: Ctx;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-kms-'));
  socket = join(folder, 'kms.sock');
  fake = new FakePlugin();
  await fake.listen(folder, socket);
  // gRPC compares deadlines with the wall clock, and the test's own stands still: a busy machine would be beyond them.
  plugin = connectKms({ endpoint: `unix://${socket}`, timeoutMs: 60_000 });
  clock = new VirtualClock(Date.now());
  c = { signal: new AbortController().signal, clock, log: silentLogger };
  store = new MemoryStore({ clock });
});
afterEach(async () => {
  await plugin[Symbol.asyncDispose]();
  fake.stop();
  await rm(folder, { recursive: true, force: true });
});

async function open(): Promise<{ sealer: KmsSealer; sealed: SealedStore }> {
  const sealer = await KmsSealer.open({ plugin, random: realRandom }, c);
  return { sealer, sealed: new SealedStore({ store, sealer, prefixes: [SECRETS] }) };
}

test('kms: many values cost one wrapped key; another server opens them all with one call', async () => {
  const { sealed } = await open();
  for (let i = 0; i < 50; i++) await sealed.create(`${SECRETS}default/s${i}`, value(`v${i}`), {}, c);
  expect(fake.calls).toMatchObject({ Encrypt: 1, Decrypt: 0 });
  const raw = await store.get(`${SECRETS}default/s1`, c);
  expect([raw?.isSealed, raw?.value.includes('v1')]).toEqual([true, false]);
  const other = await open();
  const pages = await Promise.all([1, 2, 3].map(() => other.sealed.list(SECRETS, {}, c)));
  for (const { entries } of pages) expect(entries.find((e) => e.key.endsWith('/s7'))?.value.toString()).toBe('v7');
  expect(fake.calls).toMatchObject({ Encrypt: 2, Decrypt: 1 });
  expect(fake.uids.size).toBe(2);
});

test('kms: a new key_id gives a new data key; a rotation seals everything under it, once', async () => {
  const { sealer, sealed } = await open();
  await store.create(`${SECRETS}default/plain`, value('p'), {}, c);
  for (let i = 0; i < 5; i++) await sealed.create(`${SECRETS}default/s${i}`, value(`v${i}`), {}, c);
  fake.keyId = 'kek-2';
  const o = { store, sealer, prefixes: [SECRETS] };
  expect(await kmsRotationStep(o, c)).toBe(false);
  for (const resealed of [6, 0]) {
    const known = await store.get(KMS_RECORD_KEY, c);
    const asked = encodeRecord({ version: 1, keys: [], requestedAtMs: 1 });
    if (known === undefined) await store.create(KMS_RECORD_KEY, asked, {}, c);
    else await store.update(KMS_RECORD_KEY, asked, known.revision, {}, c);
    expect(await kmsRotationStep(o, c)).toBe(true);
    const { last } = decodeRecord((await store.get(KMS_RECORD_KEY, c))?.value ?? value(''));
    expect(last).toMatchObject({ keyId: 'kek-2', resealed });
  }
  expect(await sealedWith(store, [SECRETS], c)).toEqual(new Map([['kms', 6]]));
  expect((await sealed.get(`${SECRETS}default/plain`, c))?.value.toString()).toBe('p');
});

test('kms: values of the key file from before are opened, and sealed under the plugin at the next rotation', async () => {
  const real = { ...c };
  await using before = await Replica.open({ store, path: join(folder, 'keys'), prefixes: [SECRETS] }, real);
  await before.sealed.create(`${SECRETS}default/a`, value('a'), {}, c);
  const { sealed: alone } = await open();
  await expect(alone.get(`${SECRETS}default/a`, c)).rejects.toThrow(/of a key file, and this server has none/);
  const sealer = await KmsSealer.open({ plugin, local: before.sealer, random: realRandom }, c);
  const sealed = new SealedStore({ store, sealer, prefixes: [SECRETS] });
  expect((await sealed.get(`${SECRETS}default/a`, c))?.value.toString()).toBe('a');
  await store.create(KMS_RECORD_KEY, encodeRecord({ version: 1, keys: [], requestedAtMs: 1 }), {}, c);
  await kmsRotationStep({ store, sealer, prefixes: [SECRETS] }, c);
  expect((await alone.get(`${SECRETS}default/a`, c))?.value.toString()).toBe('a');
});

test('kms: an unhealthy plugin fails readyz at once and writes after three minutes; what was opened is still read', async () => {
  const { sealer, sealed } = await open();
  const made = await sealed.create(`${SECRETS}default/a`, value('1'), {}, c);
  fake.status = { healthz: 'the vault is sealed' };
  await expect(sealer.refresh(c)).rejects.toThrow(/says "the vault is sealed"/);
  expect(() => sealer.requireHealthy()).toThrow(/the vault is sealed/);
  const second = await sealed.update(`${SECRETS}default/a`, value('2'), made.revision, {}, c);
  await clock.advance(181_000);
  await expect(sealed.update(`${SECRETS}default/a`, value('3'), second.revision, {}, c)).rejects.toMatchObject({
    kind: 'Unavailable',
  });
  expect((await sealed.get(`${SECRETS}default/a`, c))?.value.toString()).toBe('2');
  fake.status = {};
  await sealed.update(`${SECRETS}default/a`, value('3'), second.revision, {}, c);
  expect(() => sealer.requireHealthy()).not.toThrow();
});

test('kms: what a plugin may not answer is refused', async () => {
  const key = randomBytes(32);
  for (const [answer, why] of [
    [{ key_id: '' }, /key_id of 0 bytes/],
    [{ key_id: 'x'.repeat(1_025) }, /key_id of 1025 bytes/],
    [{ ciphertext: Buffer.alloc(0) }, /ciphertext of 0 bytes/],
    [{ ciphertext: Buffer.alloc(1_025) }, /ciphertext of 1025 bytes/],
    [{ annotations: { plain: Buffer.alloc(1) } }, /annotation "plain"/],
    [{ annotations: { 'a.example.com': Buffer.alloc(33_000) } }, /bytes of annotations/],
  ] as const) {
    fake.encryptAnswer = answer;
    await expect(plugin.encrypt(key, 'u', c)).rejects.toThrow(why);
  }
  for (const [answer, why] of [
    [{ version: 'v1' }, /version "v1"/],
    [{ healthz: '' }, /says ""/],
    [{ key_id: '' }, /key_id of 0 bytes/],
  ] as const) {
    fake.status = answer;
    await expect(plugin.keyId(c)).rejects.toThrow(why);
    await expect(open()).rejects.toThrow(why);
  }
  expect(() => connectKms({ endpoint: 'https://kms:443' })).toThrow(/unix:\/\/\/run\/kms.sock/);
});

test('kms: a plugin that is not there is told, in time', async () => {
  await using away = connectKms({ endpoint: `unix://${folder}/none.sock`, timeoutMs: 200 });
  await expect(away.keyId(c)).rejects.toMatchObject({ kind: 'Unavailable' });
});

test('kms: a plugin that is away for a moment does not end a watch, and one that lied once is believed again', async () => {
  const one = await open();
  const other = await open();
  const events: string[] = [];
  const watching = (async () => {
    for await (const batch of other.sealed.watch(await other.sealed.currentRevision(c), c))
      for (const e of batch) if (e.type === 'put') events.push(e.entry.value.toString());
  })();
  watching.catch(() => undefined);
  fake.isDecrypting = false;
  await one.sealed.create(`${SECRETS}default/a`, value('a'), {}, c);
  await expect.poll(() => fake.calls.Decrypt).toBe(1);
  fake.isDecrypting = true;
  await expect
    .poll(async () => {
      await clock.advance(500);
      return events;
    })
    .toEqual(['a']);
  const third = await open();
  fake.decryptAnswer = randomBytes(32);
  await expect(third.sealed.get(`${SECRETS}default/a`, c)).rejects.toMatchObject({ kind: 'Internal' });
  fake.decryptAnswer = undefined;
  expect((await third.sealed.get(`${SECRETS}default/a`, c))?.value.toString()).toBe('a');
});
