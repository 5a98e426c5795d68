/**
 * `berth join`: this machine becomes a node of a cluster that runs elsewhere. The token becomes a certificate; then the agent
 * runs in the background under `tend`, in the foreground, or as a systemd unit. Without a token a node that has joined before
 * is started again. `berth leave` undoes it.
 */
import { access, mkdir, rm, rmdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type Ctx, messageOf, realClock, StatusError, silentLogger, writeFileAtomic } from '#lib/base';
import { type JoinInfo, parseJoinText } from '#lib/pki';
import { removeNode } from '../../agent/remove.ts';
import { joinCluster } from '../../agent/session/join.ts';
import { wrongUse } from '../client/arguments.ts';
import { findCluster, refuseOtherHome } from '../instance.ts';
import { agentFlags, type JoinedNode, joinedSocket, readJoined, writeJoined } from '../joined.ts';
import { DEFAULT_INSTANCE, defaultHome, defaultPorts, nodeHome, runFolder } from '../layout.ts';
import { INSTANCE_TEXT, isInstance } from '../names.ts';
import { readNodeSettings } from '../node-configuration.ts';
import { refuseNodeMistakes } from '../node-options.ts';
import { createSteps, type Steps } from '../output/steps.ts';
import { berthArgv, helperPath } from '../process.ts';
import { installAgentUnit, removeAgentUnit, requireSystemd } from '../systemd.ts';
import { runningTend, startTend, stopTended, type TendOptions } from '../tend.ts';
import { waitUntil } from '../up/wait.ts';
import { runAgent } from './agent.ts';
import { checkEndpoint } from './token.ts';

export interface JoinOptions {
  readonly server?: readonly string[];
  readonly instance?: string;
  readonly home?: string;
  readonly nodeName?: string;
  readonly nodeIp?: string;
  readonly registryUpstream?: string;
  readonly networkMode?: string;
  readonly runtime?: string;
  readonly logFolder?: string;
  readonly maxPods?: string;
  readonly label?: readonly string[];
  readonly taint?: readonly string[];
  readonly foreground?: boolean;
  readonly systemd?: boolean;
}

const CONNECT_MS = 5_000;
const READY_LIMIT_MS = 60_000;

export async function joinCommand(text: string | undefined, o: JoinOptions): Promise<number> {
  if (o.foreground === true && o.systemd === true) throw wrongUse('give --foreground or --systemd, not both');
  // All that can be wrong is looked at before the token is spent: it is good once.
  const info = text === undefined ? undefined : parseJoinText(text);
  for (const s of o.server ?? []) checkEndpoint('--server', s);
  const nodeName = o.nodeName ?? hostname().toLowerCase();
  refuseNodeMistakes({ ...o, nodeName });
  if (o.instance !== undefined && !isInstance(o.instance)) throw wrongUse(`--instance ${o.instance}: ${INSTANCE_TEXT}`);
  if (process.getuid?.() !== 0)
    throw new StatusError(
      'Invalid',
      'berth join needs root: a node makes namespaces, mounts and links. Run it with sudo.',
    );
  helperPath();
  if (o.systemd === true) await requireSystemd();
  const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
  const { home, layout } = await findCluster({ home: o.home ?? defaultHome(o.instance ?? DEFAULT_INSTANCE) });
  if (layout !== undefined)
    throw new StatusError(
      'Invalid',
      `this machine runs a cluster of its own below ${home}: join with another --instance, or 'berth down --purge' first`,
    );
  await refuseOtherHome({ instance: o.instance ?? DEFAULT_INSTANCE, home });
  await readNodeSettings(nodeHome({ home }, nodeName));
  const steps = createSteps(realClock);
  const node = info === undefined ? await joinedBefore(home, o) : await joinNow({ info, home, nodeName }, o, steps, c);
  await startNode(node, o, steps, c);
  return 0;
}

async function joinedBefore(home: string, o: JoinOptions): Promise<JoinedNode> {
  const known = (await readJoined(home)).filter((n) => o.nodeName === undefined || n.nodeName === o.nodeName);
  const [node] = known;
  if (node === undefined)
    throw wrongUse(`no node has joined from ${home} yet: 'berth token create' on the cluster prints what to pass here`);
  return node;
}

async function joinNow(
  x: { readonly info: JoinInfo; readonly home: string; readonly nodeName: string },
  o: JoinOptions,
  steps: Steps,
  c: Ctx,
): Promise<JoinedNode> {
  const { info, home, nodeName } = x;
  const folder = join(nodeHome({ home }, nodeName), 'pki');
  const isKnown = await access(join(folder, 'node.crt')).then(
    () => true,
    () => false,
  );
  if (isKnown)
    throw new StatusError(
      'Invalid',
      `${nodeName} has joined already: 'berth join' without a token starts it, 'berth leave --purge' forgets it`,
    );
  const endpoints = o.server ?? info.endpoints;
  const gateway = await steps.run(`reaching the gateway at ${endpoints.join(', ')}`, () =>
    firstReachable(endpoints, c),
  );
  const node = describe({ info, endpoints, gateway, nodeName, home }, o);
  const made = await steps.run(`asking for the certificate of node ${nodeName}`, () =>
    joinCluster({ info: { ...info, endpoints }, nodeName }, c),
  );
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // The certificate last: it is what says that the node has joined.
  await writeFileAtomic(join(folder, 'ca.crt'), made.ca);
  await writeFileAtomic(join(folder, 'node.key'), made.key, { mode: 0o600 });
  await writeJoined(node);
  await writeFileAtomic(join(folder, 'node.crt'), made.cert);
  return node;
}

interface Reached {
  readonly endpoint: string;
  /** Ours, toward the gateway: where other nodes reach this one. */
  readonly localAddress: string;
}

function describe(
  x: { info: JoinInfo; endpoints: readonly string[]; gateway: Reached; nodeName: string; home: string },
  o: JoinOptions,
): JoinedNode {
  const registryPort = x.info.registryPort ?? defaultPorts(DEFAULT_INSTANCE).registryPort;
  const host = x.gateway.endpoint.slice(0, x.gateway.endpoint.lastIndexOf(':'));
  return {
    version: 1,
    instance: o.instance ?? DEFAULT_INSTANCE,
    home: x.home,
    nodeName: x.nodeName,
    nodeIp: o.nodeIp ?? x.gateway.localAddress,
    gateways: x.endpoints,
    registryPort,
    registryUpstream: o.registryUpstream ?? `tls://${host}:${registryPort}`,
    networkMode: o.networkMode ?? 'vxlan',
    runtime: o.runtime ?? 'auto',
    logFolder: o.logFolder ?? '/var/log',
    maxPods: o.maxPods ?? '250',
    labels: o.label ?? [],
    taints: o.taint ?? [],
  };
}

async function firstReachable(endpoints: readonly string[], c: Ctx): Promise<Reached> {
  const told: string[] = [];
  for (const endpoint of endpoints) {
    try {
      return { endpoint, localAddress: await localAddressToward(endpoint, c) };
    } catch (e) {
      told.push(`${endpoint}: ${messageOf(e)}`);
    }
  }
  throw new StatusError(
    'Unavailable',
    `no gateway can be reached (${told.join('; ')}): is the cluster up, and its port open in the firewall? --server HOST:PORT names another address`,
  );
}

function localAddressToward(endpoint: string, c: Ctx): Promise<string> {
  const at = endpoint.lastIndexOf(':');
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: endpoint.slice(0, at).replace(/^\[|\]$/g, ''),
      port: Number(endpoint.slice(at + 1)),
    });
    const limit = c.clock.after(CONNECT_MS, () => socket.destroy(new Error('no answer')));
    socket.once('connect', () => {
      resolve(socket.localAddress ?? '');
      socket.destroy();
    });
    socket.once('error', reject);
    socket.once('close', () => limit.cancel());
  });
}

async function startNode(node: JoinedNode, o: JoinOptions, steps: Steps, c: Ctx): Promise<void> {
  if (o.foreground === true) {
    process.stdout.write(`Node ${node.nodeName} runs in the foreground; it ends at Ctrl-C, its containers run on.\n`);
    await runAgent({
      ...node,
      gateway: node.gateways,
      home: nodeHome(node, node.nodeName),
      registryPort: String(node.registryPort),
      label: node.labels,
      taint: node.taints,
    });
    return;
  }
  const socket = joinedSocket(node);
  if ((await runningTend(socket)) !== undefined) {
    process.stdout.write(`Node ${node.nodeName} is already running; nothing was changed.\n`);
    return;
  }
  const logFile =
    o.systemd === true ? 'journalctl -u berth-agent' : join(node.home, 'log', `agent-${node.nodeName}.log`);
  if (o.systemd === true) await steps.run('installing and starting berth-agent.service', () => installAgentUnit(node));
  else await steps.run('starting the agent', () => startTend(tendOptions(node)));
  await steps.run('waiting for the cluster', () => untilWelcome(node, logFile, c));
  process.stdout.write(
    `\nNode ${node.nodeName} (${node.nodeIp}) has joined. Log: ${logFile}\n` +
      `On the cluster: kubectl get nodes        (or: berth get nodes)\nHere: berth status, berth leave\n` +
      (o.systemd === true
        ? ''
        : `After a reboot 'berth join' starts it again; 'berth join --systemd' would do so by itself.\n`),
  );
}

function tendOptions(node: JoinedNode): TendOptions {
  return {
    helperPath: helperPath(),
    socket: joinedSocket(node),
    folder: join(nodeHome(node, node.nodeName), 'tend'),
    logFolder: join(node.home, 'log'),
    processes: [{ name: `agent-${node.nodeName}`, argv: [...berthArgv(), 'agent', ...agentFlags(node)] }],
  };
}

/** The agent writes this file once the gateway has welcomed it and it has a pod CIDR. */
async function untilWelcome(node: JoinedNode, logFile: string, c: Ctx): Promise<void> {
  const path = join(nodeHome(node, node.nodeName), 'cluster-info.json');
  await waitUntil(
    READY_LIMIT_MS,
    () => access(path).then(() => true),
    () => `the agent has not been welcomed by the cluster; its log says why: ${logFile}`,
    c,
  );
}

export async function leaveCommand(o: { instance?: string; home?: string; purge?: boolean }): Promise<number> {
  const home = o.home ?? defaultHome(o.instance ?? DEFAULT_INSTANCE);
  const nodes = await readJoined(home);
  if (nodes.length === 0) {
    process.stdout.write(`No node has joined from ${home}; nothing to do.\n`);
    return 0;
  }
  if (process.getuid?.() !== 0)
    throw wrongUse('berth leave needs root: it ends processes, mounts and links of root. Run it with sudo.');
  const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
  const steps = createSteps(realClock);
  for (const n of nodes) {
    const folder = nodeHome(n, n.nodeName);
    await steps.run('stopping the agent', async () => {
      await removeAgentUnit(n);
      await stopTended(tendOptions(n));
    });
    await steps.run('ending containers, mounts and links', () =>
      removeNode(
        {
          instance: n.instance,
          home: folder,
          logFolder: n.logFolder,
          helperPath: helperPath(),
          purge: o.purge === true,
        },
        c,
      ),
    );
    if (o.purge === true) await steps.run(`removing ${folder}`, () => rm(folder, { recursive: true, force: true }));
    process.stdout.write(`On the cluster: berth delete node ${n.nodeName}\n`);
  }
  for (const n of nodes) await rm(joinedSocket(n), { force: true });
  for (const instance of new Set(nodes.map((n) => n.instance))) await rmdir(runFolder(instance)).catch(() => undefined); // Others use it.
  return 0;
}
