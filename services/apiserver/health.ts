/** /healthz, /livez, /readyz: named checks. Live = the process works; ready = it can serve; ready fails first when stopping. */
import { type Ctx, messageOf } from '#lib/base';

export interface HealthCheck {
  readonly name: string;
  /** Part of /livez too, where a failure means "restart me". */
  readonly isLiveness: boolean;
  /** Throws when unhealthy. */
  check(c: Ctx): Promise<void> | void;
}

export interface HealthReport {
  readonly isHealthy: boolean;
  readonly text: string;
}

export class Health {
  readonly #checks: readonly HealthCheck[];
  #isStopping = false;

  constructor(checks: readonly HealthCheck[]) {
    this.#checks = checks;
  }

  /** From now on /readyz fails, so that load balancers go elsewhere before the listeners close. */
  stop(): void {
    this.#isStopping = true;
  }

  /** undefined when `only` names no check. */
  async report(
    kind: 'healthz' | 'livez' | 'readyz',
    only: string,
    exclude: ReadonlySet<string>,
    c: Ctx,
  ): Promise<HealthReport | undefined> {
    const stopping: HealthCheck = { name: 'shutdown', isLiveness: false, check: () => this.#requireRunning() };
    const all = [...this.#checks, stopping].filter((k) => kind !== 'livez' || k.isLiveness);
    const chosen = only === '' ? all.filter((k) => !exclude.has(k.name)) : all.filter((k) => k.name === only);
    if (only !== '' && chosen.length === 0) return undefined;
    const lines: string[] = [];
    let isHealthy = true;
    for (const check of chosen) {
      try {
        await check.check(c);
        lines.push(`[+]${check.name} ok`);
      } catch (e) {
        isHealthy = false;
        c.log.warn({ check: check.name, reason: messageOf(e) }, 'health check failed');
        lines.push(`[-]${check.name} failed: reason withheld`);
      }
    }
    lines.push(isHealthy ? `${kind} check passed` : `${kind} check failed`);
    return { isHealthy, text: `${lines.join('\n')}\n` };
  }

  #requireRunning(): void {
    if (this.#isStopping) throw new Error('process is shutting down');
  }
}
