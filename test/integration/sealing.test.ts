import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { type Ctx, type Logger, realClock, realRandom, Scope } from '#lib/base';
import { MemoryBus } from '#lib/bus';
import { InProcessClient, type UserInfo } from '#lib/client';
import {
  decodeRecord,
  EtcdStore,
  isRotating,
  SEALING_RECORD_KEY,
  type SealedStore,
  type Store,
  sealedWith,
} from '#lib/store';
import { printStatus, rotate } from '../../cli/commands/secrets.ts';
import { openSealing, SEALED_PREFIXES } from '../../cli/secrets-sealing.ts';
import { context, storeConformance } from '../../lib/store/conformance.ts';
import { Replica } from '../../lib/store/sealing/testing.ts';
import { startApiServer } from '../../services/apiserver/main.ts';
import { startEventCopies } from '../../services/events/main.ts';
import { startEtcd, type TestEtcd } from '../harness/etcd.ts';
import { CuttingProxy } from '../harness/proxy.ts';

const ADMIN: UserInfo = { name: 'admin', groups: ['system:masters', 'system:authenticated'] };
const SECRETS = '/registry/core/secrets/';
const value = (text: string): Buffer => Buffer.from(text);

storeConformance('etcd, every value sealed', async () => {
  const etcd = await startEtcd();
  const folder = await mkdtemp(join(tmpdir(), 'berth-sealing-'));
  const c = context();
  const store = await EtcdStore.open({ endpoints: [etcd.endpoint] }, c);
  const replica = await Replica.open({ store, path: join(folder, 'keys'), prefixes: ['/'] }, c);
  return {
    store: replica.sealed,
    async [Symbol.asyncDispose]() {
      await replica[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      await etcd[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
});

describe('sealing on etcd', () => {
  let etcd: TestEtcd;
  let folder: string;
  let scope: Scope;
  let c: Ctx;
  const lines: string[] = [];

  beforeEach(async () => {
    etcd = await startEtcd();
    folder = await mkdtemp(join(tmpdir(), 'berth-sealing-'));
    scope = new Scope('test');
    lines.length = 0;
    c = { signal: scope.signal, clock: realClock, log: recorder() };
  });
  afterEach(async () => {
    await scope[Symbol.asyncDispose]();
    await etcd[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  /** Every line at every level, with its fields as they would be written. */
  function recorder(): Logger {
    const line = (fields: object, message: string): void => {
      const text = JSON.stringify(fields, (_, v: unknown) =>
        v instanceof Error
          ? { message: v.message, stack: v.stack, cause: v.cause }
          : typeof v === 'bigint'
            ? `${v}`
            : v,
      );
      lines.push(`${message} ${text}`);
    };
    return { error: line, warn: line, info: line, debug: line, child: () => recorder() };
  }

  async function raw(): Promise<EtcdStore> {
    return scope.own(await EtcdStore.open({ endpoints: [etcd.endpoint] }, c));
  }

  async function replica(host: string): Promise<SealedStore> {
    const options = { store: await raw(), keyPath: join(folder, host), leaseSeconds: 2 };
    return (await openSealing(options, scope, c)).store;
  }

  async function apiServer(store: Store): Promise<InProcessClient> {
    const api = scope.own(
      await startApiServer({
        store,
        clock: realClock,
        random: realRandom,
        log: c.log,
        listen: [],
        config: {
          serviceCidr: '10.43.0.0/16',
          advertise: { address: '192.0.2.1', port: 6443 },
          serviceAccountWaitMs: 0,
        },
      }),
    );
    return new InProcessClient({ handler: api.handler, user: ADMIN });
  }

  async function isIdle(store: Store): Promise<boolean> {
    const entry = await store.get(SEALING_RECORD_KEY, c);
    return entry !== undefined && !isRotating(decodeRecord(entry.value));
  }

  test('bodies of Secrets are in clear in no value of etcd, no log line at any level, no message of the bus and no error', async () => {
    const store = await raw();
    const client = await apiServer(await replica('one'));
    const bus = new MemoryBus();
    bus.subscribe('berth.>', (m) => lines.push(`bus ${m.subject} ${Buffer.from(m.data).toString('latin1')}`));
    scope.own(await startEventCopies({ client, bus, clock: realClock, random: realRandom, log: c.log }));
    const secret = 'c0rrect-h0rse-battery';
    const data = { password: Buffer.from(secret).toString('base64') };
    const metadata = { name: 'a', namespace: 'default' };
    const made = await client.create(Kinds.secrets, { metadata, data }, c);
    await client.create(Kinds.configmaps, { metadata, data: { seen: 'in-the-clear' } }, c);
    const involvedObject = { kind: 'Secret', namespace: 'default', name: 'a', uid: made.metadata.uid ?? '' };
    const reporting = { reportingComponent: 'test', reportingInstance: 'test' };
    const event = { involvedObject, reason: 'Made', message: 'a Secret was made', type: 'Normal', ...reporting };
    await expect
      .poll(async () => {
        await client.create(
          Kinds.events,
          { metadata: { namespace: 'default', name: '', generateName: 'made-' }, ...event },
          c,
        );
        return lines.some((l) => l.startsWith('bus '));
      })
      .toBe(true);
    const failures = await Promise.allSettled([
      client.create(Kinds.secrets, { metadata, data }, c),
      client.create(Kinds.secrets, { metadata: { ...metadata, name: 'b' }, type: 'kubernetes.io/tls', data }, c),
      client.update(Kinds.secrets, { ...made, metadata: { ...made.metadata, resourceVersion: '1' } }, c),
      client.update(Kinds.secrets, { ...made, type: secret.toUpperCase(), data: { 'bad key!': data.password } }, c),
    ]);
    expect(failures.map((f) => f.status)).toEqual(['rejected', 'rejected', 'rejected', 'rejected']);
    await rotate(store, { limitMs: 20_000, out: { write: (text: string) => lines.push(text) }, mode: 'local' }, c);
    await printStatus(store, { write: (text: string) => lines.push(text) }, c);
    await client.delete(Kinds.secrets, { name: 'a', namespace: 'default' }, {}, c);
    const told = failures.map((f) =>
      f.status === 'rejected' ? `${String(f.reason)} ${JSON.stringify(f.reason)}` : '',
    );
    for (const clear of [secret, data.password]) {
      for (const text of [...lines, ...told]) expect(text).not.toContain(clear);
      for (const e of (await store.list('/', {}, c)).entries)
        expect(`${e.key} ${e.value.toString('latin1')}`).not.toContain(clear);
    }
    expect((await store.list('/', {}, c)).entries.some((e) => e.value.includes('in-the-clear'))).toBe(true);
    expect(lines.length).toBeGreaterThan(5);
  });

  test('two API servers: Secrets go on being written and watched at both while keys are rotated twice', async () => {
    const store = await raw();
    const one = await apiServer(await replica('one'));
    await copyFile(join(folder, 'one'), join(folder, 'two'));
    const two = await apiServer(await replica('two'));
    let isOver = false;
    let writes = 0;
    const writer = async (client: InProcessClient, name: string): Promise<string> => {
      const metadata = { name, namespace: 'default' };
      let last = '';
      await client.create(Kinds.secrets, { metadata, stringData: { n: '0' } }, c);
      for (let n = 1; !isOver; n++) {
        last = `${name}-${n}`;
        const body = { data: { n: Buffer.from(last).toString('base64') } };
        await client.patch(Kinds.secrets, metadata, { type: 'merge', body }, c);
        writes++;
      }
      return Buffer.from(last).toString('base64');
    };
    const names = ['a', 'b', 'c', 'd'];
    const writers = names.map((n, i) => writer(i % 2 === 0 ? one : two, n));
    for (let i = 0; i < 2; i++) await rotate(store, { limitMs: 30_000, out: { write: () => true }, mode: 'local' }, c);
    isOver = true;
    const last = await Promise.all(writers);
    expect(writes).toBeGreaterThan(20);
    for (const client of [one, two])
      for (const [i, name] of names.entries())
        expect((await client.get(Kinds.secrets, { name, namespace: 'default' }, c)).data?.['n']).toBe(last[i]);
    const record = decodeRecord((await store.get(SEALING_RECORD_KEY, c))?.value ?? value(''));
    expect(record.keys.map((k) => k.phase)).toEqual(['retired', 'retired', 'sealing']);
    expect([...(await sealedWith(store, SEALED_PREFIXES, c)).keys()]).toEqual([record.last?.keyId]);
    expect(lines.filter((l) => l.startsWith('the store watch failed'))).toEqual([]);
    for (const host of ['one', 'two']) expect((await stat(join(folder, host))).mode & 0o777).toBe(0o600);
    expect((await readdir(folder)).sort()).toEqual(['one', 'two']);
  });

  test('a leader that is killed in the middle of a rotation: the next one ends it, and every value is there', async () => {
    const store = await raw();
    // Far from etcd: its rotation takes seconds, however late it is looked at here.
    await using road = await CuttingProxy.start(Number(new URL(etcd.endpoint).port), { delayMs: 50 });
    const leader = await startReplica(`http://127.0.0.1:${road.port}`, join(folder, 'one'));
    try {
      await copyFile(join(folder, 'one'), join(folder, 'two'));
      const count = 3_000;
      const sealed = await replica('two'); // not leading: `one` does
      await Promise.all(
        Array.from({ length: count }, (_, i) => sealed.create(`${SECRETS}default/s${i}`, value(`v${i}`), {}, c)),
      );
      const [[oldKey = ''] = []] = await sealedWith(store, SEALED_PREFIXES, c);
      const ended = rotate(store, { limitMs: 50_000, out: { write: () => true }, mode: 'local' }, c);
      await expect
        .poll(async () => (await sealedWith(store, SEALED_PREFIXES, c)).get(oldKey) ?? 0, { interval: 1 })
        .toBeLessThan(count);
      leader.kill('SIGKILL');
      const left = (await sealedWith(store, SEALED_PREFIXES, c)).get(oldKey) ?? 0;
      expect(left).toBeGreaterThan(0);
      await ended;
      const keys = [...(await sealedWith(store, SEALED_PREFIXES, c))];
      expect(keys.map(([, n]) => n)).toEqual([count]);
      expect(keys[0]?.[0]).not.toBe(oldKey);
      for (const e of (await sealed.list(SECRETS, {}, c)).entries)
        expect(e.value.toString()).toBe(`v${e.key.slice(`${SECRETS}default/s`.length)}`);
      expect(await isIdle(store)).toBe(true);
    } finally {
      leader.kill('SIGKILL');
    }
  });

  test('a server without the key refuses to start, says which file to copy, and shows no Secret', async () => {
    const one = await replica('one');
    await one.create(`${SECRETS}default/a`, value('x'), {}, c);
    await expect(replica('two')).rejects.toThrow(/Copy the key file of a server that runs/);
  });
});

async function startReplica(endpoint: string, keyPath: string): Promise<ChildProcess> {
  const script = fileURLToPath(new URL('./sealing/replica.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', script, endpoint, keyPath], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}
