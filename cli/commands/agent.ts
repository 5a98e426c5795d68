/** `berth agent`: one node in this process. Its certificate comes from `berth up` (same host) or `berth join`. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { createLogger, realClock, realRandom, StatusError } from '#lib/base';
import { proxiesOf } from '#lib/oci';
import { startAgent } from '../../agent/main.ts';
import { primaryIp } from '../../agent/node.ts';
import { withoutAllocator } from '../allocator.ts';
import { type DockerDoorOptions, dockerDoor } from '../docker-door.ts';
import { DEFAULT_INSTANCE, defaultHome } from '../layout.ts';
import { readNodeSettings } from '../node-configuration.ts';
import { parseTaint, refuseNodeMistakes } from '../node-options.ts';
import { helperPath, untilStopped } from '../process.ts';
import { VERSION } from '../version.ts';

export interface AgentOptions {
  readonly instance?: string;
  readonly home?: string;
  readonly nodeName?: string;
  readonly nodeIp?: string;
  readonly gateway: readonly string[];
  readonly runtime?: string;
  readonly networkMode?: string;
  readonly registryPort?: string;
  readonly registryUpstream?: string;
  readonly certsDir?: string;
  readonly logFolder?: string;
  readonly staticPodPath?: string;
  readonly rootDir?: string;
  readonly maxPods?: string;
  readonly label?: readonly string[];
  readonly taint?: readonly string[];
  readonly config?: string;
  readonly logLevel?: string;
  /** False with --no-docker. */
  readonly docker?: boolean;
  readonly dockerSocket?: string;
  readonly dockerTcp?: string;
  readonly dockerTlscacert?: string;
  readonly dockerTlscert?: string;
  readonly dockerTlskey?: string;
}

const DEFAULT_CERTS_FOLDER = '/etc/berth/certs.d';

export async function runAgent(o: AgentOptions): Promise<void> {
  // The home is that of `up` or `join`, who have looked at it, and a node's name.
  refuseNodeMistakes({ ...o, home: undefined });
  if (process.getuid?.() !== 0)
    throw new StatusError(
      'Invalid',
      'berth agent needs root: a node makes namespaces, mounts and links. Run it with sudo.',
    );
  withoutAllocator(process.env);
  const instance = o.instance ?? DEFAULT_INSTANCE;
  const nodeName = o.nodeName ?? hostname().toLowerCase();
  const log = createLogger({ component: 'agent', level: o.logLevel }).child({ node: nodeName });
  const home = o.home ?? join(defaultHome(instance), 'nodes', nodeName);
  const settings = await readNodeSettings(home, o.config);
  const docker = o.docker === false ? undefined : await dockerDoor(doorOptions(o), instance, '--docker-');
  await using agent = await startAgent(
    {
      instance,
      home,
      nodeName,
      nodeIp: o.nodeIp ?? (await primaryIp()),
      gateways: o.gateway,
      helperPath: helperPath(),
      runtime: o.runtime ?? 'auto',
      networkMode: o.networkMode === 'routes' ? 'routes' : 'vxlan',
      registryPort: Number(o.registryPort ?? 5000),
      registryUpstream: o.registryUpstream,
      registries: { certsFolder: o.certsDir ?? DEFAULT_CERTS_FOLDER, proxy: proxiesOf(process.env) },
      logFolder: o.logFolder ?? '/var/log',
      staticPodPath: o.staticPodPath,
      kubeletRoot: o.rootDir,
      podsMax: Number(o.maxPods ?? 250),
      labels: Object.fromEntries((o.label ?? []).map((l) => [l.split('=', 1)[0] ?? '', l.slice(l.indexOf('=') + 1)])),
      taints: (o.taint ?? []).map(parseTaint).filter((t) => t !== undefined),
      version: VERSION,
      nodePortRange: [30_000, 32_767],
      settings,
      docker,
    },
    { clock: realClock, random: realRandom, log },
  );
  log.info({ gateways: o.gateway }, 'agent ready');
  await untilStopped();
  await agent.prepareStop();
  log.info({}, 'agent stopping; containers run on');
}

function doorOptions(o: AgentOptions): DockerDoorOptions {
  const { dockerSocket: socket, dockerTcp: tcp } = o;
  return { socket, tcp, tlscacert: o.dockerTlscacert, tlscert: o.dockerTlscert, tlskey: o.dockerTlskey };
}
