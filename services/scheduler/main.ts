/** The default scheduler. Run by whoever leads; its writes carry the leader's fence through the client it is given. */
import { Kinds } from '#lib/api';
import type { Clock, Logger, Random } from '#lib/base';
import { Scope } from '#lib/base';
import type { Client } from '#lib/client';
import { ClientEventRecorder, InformerFactory } from '#lib/controller';
import { Binder } from './bind.ts';
import type { SchedulerMetrics } from './metrics.ts';
import { PodVolumes } from './pod-volumes.ts';
import { DEFAULT_PROFILE } from './profile.ts';
import { Scheduler } from './scheduler.ts';

export { SchedulerMetrics } from './metrics.ts';

const NAME = 'default-scheduler';

export interface SchedulerStartOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** The process's informers; own ones are made (and stopped) when absent. */
  readonly informers?: InformerFactory | undefined;
  readonly metrics?: SchedulerMetrics | undefined;
}

export async function startScheduler(o: SchedulerStartOptions): Promise<AsyncDisposable> {
  const scope = new Scope('scheduler process');
  const informers = o.informers ?? scope.own(new InformerFactory(o));
  const events = scope.own(new ClientEventRecorder({ ...o, component: NAME }));
  const scheduler = scope.own(
    new Scheduler({
      caches: {
        nodes: informers.informer(Kinds.nodes),
        pods: informers.informer(Kinds.pods),
        services: informers.informer(Kinds.services),
        namespaces: informers.informer(Kinds.namespaces),
      },
      volumes: new PodVolumes(o.client, {
        claims: informers.informer(Kinds.persistentvolumeclaims),
        volumes: informers.informer(Kinds.persistentvolumes),
        classes: informers.informer(Kinds.storageclasses),
        csiNodes: informers.informer(Kinds.csinodes),
      }),
      binder: new Binder(o.client, events),
      profile: DEFAULT_PROFILE,
      schedulerName: NAME,
      metrics: o.metrics,
      clock: o.clock,
      random: o.random,
      log: o.log,
    }),
  );
  scheduler.start();
  o.metrics?.follow(() => scheduler.pending);
  scope.defer(() => o.metrics?.follow(undefined));
  return scope;
}
