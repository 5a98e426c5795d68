/**
 * Whether this node could run a pod: asked every ten seconds of what it needs for one, the OCI runtime (by way of the helper) and
 * the pod network. What does not answer for a while makes the node not Ready, and it is Ready again once all answer; nothing is
 * restarted here. Each time the node is not Ready its pods leave their services: one answer that failed or came late, as on a busy
 * machine, must not do that. The kubelet looks at a file to know its network; this one asks programs.
 * Source: kubernetes pkg/kubelet/kubelet.go (updateRuntimeUp, maxWaitForContainerRuntime), pkg/kubelet/runtime.go (runtimeErrors),
 * pkg/kubelet/nodestatus/setters.go (ReadyCondition).
 */
import { type Clock, type Ctx, messageOf } from '#lib/base';

export interface NodeHealthOptions {
  /** Reject with why, or never come back. */
  readonly runtime: (c: Ctx) => Promise<void>;
  readonly network: (c: Ctx) => Promise<void>;
  /** `problems` is another now. */
  readonly onChange: () => void;
  readonly clock: Clock;
}

/** Each costs a program or two. */
const CHECK_EVERY_MS = 10_000;
/** The kubelet's, of its runtime: a busy machine may be slow to answer. */
const ANSWER_WITHIN_MS = 30_000;

interface Check {
  readonly ask: (c: Ctx) => Promise<void>;
  isUnderWay: boolean;
  /** Asked then, and not well answered since. */
  unansweredSinceMs: number | undefined;
  why: string | undefined;
  /** It was well once: until then, as on a node that has no pod block yet, what it says is told at once. */
  wasWell: boolean;
}

export class NodeHealth {
  readonly #o: NodeHealthOptions;
  readonly #runtime: Check;
  readonly #network: Check;
  #told = '';

  constructor(o: NodeHealthOptions) {
    this.#o = o;
    const fresh = { isUnderWay: false, unansweredSinceMs: undefined, why: undefined, wasWell: false };
    this.#runtime = { ask: o.runtime, ...fresh };
    this.#network = { ask: o.network, ...fresh };
  }

  /** What the node's condition says; none: it is ready. */
  get problems(): readonly string[] {
    const out: string[] = [];
    if (this.#isLate(this.#runtime)) {
      const why = this.#runtime.why === undefined ? '' : `: ${this.#runtime.why}`;
      out.push(`container runtime is down${why}`);
    }
    const { wasWell, why } = this.#network;
    if (this.#isLate(this.#network) || (!wasWell && why !== undefined))
      out.push(
        `container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:${why ?? 'no answer'}`,
      );
    return out;
  }

  #isLate({ unansweredSinceMs }: Check): boolean {
    return unansweredSinceMs !== undefined && this.#o.clock.monotonic() - unansweredSinceMs >= ANSWER_WITHIN_MS;
  }

  async run(c: Ctx): Promise<void> {
    for (;;) {
      const before = c.clock.monotonic();
      await c.clock.sleep(CHECK_EVERY_MS, c.signal);
      this.#forgive(c.clock.monotonic() - before - CHECK_EVERY_MS);
      this.#begin(this.#runtime, c);
      this.#begin(this.#network, c);
      this.#tell(c);
    }
  }

  /** For so long this process itself stood still, and could hear no answer. */
  #forgive(ms: number): void {
    for (const check of [this.#runtime, this.#network])
      if (check.unansweredSinceMs !== undefined) check.unansweredSinceMs += ms;
  }

  /** One that hangs is not asked again: its age speaks. */
  #begin(check: Check, c: Ctx): void {
    if (check.isUnderWay) return;
    check.isUnderWay = true;
    check.unansweredSinceMs ??= c.clock.monotonic();
    const ended = (why: string | undefined): void => {
      check.isUnderWay = false;
      check.why = why;
      if (why === undefined) {
        check.unansweredSinceMs = undefined;
        check.wasWell = true;
      }
      if (!c.signal.aborted) this.#tell(c);
    };
    check.ask(c).then(
      () => ended(undefined),
      (e: unknown) => ended(messageOf(e)),
    );
  }

  #tell(c: Ctx): void {
    const problems = this.problems;
    const text = problems.join('\n');
    if (text === this.#told) return;
    this.#told = text;
    if (problems.length > 0) c.log.error({ problems }, 'this node cannot run pods');
    else c.log.info({}, 'this node can run pods again');
    this.#o.onChange();
  }
}

/** As the kubelet joins them. */
export function aggregated(problems: readonly string[]): string {
  return problems.length === 1 ? (problems[0] ?? '') : `[${problems.join(', ')}]`;
}
