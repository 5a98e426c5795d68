/**
 * How this server keeps Secrets, and the keys of service account tokens: sealed in etcd, by keys in `<home>/pki/secrets.keys`
 * (0600, made at the first start). One server of the cluster leads rotations, which `berth secrets rotate` asks for.
 */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type Ctx, realRandom, Scope } from '#lib/base';
import { lead } from '#lib/controller';
import {
  LEADER_PREFIX,
  LocalSealer,
  resourcePrefix,
  runRotations,
  SEALING_PREFIX,
  SealedStore,
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
  readonly leaseSeconds?: number | undefined;
}

/** The store to be used by everybody else in this process. What goes on in the background ends with `scope`. */
export async function openSealing(o: SealingOptions, scope: Scope, c: Ctx): Promise<SealedStore> {
  const { store } = o;
  const memberId = `${hostname()}-${process.pid}-${realRandom.hex(MEMBER_SUFFIX_BYTES)}`;
  const options = { store, path: o.keyPath, memberId, random: realRandom, log: c.log, leaseSeconds: o.leaseSeconds };
  const sealer = scope.own(await LocalSealer.open(options, c));
  scope.spawn('keys of Secrets', (signal) => sealer.run({ ...c, signal }));
  scope.spawn('rotations', (signal) =>
    lead(
      {
        admin: store.admin,
        key: `${LEADER_PREFIX}sealing`,
        identity: memberId,
        ttlSeconds: LEASE_SECONDS,
        random: realRandom,
        start: async ({ fence, signal: term }) => {
          const led = new Scope('rotations', term);
          const rotation = { store, sealer, prefixes: SEALED_PREFIXES, fence };
          led.spawn('rotate', (s) => runRotations(rotation, { ...c, signal: s }));
          return led;
        },
      },
      { ...c, signal },
    ),
  );
  return new SealedStore({
    store,
    sealer,
    prefixes: SEALED_PREFIXES,
    wakePrefix: SEALING_PREFIX,
    onChange: () => sealer.wake(),
  });
}
