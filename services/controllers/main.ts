/**
 * All controllers of the cluster over one set of informers. Run by whoever leads (lib/controller lead); stopping ends every
 * reconcile that runs, then the informers.
 */
import type { Clock, Logger, Random } from '#lib/base';
import { Scope } from '#lib/base';
import type { Client } from '#lib/client';
import { ClientEventRecorder, InformerFactory, type WorkQueueMetrics } from '#lib/controller';
import { startAttachController } from './attach/reconcile.ts';
import { startCertificatesController } from './certificates/reconcile.ts';
import { startClusterRoleAggregationController } from './clusterrole-aggregation/reconcile.ts';
import { CustomKinds } from './custom-kinds.ts';
import { startDeploymentController } from './deployment/reconcile.ts';
import type { ControllersConfig, Deps } from './deps.ts';
import { startDisruptionController } from './disruption/reconcile.ts';
import { startEndpointsController } from './endpoints/reconcile.ts';
import { startEndpointSliceController } from './endpointslice/reconcile.ts';
import { startGarbageCollector } from './garbage-collector/reconcile.ts';
import { startLoadBalancerController } from './load-balancer/reconcile.ts';
import { startNamespaceController } from './namespace/reconcile.ts';
import { startNodeIpamController } from './node-ipam/reconcile.ts';
import { startNodeLifecycleController } from './node-lifecycle/reconcile.ts';
import { startPodGcController } from './pod-gc/reconcile.ts';
import { startQuotaController } from './quota/reconcile.ts';
import { startReplicaSetController } from './replicaset/reconcile.ts';
import { startRootCaController } from './root-ca/reconcile.ts';
import { startServiceAccountTokenController } from './service-account-token/reconcile.ts';
import { startServiceAccountController } from './serviceaccount/reconcile.ts';
import { startClaimProtection, startClassProtection, startVolumeProtection } from './storage-protection/reconcile.ts';
import { startTaintEvictionController } from './taint-eviction/reconcile.ts';
import { startVolumeControllers } from './volumes/start.ts';

export type { ControllersConfig } from './deps.ts';

export interface ControllersOptions {
  /** With the leader's fence, when there is an election. */
  readonly client: Client;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly config: ControllersConfig;
  /** The process's informers; own ones are made (and stopped) when absent. */
  readonly informers?: InformerFactory | undefined;
  /** Counts the work of the controllers' queues. */
  readonly queueMetrics?: WorkQueueMetrics | undefined;
}

export async function startControllers(o: ControllersOptions): Promise<AsyncDisposable> {
  const scope = new Scope('controllers');
  const informers = o.informers ?? scope.own(new InformerFactory(o));
  const deps: Deps = {
    client: o.client,
    clock: o.clock,
    random: o.random,
    log: o.log,
    config: o.config,
    queueMetrics: o.queueMetrics,
    informers,
    customKinds: scope.own(new CustomKinds(informers)),
    recorder: (component) => scope.own(new ClientEventRecorder({ ...o, component })),
  };
  scope.own(startServiceAccountController(deps));
  scope.own(startDeploymentController(deps));
  scope.own(startReplicaSetController(deps));
  scope.own(startEndpointSliceController(deps));
  scope.own(startEndpointsController(deps));
  scope.own(startDisruptionController(deps));
  scope.own(startLoadBalancerController(deps));
  scope.own(startNodeIpamController(deps));
  const lifecycle = scope.own(startNodeLifecycleController(deps));
  scope.own(startTaintEvictionController(deps, (node) => lifecycle.isSilent(node)));
  scope.own(startPodGcController(deps));
  scope.own(startQuotaController(deps));
  scope.own(startClaimProtection(deps));
  scope.own(startVolumeProtection(deps));
  scope.own(startClassProtection(deps));
  scope.own(startVolumeControllers(deps));
  scope.own(startAttachController(deps));
  scope.own(startNamespaceController(deps));
  scope.own(startGarbageCollector(deps));
  scope.own(startClusterRoleAggregationController(deps));
  if (o.config.caPem !== undefined) scope.own(startRootCaController(deps, o.config.caPem));
  if (o.config.authority !== undefined) scope.own(startCertificatesController(deps, o.config.authority));
  if (o.config.tokenSigner !== undefined) scope.own(startServiceAccountTokenController(deps, o.config.tokenSigner));
  return scope;
}
