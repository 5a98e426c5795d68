/** What every controller of this process is given. */
import type { Clock, Logger, Random } from '#lib/base';
import type { Client } from '#lib/client';
import type { EventRecorder, InformerFactory, WorkQueueMetrics } from '#lib/controller';
import type { KeyPair } from '#lib/pki';
import type { CustomKinds } from './custom-kinds.ts';
import type { SecretTokenSigner } from './service-account-token/reconcile.ts';

export interface ControllersConfig {
  /** A node from which nothing was heard for this long is not ready. Default 5000. */
  readonly nodeGraceMs?: number | undefined;
  /** Pods get their addresses from here; default 10.42.0.0/16. */
  readonly clusterCidr?: string | undefined;
  /** Prefix length of each node's share; default 24. */
  readonly nodeCidrMaskSize?: number | undefined;
  /** PEM of the cluster's CA, published as ConfigMap kube-root-ca.crt in every namespace; absent = not published. */
  readonly caPem?: string | undefined;
  /** Signs certificate signing requests of the API's own signers; absent = nobody does. */
  readonly authority?: KeyPair | undefined;
  /** Fills Secrets of type kubernetes.io/service-account-token; absent = they stay as their makers wrote them. */
  readonly tokenSigner?: SecretTokenSigner | undefined;
}

export interface Deps {
  readonly client: Client;
  readonly informers: InformerFactory;
  /** Kinds beyond the built-in ones. */
  readonly customKinds: CustomKinds;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly config: ControllersConfig;
  readonly queueMetrics?: WorkQueueMetrics | undefined;
  /** A recorder whose events come "From" this component. */
  recorder(component: string): EventRecorder;
}
