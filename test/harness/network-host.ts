/**
 * One fake host's agent network, as a process of its own so that it can live in a network namespace (DNS listens there).
 * Reads one JSON request a line on stdin `{id, method, params}`, answers `{id, result}` or `{id, error}`.
 */
import { setMaxListeners } from 'node:events';
import { join } from 'node:path';
import type { Ctx } from '#lib/base';
import { createLogger, realClock, realRandom } from '#lib/base';
import { openKernel } from '../../agent/kernel/linux/open.ts';
import type { Network, NetworkConfig, SandboxId, ServiceTable } from '../../agent/network/network.ts';
import { openNetwork } from '../../agent/network/open.ts';
import { teardownNetwork } from '../../agent/network/teardown.ts';
import { serveLines } from './line-server.ts';
import { patient } from './time-limit.ts';

const log = createLogger({ component: 'network-host', fd: 2, level: 'warn' });
const { signal } = new AbortController();
// Many operations wait on the one signal of the process.
setMaxListeners(0, signal);
const c: Ctx = { signal, clock: realClock, log };

async function main(): Promise<void> {
  const [instance = 'test', folder = '/tmp', resolvConf = '/etc/resolv.conf'] = process.argv.slice(2);
  const helperPath = join(import.meta.dirname, '../../dist/berth-helper');
  await using opened = await openKernel({ helperPath, environment: process.env });
  const kernel = { ...opened, programs: patient(opened.programs) };
  const network: Network = await openNetwork({ kernel, instance, folder, resolvConf, random: realRandom }, c);
  const methods: Record<string, (params: never) => Promise<unknown>> = {
    configure: (config: NetworkConfig) => network.configure(config, c),
    attach: (o: Parameters<Network['attach']>[0]) => network.attach(o, c),
    detach: (id: SandboxId) => network.detach(id, c),
    attached: () => network.attached(c),
    sync: (t: ServiceTable) => network.sync(t, c),
    dispose: async () => network[Symbol.asyncDispose](),
    teardown: () => teardownNetwork({ kernel, instance }, c),
  };
  await serveLines(methods);
}

await main();
process.exit();
