/**
 * `berth up`: from nothing to a page that answers. Each step is idempotent: after a crash or a reboot the same command goes
 * on from what is there; on a running cluster it changes nothing.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Kinds, readYaml } from '#lib/api';
import {
  type Clock,
  type Ctx,
  isKind,
  messageOf,
  realClock,
  realRandom,
  StatusError,
  silentLogger,
  writeFileAtomic,
} from '#lib/base';
import { clusterAccess, HttpClient, newKubeconfig, writeKubeconfig } from '#lib/client';
import { applyManifests } from '../apply.ts';
import { ClusterPki } from '../cluster-pki.ts';
import { dockerSocket } from '../docker-door.ts';
import { ensureEtcdPki } from '../etcd-access.ts';
import { findCluster, refuseOtherHome } from '../instance.ts';
import {
  type ClusterLayout,
  DEFAULT_INSTANCE,
  kubeconfigPath,
  nodeHome,
  pkiFolder,
  runFolder,
  tendFolder,
  tendSocket,
  writeLayout,
} from '../layout.ts';
import { ensureNatsAccess, splitNatsUrl } from '../nats-access.ts';
import { readNodeSettings } from '../node-configuration.ts';
import { createSteps, type Steps } from '../output/steps.ts';
import { examplePath } from '../process.ts';
import { readServerConfiguration } from '../server-configuration.ts';
import { runningTend, startTend, survivors } from '../tend.ts';
import { takeTurn, waitToChoose } from '../turn.ts';
import { refuseUsedBlocks } from '../up/blocks.ts';
import { checkEtcd } from '../up/external.ts';
import { hostNet, makeHosts } from '../up/hosts.ts';
import { checkPorts, layoutOf, refuseMistakes, type UpOptions } from '../up/layout-of.ts';
import { tendOptions } from '../up/parent.ts';
import { pushSample } from '../up/sample.ts';
import { checkSpace } from '../up/space.ts';
import { fetchPage, readyNodes, waitForRollout, waitUntil } from '../up/wait.ts';

const SAMPLE = { namespace: 'hello', name: 'hello' };
const SAMPLE_NODE_PORT = 30080;
const START_LIMIT_MS = 60_000;
/** For another cluster of this machine that is being made. */
const OTHERS_LIMIT_MS = 120_000;

export async function up(o: UpOptions): Promise<number> {
  const clock = realClock;
  const c: Ctx = { signal: new AbortController().signal, clock, log: silentLogger };
  try {
    if (process.getuid?.() !== 0)
      throw new StatusError('Invalid', 'berth up needs root: it makes namespaces, mounts and links. Run it with sudo.');
    refuseMistakes(o);
    const { layout: known } = await findCluster(o);
    if (known !== undefined) refuseOtherShape(known, o);
    await using _turn = await takeTurn(known?.instance ?? o.instance ?? DEFAULT_INSTANCE, 'up');
    await using _choice = known === undefined ? await waitToChoose(OTHERS_LIMIT_MS, c) : undefined;
    const layout = known ?? (await layoutOf(o));
    await refuseOtherHome(layout);
    if (known !== undefined && isWhole(known, o) && (await isRunning(known, c))) {
      process.stdout.write(`The cluster "${known.instance}" is already running; nothing was changed.\n`);
      tellWhere(known);
      return 0;
    }
    await readServerConfiguration(layout);
    for (const n of layout.nodes) await readNodeSettings(nodeHome(layout, n.name));
    await startCluster(layout, o, createSteps(clock), c);
    return 0;
  } catch (e) {
    process.stderr.write(`\nberth up: ${messageOf(e)}\n`);
    return isKind(e, 'Invalid') || isKind(e, 'BadRequest') ? 2 : 1;
  }
}

/** A cluster keeps the shape it was made with: ports, addresses and hosts stand in certificates and objects. */
function refuseOtherShape(known: ClusterLayout, o: UpOptions): void {
  const hosts = known.nodes.filter((n) => n.netns !== undefined).length;
  const given: [string, string | undefined, string][] = [
    ['--nodes', o.nodes, String(hosts)],
    ['--api-port', o.apiPort, String(known.apiPort)],
    ['--registry-port', o.registryPort, String(known.registryPort)],
    ['--server-ip', o.serverIp, known.serverIp],
    ['--etcd-endpoints', o.etcdEndpoints, (known.etcdEndpoints ?? []).join(',')],
    ['--nats', o.nats === undefined ? undefined : splitNatsUrl(o.nats).url, known.natsUrl ?? ''],
  ];
  const other = given.filter(([, asked, is]) => asked !== undefined && asked !== is);
  if (other.length === 0) return;
  const lines = other.map(
    ([flag, asked, is]) =>
      `${flag} ${asked}: the cluster below ${known.home} was made with ${is === '' || is === '0' ? 'none' : is}`,
  );
  throw new StatusError(
    'Invalid',
    `${lines.join('\n')}\n'berth down --home ${known.home} --purge' removes it with all its state; another --instance runs beside it`,
  );
}

/** False when an `up` was cut off before the sample was applied: the next one goes on from there. */
function isWhole(layout: ClusterLayout, o: UpOptions): boolean {
  return o.sample === false || layout.role !== undefined || existsSync(sampleMark(layout));
}

/** Made once the sample is there: it is applied once in a cluster's life, so that a user who deletes it is rid of it. */
function sampleMark(layout: ClusterLayout): string {
  return join(layout.home, 'sample-applied');
}

async function isRunning(layout: ClusterLayout, c: Ctx): Promise<boolean> {
  if ((await runningTend(tendSocket(layout))) === undefined) return false;
  const client = await adminClient(layout).catch(() => undefined);
  if (client === undefined) return false;
  await using open = client;
  // Awaited before `open` is closed at the end of this block.
  const ready = await isReady(open, c).catch(() => false);
  return ready;
}

async function isReady(client: HttpClient, c: Ctx): Promise<boolean> {
  const answer = await client.raw({ method: 'GET', path: '/readyz' }, c);
  await answer.body.dump();
  return answer.statusCode === 200;
}

/** Every step is idempotent: what is there already stays. */
export async function startCluster(layout: ClusterLayout, o: UpOptions, steps: Steps, c: Ctx): Promise<void> {
  const begin = c.clock.monotonic();
  const adopted = await runningTend(tendSocket(layout));
  const alive = await survivors(tendFolder(layout));
  if (adopted === undefined && alive.length === 0)
    await steps.run('checking ports, addresses and disk', async () => {
      // A further server routes nothing, and beside a node of its cluster the blocks are rightly in use.
      if (layout.role === undefined) refuseUsedBlocks(layout);
      await checkPorts(layout);
      await checkSpace(layout);
    });
  if (layout.etcdEndpoints !== undefined)
    await steps.run(`asking etcd at ${layout.etcdEndpoints.join(', ')}`, () => checkEtcd(layout));
  await steps.run('certificates and kubeconfig', () => prepare(layout, o, c.clock));
  const net = hostNet(layout.instance, layout.clusterCidr);
  if (layout.nodes.some((n) => n.netns !== undefined))
    await steps.run(`${layout.nodes.length} hosts as network namespaces`, () => makeHosts(net, layout.nodes, c));
  if (adopted === undefined)
    await steps.run(alive.length > 0 ? `taking over ${alive.length} running processes` : 'starting processes', () =>
      startTend(tendOptions(layout)),
    );
  await using client = await adminClient(layout);
  await steps.run('waiting for the API server', () =>
    waitUntil(
      START_LIMIT_MS,
      () => isReady(client, c),
      () => `the API server does not answer; see ${layout.home}/log/server.log`,
      c,
    ),
  );
  // A further server has no node of its own, and the sample is the first one's.
  if (layout.role === undefined) await waitForNodes(layout, client, steps, c);
  if (o.sample !== false && layout.role === undefined) await deploySample(layout, client, steps, c);
  process.stdout.write(`\nBerth is up after ${((c.clock.monotonic() - begin) / 1000).toFixed(1)}s.\n`);
  tellWhere(layout);
}

async function waitForNodes(layout: ClusterLayout, client: HttpClient, steps: Steps, c: Ctx): Promise<void> {
  await steps.run(`waiting for ${layout.nodes.length === 1 ? 'the node' : `${layout.nodes.length} nodes`}`, () =>
    waitUntil(
      START_LIMIT_MS,
      async () => (await readyNodes(client, c)) >= layout.nodes.length,
      () => `not every node is Ready; see ${layout.home}/log`,
      c,
    ),
  );
}

export async function prepare(layout: ClusterLayout, o: UpOptions, clock: Clock): Promise<void> {
  await mkdir(join(layout.home, 'log'), { recursive: true, mode: 0o711 }).catch((e: unknown) => {
    const remedy = 'mend that, or choose another folder with --home';
    throw new StatusError('Invalid', `nothing can be kept below ${layout.home} (${messageOf(e)}): ${remedy}`, {
      cause: e,
    });
  });
  await mkdir(runFolder(layout.instance), { recursive: true, mode: 0o700 });
  await writeLayout(layout);
  await ensureEtcdPki(layout, clock, layout.certificateDays);
  await ensureNatsAccess(layout, o.nats, realRandom);
  const pki = new ClusterPki(pkiFolder(layout), clock, layout.certificateDays);
  const [ca, admin] = [await pki.ca(), await pki.admin()];
  for (const n of layout.nodes) {
    const pair = await pki.node(n.name);
    const folder = join(nodeHome(layout, n.name), 'pki');
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await writeFileAtomic(join(folder, 'node.key'), pair.keyPem, { mode: 0o600 });
    await writeFileAtomic(join(folder, 'node.crt'), pair.certPem);
    await writeFileAtomic(join(folder, 'ca.crt'), ca.certPem);
  }
  const server = `https://${layout.nodes.some((n) => n.netns !== undefined) ? layout.serverIp : '127.0.0.1'}:${layout.apiPort}`;
  await writeKubeconfig(
    kubeconfigPath(layout),
    newKubeconfig({ name: layout.instance, server, caPem: ca.certPem, certPem: admin.certPem, keyPem: admin.keyPem }),
  );
}

/**
 * A sample that is there already belongs to the user: what was changed of it stays, and if it does not answer, that is told
 * only. It is there when the last of its objects, the Service, is; once it was, one that is gone was deleted by the user.
 */
async function deploySample(layout: ClusterLayout, client: HttpClient, steps: Steps, c: Ctx): Promise<void> {
  const absent = (e: unknown): undefined => {
    if (!isKind(e, 'NotFound')) throw e;
  };
  const mark = sampleMark(layout);
  const isApplied = (await client.get(Kinds.services, SAMPLE, c).catch(absent)) !== undefined;
  if (!isApplied && existsSync(mark)) return;
  if (!isApplied) await applySample(layout, client, steps, c);
  await writeFileAtomic(mark, '');
  if (!isApplied) {
    await showSample(layout, client, steps, c);
    return;
  }
  const deployment = await client.get(Kinds.deployments, SAMPLE, c).catch(absent);
  if (deployment !== undefined && deployment.spec.replicas !== 0)
    await showSample(layout, client, steps, c).catch((e: unknown) =>
      process.stdout.write(`\nThe sample does not answer: ${messageOf(e)}\n`),
    );
}

async function applySample(layout: ClusterLayout, client: HttpClient, steps: Steps, c: Ctx): Promise<void> {
  const registry = `localhost:${layout.registryPort}`;
  await steps.run(`packing the sample image and pushing it to ${registry}`, () =>
    pushSample(`${registry}/berth/hello:1`, c),
  );
  const yaml = (await readFile(examplePath('hello.yaml'), 'utf8')).replaceAll('localhost:5000', registry);
  await steps.run('applying deploy/examples/hello.yaml', async () =>
    applyManifests(
      client,
      (await readYaml(yaml)).map((d) => d.value),
      {},
      c,
    ),
  );
}

async function showSample(layout: ClusterLayout, client: HttpClient, steps: Steps, c: Ctx): Promise<void> {
  const { spec } = await client.get(Kinds.deployments, SAMPLE, c);
  await steps.run(`waiting for ${spec.replicas ?? 1} replicas`, () =>
    waitForRollout(client, SAMPLE, START_LIMIT_MS, c),
  );
  const url = `http://${layout.nodes[0]?.ip ?? '127.0.0.1'}:${SAMPLE_NODE_PORT}/`;
  const page = await steps.run(`fetching ${url}`, () => fetchPage(url, 10_000, c));
  process.stdout.write(`\n${page.trim()}\n`);
}

function tellWhere(layout: ClusterLayout): void {
  const api = `https://${layout.serverIp}:${layout.apiPort}`;
  process.stdout.write(`
  API          ${api}
  kubeconfig   ${kubeconfigPath(layout)}
  registry     localhost:${layout.registryPort} (on every node)
  state, logs  ${layout.home}

Try next:
  export KUBECONFIG=${kubeconfigPath(layout)}
  kubectl get pods -A -o wide              (or: bin/berth get pods -A)
  kubectl -n hello scale deploy/hello --replicas=5
  export DOCKER_HOST=unix://${dockerSocket(layout.nodes[0]?.netns ?? layout.instance)}   (docker, compose; or: bin/berth docker-context)
`);
}

async function adminClient(layout: ClusterLayout): Promise<HttpClient> {
  const path = kubeconfigPath(layout);
  const { readKubeconfig } = await import('#lib/client');
  return new HttpClient({ access: await clusterAccess(await readKubeconfig(path), { path }), userAgent: 'berth-up' });
}
