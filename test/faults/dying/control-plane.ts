/** API server (memory store), gateway and registry in this process: all that one agent needs, without what a cluster would do by itself. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Kinds } from '#lib/api';
import { type Ctx, realClock, realRandom, Scope, silentLogger } from '#lib/base';
import { type Client, InProcessClient } from '#lib/client';
import { createCa, issue } from '#lib/pki';
import { MemoryStore } from '#lib/store';
import { pushSample } from '../../../cli/up/sample.ts';
import { startApiServer } from '../../../services/apiserver/main.ts';
import type { GatewayDeps } from '../../../services/gateway/gateway.ts';
import { startGateway } from '../../../services/gateway/main.ts';
import { serverSubject } from '../../../services/gateway/subjects.ts';
import { SecretTokens } from '../../../services/gateway/tokens.ts';
import { startRegistry } from '../../../services/registry/registry.ts';

const API_ENDPOINT = '127.0.0.1:6443';
const SYSTEM = { name: 'system:berth-gateway', groups: ['system:masters', 'system:authenticated'] };

export interface Blocks {
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  readonly podCidr: string;
  readonly clusterDnsIp: string;
}

export interface ControlPlane extends AsyncDisposable {
  readonly client: Client;
  readonly gateway: string;
  /** A busybox that serves a page, in the registry here. */
  readonly image: string;
  readonly registryPort: number;
  /** Nobody answers the node's agent until the result is called. */
  cut(): Promise<() => Promise<void>>;
  readonly nodeCredentials: { readonly ca: string; readonly cert: string; readonly key: string };
}

export async function startControlPlane(nodeName: string, blocks: Blocks, c: Ctx): Promise<ControlPlane> {
  const scope = new Scope('control plane');
  const folder = await mkdtemp(join(tmpdir(), 'berth-dying-registry-'));
  scope.defer(() => rm(folder, { recursive: true, force: true }));
  const parts = { clock: realClock, random: realRandom, log: silentLogger };
  const registry = scope.own(await startRegistry({ ...parts, listen: { host: '127.0.0.1', port: 0 }, folder }));
  const image = `${registry.host}/berth/hello:1`;
  await pushSample(image, c);
  const api = scope.own(
    await startApiServer({
      ...parts,
      store: new MemoryStore({ clock: realClock }),
      listen: [],
      config: { serviceCidr: blocks.serviceCidr, advertise: { address: '127.0.0.1', port: 6443 } },
    }),
  );
  const client = new InProcessClient({ handler: api.handler, user: SYSTEM });
  const ca = await createCa('berth dying agents');
  const options: Omit<GatewayDeps, 'port'> = {
    ...parts,
    client,
    apiEndpoint: API_ENDPOINT,
    fencedClient: (fence) => new InProcessClient({ handler: api.handler, user: SYSTEM, fence: () => fence }),
    clientAs: (user) => new InProcessClient({ handler: api.handler, user }),
    host: '127.0.0.1',
    ca,
    tls: await issue(ca, { commonName: 'berth-server', ipAddresses: ['127.0.0.1'], usages: ['server'], days: 1 }),
    serverClient: await issue(ca, { ...serverSubject(API_ENDPOINT), usages: ['client'], days: 1 }),
    tokens: new SecretTokens({ client, clock: realClock, log: silentLogger }),
    cluster: { clusterDomain: 'cluster.local', ...blocks },
  };
  let gateway = await startGateway({ ...options, port: 0 });
  scope.defer(async () => gateway[Symbol.asyncDispose]());
  const { port } = gateway;
  await makeObjects(client, nodeName, blocks, c);
  const pair = await issue(ca, {
    commonName: `system:node:${nodeName}`,
    organizations: ['system:nodes'],
    usages: ['client'],
    days: 1,
  });
  return {
    client,
    gateway: `127.0.0.1:${port}`,
    cut: async () => {
      await gateway[Symbol.asyncDispose]();
      return async () => {
        gateway = await startGateway({ ...options, port });
      };
    },
    image,
    registryPort: Number(registry.host.split(':')[1]),
    nodeCredentials: { ca: ca.certPem, cert: pair.certPem, key: pair.keyPem },
    [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
  };
}

/** What controllers would make. */
async function makeObjects(client: Client, nodeName: string, { podCidr }: Blocks, c: Ctx): Promise<void> {
  const namespace = 'default';
  await client.create(Kinds.nodes, { metadata: { name: nodeName }, spec: { podCIDR: podCidr } }, c);
  await client.create(Kinds.serviceaccounts, { metadata: { name: 'default', namespace } }, c);
  await client.create(
    Kinds.configmaps,
    { metadata: { name: 'kube-root-ca.crt', namespace }, data: { 'ca.crt': 'none' } },
    c,
  );
}
