/** The gateway as the rest of the server sees it; `startGateway` in main.ts makes one. */
import type { Clock, Logger, Random } from '#lib/base';
import type { Bus } from '#lib/bus';
import type { Client, NodeStreams, UserInfo, WriteFence } from '#lib/client';
import type { KeyPair } from '#lib/pki';

export interface SessionInfo {
  readonly nodeName: string;
  readonly epoch: bigint;
  readonly connectedAtMs: number;
  /** Since the last message of the node. */
  readonly silentForMs: number;
  readonly pods: number;
}

export interface ClusterSettings {
  /** `cluster.local` */
  readonly clusterDomain: string;
  readonly clusterDnsIp: string;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
}

/** Consumes a one-time join token: true at most once for each valid token. */
export interface TokenVerifier {
  consume(token: string): Promise<boolean>;
}

export interface GatewayDeps {
  readonly client: Client;
  /**
   * A client whose every write commits only while the fence holds: for what is written in a session's name, so that an
   * older session of a node cannot write, whichever replica it is at. Absent = only this replica's own checks.
   */
  readonly fencedClient?: ((fence: WriteFence) => Client) | undefined;
  /** A client that speaks as this user, with its rights and no more: for what a node asks of the API. */
  clientAs(user: UserInfo): Client;
  /** `host:port` of this replica's API server: stands in the records of the sessions that this gateway holds. */
  readonly apiEndpoint: string;
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  /** Signs node certificates and is what both ends trust. */
  readonly ca: KeyPair;
  /** The gateway's own server certificate, issued by `ca`. */
  readonly tls: KeyPair;
  /** What this server shows to others when it asks them for streams (serverSubject in subjects.ts), issued by `ca`. */
  readonly serverClient: KeyPair;
  readonly tokens: TokenVerifier;
  readonly cluster: ClusterSettings;
  readonly bus?: Bus | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Default 1000. */
  readonly heartbeatIntervalMs?: number | undefined;
  /** Default 10000: how often a heard node's Lease is written. */
  readonly leaseIntervalMs?: number | undefined;
  /** A node that was not heard for this long counts as silent (its Lease says so). Whole seconds; default 5000. */
  readonly silentAfterMs?: number | undefined;
  /** Default 365. */
  readonly nodeCertificateDays?: number | undefined;
}

export interface Gateway extends NodeStreams, AsyncDisposable {
  readonly port: number;
  /** A renewed certificate of the same authority, for connections to come. */
  useCertificate(pair: KeyPair): void;
  sessions(): readonly SessionInfo[];
}
