/**
 * How this server keeps Secrets, and the keys of service account tokens: sealed in etcd, by keys in `<home>/pki/secrets.keys`
 * (0600, made at the first start), or by a KMS plugin. One server of the cluster leads rotations, which `berth secrets rotate`
 * asks for.
 */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type Ctx, realRandom, Scope } from '#lib/base';
import { lead } from '#lib/controller';
import { connectKms, KmsSealer, runKmsRotations } from '#lib/kms';
import {
  type Fence,
  LEADER_PREFIX,
  LocalSealer,
  resourcePrefix,
  runRotations,
  SEALING_PREFIX,
  SEALING_RECORD_KEY,
  SealedStore,
  type Sealer,
  type Store,
} from '#lib/store';
import { type ClusterLayout, pkiFolder } from './layout.ts';

const LEASE_SECONDS = 5;
const MEMBER_SUFFIX_BYTES = 4;

/** What lies below these is sealed. */
export const SEALED_PREFIXES: readonly string[] = [
  resourcePrefix({ group: '', resource: 'secrets' }),
  '/berth/service-account-keys',
];

export function secretsKeyPath(layout: Pick<ClusterLayout, 'home'>): string {
  return join(pkiFolder(layout), 'secrets.keys');
}

export interface SealingOptions {
  /** The unsealed one: etcd. */
  readonly store: Store;
  readonly keyPath: string;
  readonly kms?: ClusterLayout['kms'];
  readonly leaseSeconds?: number | undefined;
}

export interface Sealing {
  /** To be used by everybody else in this process. */
  readonly store: SealedStore;
  /** For /readyz. */
  readonly checks: readonly { readonly name: string; readonly isLiveness: false; check(): void }[];
}

/** What goes on in the background ends with `scope`. */
export async function openSealing(o: SealingOptions, scope: Scope, c: Ctx): Promise<Sealing> {
  if (o.kms === undefined) {
    const local = await openLocal(o, scope, c);
    const rotation = { store: o.store, sealer: local, prefixes: SEALED_PREFIXES };
    leadRotations(o, (fence, ctx) => runRotations({ ...rotation, fence }, ctx), scope, c);
    return { store: sealedStore(o.store, local, local), checks: [] };
  }
  // Values of the key file from before the plugin.
  const hadKeys = (await o.store.get(SEALING_RECORD_KEY, c)) !== undefined;
  const local = hadKeys ? await openLocal(o, scope, c) : undefined;
  const plugin = scope.own(connectKms(o.kms));
  const sealer = await KmsSealer.open({ plugin, local, random: realRandom }, c);
  scope.spawn('kms', (signal) => sealer.run({ ...c, signal }));
  const rotation = { store: o.store, sealer, prefixes: SEALED_PREFIXES };
  leadRotations(o, (fence, ctx) => runKmsRotations({ ...rotation, fence }, ctx), scope, c);
  const check = { name: 'kms-providers', isLiveness: false as const, check: () => sealer.requireHealthy() };
  return { store: sealedStore(o.store, sealer, local), checks: [check] };
}

async function openLocal(o: SealingOptions, scope: Scope, c: Ctx): Promise<LocalSealer> {
  const { store, keyPath: path, leaseSeconds } = o;
  const memberId = `${hostname()}-${process.pid}-${realRandom.hex(MEMBER_SUFFIX_BYTES)}`;
  const options = { store, path, memberId, random: realRandom, log: c.log, leaseSeconds };
  const sealer = scope.own(await LocalSealer.open(options, c));
  scope.spawn('keys of Secrets', (signal) => sealer.run({ ...c, signal }));
  return sealer;
}

function sealedStore(store: Store, sealer: Sealer, local: LocalSealer | undefined): SealedStore {
  const onChange = (): void => local?.wake();
  return new SealedStore({ store, sealer, prefixes: SEALED_PREFIXES, wakePrefix: SEALING_PREFIX, onChange });
}

function leadRotations(o: SealingOptions, run: (fence: Fence, c: Ctx) => Promise<void>, scope: Scope, c: Ctx): void {
  const election = {
    admin: o.store.admin,
    key: `${LEADER_PREFIX}sealing`,
    identity: `${hostname()}-${process.pid}`,
    ttlSeconds: LEASE_SECONDS,
    random: realRandom,
  };
  const start = async ({ fence, signal }: { fence: Fence; signal: AbortSignal }): Promise<AsyncDisposable> => {
    const led = new Scope('rotations', signal);
    led.spawn('rotate', (own) => run(fence, { ...c, signal: own }));
    return led;
  };
  scope.spawn('rotations', (signal) => lead({ ...election, start }, { ...c, signal }));
}
