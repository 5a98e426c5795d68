/** A context that also ends after some time, on the injected clock. Dispose it to stop the timer. */
import type { Ctx } from '#lib/base';

export function withDeadline(c: Ctx, ms: number): { readonly c: Ctx } & Disposable {
  const late = new AbortController();
  const reason = new DOMException(`not within ${ms} ms`, 'AbortError');
  const timer = c.clock.after(ms, () => late.abort(reason), { unref: true });
  return { c: { ...c, signal: AbortSignal.any([c.signal, late.signal]) }, [Symbol.dispose]: () => timer.cancel() };
}
