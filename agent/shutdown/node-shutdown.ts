/**
 * The end of a node whose host shuts down: the node says that it is not ready, takes no pod any more, and ends those that it
 * has by their priority, the most important ones last. An agent that ends while its host runs on leaves its pods running.
 *
 * The agent is told by its own SIGTERM: systemd stops services before what they need (network, file systems), and says by
 * `systemctl is-system-running` that it stops them all. The containers belong to no unit, so that nothing else ends them before.
 * Source: KEP-2000, KEP-2712; kubernetes pkg/kubelet/nodeshutdown; systemctl(1).
 */
import { type Ctx, messageOf } from '#lib/base';
import type { EvictablePod } from '../eviction/manager.ts';
import type { Programs } from '../kernel/kernel.ts';
import type { PodFailure } from '../pods/model.ts';
import type { ShutdownPeriod } from '../resources/shutdown-settings.ts';
import { shutdownGroups } from './groups.ts';

/** Of the node. */
export const SHUTDOWN_EVENT = {
  type: 'Normal',
  reason: 'NodeShutdown',
  message: 'Shutdown manager detected shutdown event',
} as const;
const POLL_MS = 200;
/** For the last reports to be stored. */
const REPORT_LIMIT_MS = 3_000;
const ASK_LIMIT_MS = 2_000;
const DEFAULT_GRACE_S = 30;
const NOT_ADMITTED = 'Pod was rejected as the node is shutting down.';
const TERMINATED = 'Pod was terminated in response to imminent node shutdown.';

export interface NodeShutdownOptions {
  readonly periods: readonly ShutdownPeriod[];
  readonly pods: () => readonly EvictablePod[];
  /** Tells the control plane of the node as it is now. */
  readonly reportNode: (c: Ctx) => Promise<void>;
  /** It is told that the shutdown was seen. */
  readonly onSeen: () => void;
  /** Reports of pods that the control plane has not stored. */
  readonly unstoredReports: () => number;
}

export class NodeShutdown {
  #isUnderWay = false;

  get isUnderWay(): boolean {
    return this.#isUnderWay;
  }

  /** Why the node does not take a pod that is new to it. */
  admit(): PodFailure | undefined {
    if (!this.#isUnderWay) return undefined;
    return { reason: 'NodeShutdown', message: NOT_ADMITTED, isRejection: true };
  }

  /** Ends all pods; resolves when nothing of them runs any more, or when their time is over. */
  async run(o: NodeShutdownOptions, c: Ctx): Promise<void> {
    this.#isUnderWay = true;
    c.log.info({ periods: o.periods }, 'the host shuts down: pods end');
    o.onSeen();
    await o.reportNode(c).catch((e: unknown) => c.log.warn({ err: messageOf(e) }, 'the node could not be reported'));
    const priorityOf = (p: EvictablePod): number => p.pod.spec.priority ?? 0;
    for (const group of shutdownGroups(o.periods, o.pods(), priorityOf)) {
      for (const p of group.members) {
        const own = p.pod.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_S;
        const graceSeconds = Math.min(own, group.graceSeconds);
        p.fail({ reason: 'Terminated', message: TERMINATED, graceSeconds, isDisruption: true });
      }
      await until(() => group.members.every((p) => p.isCleanedUp), group.graceSeconds * 1000, c);
    }
    await until(() => o.unstoredReports() === 0, REPORT_LIMIT_MS, c);
  }
}

async function until(what: () => boolean, limitMs: number, c: Ctx): Promise<void> {
  const end = c.clock.monotonic() + limitMs;
  while (!what() && c.clock.monotonic() < end) await c.clock.sleep(POLL_MS, c.signal);
}

/** Whether systemd stops the whole host; false where there is no systemd. */
export async function isHostStopping(programs: Programs, c: Ctx): Promise<boolean> {
  try {
    const { stdout } = await programs.run(['systemctl', 'is-system-running'], { timeoutMs: ASK_LIMIT_MS }, c);
    return stdout.toString('utf8').trim() === 'stopping';
  } catch (e) {
    c.log.info({ err: messageOf(e) }, 'systemd cannot be asked whether the host shuts down');
    return false;
  }
}
