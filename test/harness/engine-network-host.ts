/**
 * The engine's networks on one fake host, as a process of its own so that it can live in a network namespace. One JSON request a
 * line on stdin `{id, method, params}`, answers `{id, result, ms}` or `{id, error, status}`. Containers are what `open` was asked for.
 */
import { setMaxListeners } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Ctx, createLogger, realClock, realRandom } from '#lib/base';
import { EngineError, notFound } from '../../agent/engine/http/contract.ts';
import { openNetworks } from '../../agent/engine/networks/open.ts';
import { teardownEngineNetworks } from '../../agent/engine/networks/teardown.ts';
import type { EngineContainer, EngineEvent, EngineHost, SandboxRequest } from '../../agent/engine/parts.ts';
import { openKernel } from '../../agent/kernel/linux/open.ts';
import { callRoute, type RouteCall } from './engine-routes.ts';
import { serveLines } from './line-server.ts';

const log = createLogger({ component: 'engine-network-host', fd: 2, level: 'warn' });
const { signal } = new AbortController();
setMaxListeners(0, signal);
const c: Ctx = { signal, clock: realClock, log };

async function main(): Promise<void> {
  const [instance = 'test', folder = '/tmp', resolvConf = '/dev/null'] = process.argv.slice(2);
  const helperPath = join(import.meta.dirname, '../../dist/berth-helper');
  await using kernel = await openKernel({ helperPath, environment: process.env });
  const events: EngineEvent[] = [];
  const containers = new Map<string, SandboxRequest>();
  const find = (text: string): EngineContainer => {
    const r = [...containers.values()].find((x) => x.containerId === text || x.name === text);
    if (r === undefined) throw notFound(`No such container: ${text}`);
    const record = { name: r.name, hostConfig: { NetworkMode: r.networkMode }, endpoints: r.endpoints };
    return { id: r.containerId, record } as unknown as EngineContainer;
  };
  const ports = {
    events: { emit: (e: EngineEvent) => void events.push(e) },
    containers: () => ({
      find,
      list: () => [...containers.keys()].map(find),
      setEndpoints: async (id: string, endpoints: SandboxRequest['endpoints']) => {
        const r = containers.get(id);
        if (r !== undefined) containers.set(id, { ...r, endpoints });
      },
    }),
    resolvConf,
  };
  const host = { kernel, folder, instance, clock: realClock, random: realRandom, log } as unknown as EngineHost;
  const networks = await openNetworks(host, ports, c);
  const methods: Record<string, (params: never) => Promise<unknown>> = {
    open: (r: SandboxRequest) => {
      mkdirSync(r.folder, { recursive: true });
      containers.set(r.containerId, r);
      return networks.open(r, c);
    },
    close: (id: string) => networks.close(id, c),
    forget: (id: string) => {
      containers.delete(id);
      return networks.forget(id, c);
    },
    renamed: (o: { id: string; name: string }) => networks.renamed(o.id, o.name, c),
    view: async (id: string) => networks.view(id) ?? null,
    record: async (id: string) => containers.get(id)?.endpoints ?? null,
    route: (o: RouteCall & { call: string }) => callRoute(networks.routes, o.call, o, c),
    events: async () => events.splice(0),
    dispose: () => networks[Symbol.asyncDispose](),
    teardown: () =>
      teardownEngineNetworks({ programs: kernel.programs, namespaces: kernel.namespaces, instance, folder }, c),
  };
  await serveLines(methods, (e) => ({ status: e instanceof EngineError ? e.status : 0 }));
}

await main();
process.exit();
