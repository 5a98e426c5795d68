/** What a client asks of the engine as a whole: ping, version, info, disk usage, login, and what there is not. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, type Random, writeFileAtomic } from '#lib/base';
import { Transport } from '#lib/oci';
import { CertsFolder } from '../../images/registries/certs-folder.ts';
import type { NodeContainer } from '../../pods/node-containers.ts';
import type { Events } from '../events/events.ts';
import type { EngineRoute } from '../http/contract.ts';
import type { EngineContainers, EngineHost, EnginePart } from '../parts.ts';
import { authRoute } from './auth.ts';
import { buildkitRoutes } from './buildkit.ts';
import { diskUsageRoute } from './disk-usage.ts';
import { engineInfo } from './info.ts';
import { pingRoutes } from './ping.ts';
import { podsRoute } from './pods.ts';
import { refusalRoutes } from './refusals.ts';

export interface SystemPorts {
  readonly events: Events;
  readonly containers: Pick<EngineContainers, 'list'>;
  /** Of the node; undefined = it has none. */
  readonly pods?: ((c: Ctx) => Promise<readonly NodeContainer[]>) | undefined;
  /** All of the engine's, in the end. */
  readonly parts: readonly EnginePart[];
}

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export async function openSystem(host: EngineHost, ports: SystemPorts): Promise<EnginePart & AsyncDisposable> {
  const { events, containers, parts, pods } = ports;
  const id = await engineId(join(host.folder, 'engine-id'), host.random);
  const transport = new Transport({ proxy: host.registries.proxy });
  const hosts = new CertsFolder(host.registries.certsFolder, host.log);
  const info: EngineRoute = {
    method: 'GET',
    path: '/info',
    handle: async (r, reply) => reply.json(200, await engineInfo({ host, events, containers, id }, r.version, r.c)),
  };
  return {
    routes: [
      ...pingRoutes(host),
      info,
      authRoute({ transport, hosts }),
      diskUsageRoute({ images: host.images, parts }),
      ...buildkitRoutes(),
      podsRoute(pods),
      ...refusalRoutes(),
    ],
    [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose](),
  };
}

/** Made once for a folder. */
async function engineId(path: string, random: Random): Promise<string> {
  const known = (await readFile(path, 'utf8').catch(() => '')).trim();
  if (ID.test(known)) return known;
  const h = random.hex(16);
  const made = [h.slice(0, 8), h.slice(8, 12), h.slice(12, 16), h.slice(16, 20), h.slice(20)].join('-');
  await writeFileAtomic(path, made, { mode: 0o600 });
  return made;
}
