/**
 * Entry of an agent that can be told to die at any call it makes of its machine: the product's `startAgent` with fault points
 * in front of its doors. Its configuration comes in BERTH_TEST_DYING_AGENT; its parent, by node's channel, says when to count.
 */
import { getHeapSpaceStatistics } from 'node:v8';
import { createLogger, realClock, realRandom } from '#lib/base';
import { type AgentConfig, startAgent } from '../../../agent/main.ts';
import { DEFAULT_NODE_SETTINGS } from '../../../agent/resources/node-settings.ts';
import { FaultPoints } from './fault-points.ts';

/** What is said of the node; its settings are the defaults. */
export type MortalAgentConfig = Omit<AgentConfig, 'settings'>;

export interface DyingAgentConfig {
  readonly agent: MortalAgentConfig;
  readonly deathPath: string;
  /** Of its own start. */
  readonly diesAt: number | undefined;
}

export type ToAgent = { readonly do: 'arm'; readonly diesAt: number } | { readonly do: 'count' | 'weigh' };
export type FromAgent =
  | { readonly is: 'ready' }
  | { readonly is: 'counted'; points: number; calls: readonly string[] }
  | { readonly is: 'weighed'; objectBytes: number };

const config = JSON.parse(process.env['BERTH_TEST_DYING_AGENT'] ?? '') as DyingAgentConfig;
const points = new FaultPoints(config.deathPath);
await points.install();
if (config.diesAt !== undefined) points.arm(config.diesAt);
/* Its parent has ended: nobody else would end it. */
process.on('disconnect', () => process.exit(1));
process.on('message', (m: ToAgent) => {
  if (m.do === 'arm') points.arm(m.diesAt);
  else if (m.do === 'count') tell({ is: 'counted', ...points.passed });
  else tell({ is: 'weighed', objectBytes: objectBytes() });
});
const log = createLogger({ component: 'agent', level: 'info' });
const agent = await startAgent(
  { ...config.agent, settings: DEFAULT_NODE_SETTINGS },
  { clock: realClock, random: realRandom, log },
);
process.on('SIGTERM', () => {
  void agent[Symbol.asyncDispose]().then(() => process.exit(0));
});
tell({ is: 'ready' });

/** Of objects that live on: compiled code, which grows and goes by itself, is elsewhere. Its parent starts it with --expose-gc. */
function objectBytes(): number {
  for (let i = 0; i < 3; i++) globalThis.gc?.();
  const spaces = getHeapSpaceStatistics().filter((s) => /^(old|large_object)_space$/.test(s.space_name));
  return spaces.reduce((sum, s) => sum + s.space_used_size, 0);
}

function tell(m: FromAgent): void {
  process.send?.(m);
}
