/** An agent that starts one container and holds it before it runs: says `held`, and is there to be killed. Argument: a JSON file. */
import { readFileSync } from 'node:fs';
import { createLogger, realClock } from '#lib/base';
import { openKernel } from '../../agent/kernel/linux/open.ts';
import { openRuntime } from '../../agent/runtime/open.ts';
import type { StartContainer } from '../../agent/runtime/runtime.ts';

export interface HoldingAgent {
  readonly helperPath: string;
  readonly folder: string;
  readonly runtime: string;
  readonly container: Omit<StartContainer, 'beforeRun'>;
}

const o = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as HoldingAgent;
const log = createLogger({ component: 'agent', level: 'error' });
const c = { signal: new AbortController().signal, clock: realClock, log };
const kernel = await openKernel({ helperPath: o.helperPath, environment: process.env });
const runtime = await openRuntime({ kernel, folder: o.folder, runtime: o.runtime }, c);
const beforeRun: NonNullable<StartContainer['beforeRun']> = async (attach) => {
  await attach({ stdin: true });
  process.stdout.write('held\n');
  /* Its parent kills it; without one it ends. */
  await new Promise((resolve) => process.stdin.once('end', resolve).resume());
  process.exit(1);
};
await runtime.start({ ...o.container, beforeRun }, c);
