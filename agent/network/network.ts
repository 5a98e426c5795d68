/**
 * The pod network of one node: a bridge with this node's pod CIDR, VXLAN (or plain routes) to the other nodes, service
 * addresses, node ports and host ports in one nft table, and DNS.
 *
 * Order: `start` once (idempotent, re-adopts what an earlier agent left), `configure` when the cluster's figures are known,
 * `attach`/`detach` per pod, `sync` whenever services, endpoints or nodes changed. Allocations are written ahead to disk:
 * an address is on disk before it is used and freed only after its namespace is gone.
 */
import type { DeepReadonly, EndpointSlice, Node, Service } from '#lib/api';
import type { Ctx } from '#lib/base';

export type SandboxId = string & { readonly __brand: 'SandboxId' };

export interface NetworkConfig {
  /** This node's pods, e.g. 10.42.3.0/24. */
  readonly podCidr: string;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  readonly clusterDomain: string;
  readonly clusterDnsIp: string;
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly mode: 'vxlan' | 'routes';
  readonly nodePortRange: readonly [number, number];
}

export interface HostPort {
  readonly hostIp: string;
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
}

export interface Attachment {
  readonly ip: string;
  readonly gateway: string;
  readonly prefixLength: number;
}

export interface ServiceTable {
  readonly services: readonly DeepReadonly<Service>[];
  readonly slices: readonly DeepReadonly<EndpointSlice>[];
  readonly nodes: readonly DeepReadonly<Node>[];
}

export interface Network extends AsyncDisposable {
  configure(config: NetworkConfig, c: Ctx): Promise<void>;
  /** `netns`: path of the pinned namespace (eth0 is made inside). The same id again gives the same address. */
  attach(o: { id: SandboxId; netns: string; hostPorts: readonly HostPort[]; ip?: string }, c: Ctx): Promise<Attachment>;
  detach(id: SandboxId, c: Ctx): Promise<void>;
  /** Sandboxes that hold an address here (on disk): for the reconcile at start. */
  attached(c: Ctx): Promise<readonly { id: SandboxId; ip: string }[]>;
  sync(t: ServiceTable, c: Ctx): Promise<void>;
  /** Throws Unavailable when pods have no network here just now. Links that somebody took away are made again. */
  check(c: Ctx): Promise<void>;
  /** nameserver for pods with dnsPolicy ClusterFirst. */
  readonly dnsServerIp: string;
}
