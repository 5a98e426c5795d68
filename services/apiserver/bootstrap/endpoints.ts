/**
 * The endpoints of the service `kubernetes`: the advertised addresses of all replicas that live. Each replica renews a Lease
 * in kube-system that holds its address, and whoever notices a difference writes the endpoints; a replica that stops takes
 * its address away, one that dies loses it with its lease. Source: pkg/controlplane/reconcilers/lease.go.
 */
import {
  apiVersionOf,
  type DeepReadonly,
  type KindRef,
  Kinds,
  type KubeObject,
  type Lease,
  type ObjectKey,
} from '#lib/api';
import { type Ctx, isKind, microTimeText } from '#lib/base';
import type { Client } from '#lib/client';

const RENEW_MS = 10_000;
const LEASE_SECONDS = 30;
const NAMESPACE = 'kube-system';
const IDENTITY_LABEL = 'apiserver.kubernetes.io/identity';
const IDENTITY = 'kube-apiserver';
const SERVICE: ObjectKey = { namespace: 'default', name: 'kubernetes' };

export interface Advertised {
  readonly address: string;
  readonly port: number;
}

export class EndpointsKeeper {
  readonly #client: Client;
  readonly #self: Advertised;
  readonly #leaseName: string;
  #hasLeft = false;

  constructor(o: { client: Client; self: Advertised }) {
    this.#client = o.client;
    this.#self = o.self;
    this.#leaseName = `apiserver-${o.self.address.replace(/[^0-9a-z]/gi, '-')}-${o.self.port}`.toLowerCase();
  }

  /** Once at start, so that the endpoints are right before the server is ready. */
  async announce(c: Ctx): Promise<void> {
    if (this.#hasLeft) return;
    await this.#renew(c);
    await this.#reconcile(c, true);
  }

  async run(c: Ctx): Promise<void> {
    for (;;) {
      await c.clock.sleep(RENEW_MS, c.signal);
      try {
        await this.announce(c);
      } catch (e) {
        if (c.signal.aborted) throw e;
        c.log.warn({ err: e }, 'keeping the endpoints of `kubernetes` failed; tried again');
      }
    }
  }

  /** The last replica leaves its address: there is nobody who could serve instead. */
  async leave(c: Ctx): Promise<void> {
    this.#hasLeft = true;
    await this.#client.delete(Kinds.leases, { namespace: NAMESPACE, name: this.#leaseName }, {}, c);
    await this.#reconcile(c, false);
  }

  async #renew(c: Ctx): Promise<void> {
    const metadata = { namespace: NAMESPACE, name: this.#leaseName };
    const renewTime = microTimeText(c.clock.now());
    const spec = { holderIdentity: identityOf(this.#self), leaseDurationSeconds: LEASE_SECONDS, renewTime };
    try {
      await this.#client.patch(Kinds.leases, metadata, { type: 'merge', body: { spec } }, c);
    } catch (e) {
      if (!isKind(e, 'NotFound')) throw e;
      const labels = { [IDENTITY_LABEL]: IDENTITY };
      await this.#client.create<Lease>(Kinds.leases, { metadata: { ...metadata, labels }, spec }, c);
    }
  }

  async #reconcile(c: Ctx, withSelf: boolean): Promise<void> {
    const leases = await this.#client.list<Lease>(
      Kinds.leases,
      { namespace: NAMESPACE, labelSelector: `${IDENTITY_LABEL}=${IDENTITY}` },
      c,
    );
    const alive = leases.items.filter((l) => isAlive(l, c.clock.now())).map((l) => l.spec?.holderIdentity ?? '');
    const all = new Set([...alive, ...(withSelf ? [identityOf(this.#self)] : [])]);
    const replicas = [...all].sort().flatMap((text) => advertisedOf(text) ?? []);
    if (replicas.length === 0) return;
    await this.#put(Kinds.endpoints, endpointsOf(replicas), c);
    await this.#put(Kinds.endpointslices, sliceOf(replicas), c);
  }

  /** No-op updates write nothing, so this may run as often as it likes. */
  async #put(kind: KindRef, object: Omit<KubeObject, 'apiVersion' | 'kind'>, c: Ctx): Promise<void> {
    try {
      await this.#client.update(kind, { ...object, apiVersion: apiVersionOf(kind), kind: kind.kind }, c);
    } catch (e) {
      if (!isKind(e, 'NotFound')) throw e;
      await this.#client.create(kind, object, c);
    }
  }
}

function isAlive(lease: DeepReadonly<Lease>, nowMs: number): boolean {
  const { renewTime, leaseDurationSeconds = LEASE_SECONDS } = lease.spec ?? {};
  return nowMs - Date.parse(renewTime ?? '') < leaseDurationSeconds * 1000;
}

function identityOf(a: Advertised): string {
  return `${a.address}:${a.port}`;
}

function advertisedOf(identity: string): Advertised | undefined {
  const colon = identity.lastIndexOf(':');
  const port = Number(identity.slice(colon + 1));
  return colon > 0 && Number.isInteger(port) ? { address: identity.slice(0, colon), port } : undefined;
}

/** One subset or slice has one list of ports: replicas on another port than the first are not in it. */
function onFirstPort(replicas: readonly Advertised[]): { port: number; addresses: string[] } {
  const port = replicas[0]?.port ?? 0;
  return { port, addresses: [...new Set(replicas.filter((r) => r.port === port).map((r) => r.address))] };
}

function endpointsOf(replicas: readonly Advertised[]): Omit<KubeObject, 'apiVersion' | 'kind'> {
  const ports = new Map<number, string[]>();
  for (const r of replicas) ports.set(r.port, [...(ports.get(r.port) ?? []), r.address]);
  const subsets = [...ports].map(([port, addresses]) => ({
    addresses: addresses.map((ip) => ({ ip })),
    ports: [{ name: 'https', port, protocol: 'TCP' }],
  }));
  const labels = { 'endpointslice.kubernetes.io/skip-mirror': 'true' };
  return { metadata: { ...SERVICE, labels }, ...{ subsets } };
}

function sliceOf(replicas: readonly Advertised[]): Omit<KubeObject, 'apiVersion' | 'kind'> {
  const { port, addresses } = onFirstPort(replicas);
  return {
    metadata: { ...SERVICE, labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    ...{
      addressType: 'IPv4',
      endpoints: addresses.map((a) => ({ addresses: [a], conditions: { ready: true } })),
      ports: [{ name: 'https', port, protocol: 'TCP' }],
    },
  };
}
