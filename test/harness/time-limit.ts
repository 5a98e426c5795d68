/** Limits of time in tests, on a machine that is known to be slow: a guest without KVM (test/guest) says how slow. */

import type { Programs } from '../../agent/kernel/kernel.ts';

/** How many times slower than usual this machine is; 1 where nobody said. */
export const SLOWNESS = Number(process.env['BERTH_TEST_SLOWNESS'] ?? 1);

/** What `ms` of a machine of usual speed are on this one: for the limit of a test, a hook, a wait or a program's run. */
export function limitMs(ms: number): number {
  return ms * SLOWNESS;
}

/** Programs with the product's own time limits, as long as this machine needs them. */
export function patient(programs: Programs): Programs {
  return {
    run: (argv, o, c) =>
      programs.run(argv, o.timeoutMs === undefined ? o : { ...o, timeoutMs: limitMs(o.timeoutMs) }, c),
  };
}
