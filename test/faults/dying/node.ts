/**
 * One node of real parts (helper, runtime, overlay, namespaces, volumes, supervisors) under a control plane in this process,
 * whose agents die where they are told to. `cut` is the life of one pod with up to three deaths in it.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'vitest';
import { type DeepReadonly, Kinds, type Pod } from '#lib/api';
import { type Ctx, isKind, realClock, realRandom, Scope, silentLogger } from '#lib/base';
import { primaryIp } from '../../../agent/node.ts';
import { removeNode } from '../../../agent/remove.ts';
import { defaultCidrs } from '../../../cli/layout.ts';
import { eventually } from '../../harness/cluster.ts';
import { instanceOfWorker } from '../../harness/instance.ts';
import { freePort } from '../../harness/process.ts';
import { remainsOf } from '../../harness/remains.ts';
import { type LiveContainer, readContainer } from '../host.ts';
import type { MortalAgentConfig } from './agent-process.ts';
import { bundleAgent, MortalAgent } from './agents.ts';
import { type Blocks, type ControlPlane, startControlPlane } from './control-plane.ts';
import type { Death } from './fault-points.ts';
import { makeSources, NAMESPACE, podSpec, RUNNING } from './pod.ts';

const NODE = 'mortal';
const LIMIT_MS = 30_000;
const SETTLED_MS = 1_000;
const NEVER = Number.MAX_SAFE_INTEGER;

/** Where agents die in a pod's life: points from 1 on, absent = nowhere. */
export interface Cut {
  readonly start?: number;
  /** Of the next agent's own start. */
  readonly recovery?: number;
  readonly stop?: number;
  /** The pod is deleted from the API by force while no agent is there: nobody wants what was begun. */
  readonly unwanted?: boolean;
}

export class MortalNode implements AsyncDisposable {
  readonly c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
  readonly instance: string;
  readonly folder: string;
  readonly #controlPlane: ControlPlane;
  readonly #scope: Scope;
  readonly #agentConfig: MortalAgentConfig;
  readonly #bundle: string;
  readonly #hostPort: number;
  #agent: MortalAgent | undefined;
  #remains: ReadonlySet<string> = new Set();
  #pods = 0;

  private constructor(o: {
    folder: string;
    instance: string;
    controlPlane: ControlPlane;
    scope: Scope;
    bundle: string;
    agentConfig: MortalAgentConfig;
    hostPort: number;
  }) {
    this.folder = o.folder;
    this.instance = o.instance;
    this.#controlPlane = o.controlPlane;
    this.#scope = o.scope;
    this.#bundle = o.bundle;
    this.#agentConfig = o.agentConfig;
    this.#hostPort = o.hostPort;
  }

  /** With the image on the node, and what there is after a pod's undisturbed life as the measure of all others. */
  static async open(): Promise<MortalNode> {
    const scope = new Scope('mortal node');
    const c: Ctx = { signal: scope.signal, clock: realClock, log: silentLogger };
    const folder = await mkdtemp(join(tmpdir(), 'berth-dying-'));
    scope.defer(() => rm(folder, { recursive: true, force: true }));
    const instance = instanceOfWorker(realRandom.below(0x10000), (n) => `berth-dy${(n % 0x10000).toString(16)}`);
    const cidrs = defaultCidrs(instance);
    const prefix = cidrs.clusterCidr.split('.').slice(0, 2).join('.');
    const service = cidrs.serviceCidr.split('.').slice(0, 2).join('.');
    const blocks: Blocks = { ...cidrs, podCidr: `${prefix}.1.0/24`, clusterDnsIp: `${service}.0.10` };
    const controlPlane = scope.own(await startControlPlane(NODE, blocks, c));
    await makeSources(controlPlane.client, folder, c);
    const agentConfig = await configure({ folder, instance, controlPlane });
    const bundle = await bundleAgent(folder);
    const hostPort = await freePort();
    const node = new MortalNode({ folder, instance, controlPlane, scope, bundle, agentConfig, hostPort });
    scope.defer(() => node.#removeAll());
    try {
      await node.#start();
      await node.#undisturbed();
      node.#remains = await node.#settled();
    } catch (e) {
      await node[Symbol.asyncDispose]();
      throw e;
    }
    return node;
  }

  /** How many points the start of a pod has, and its stop. */
  async points(): Promise<{ start: number; stop: number; calls: readonly string[] }> {
    return await this.#undisturbed();
  }

  /** How many points an agent passes until it is ready, with the pod running. */
  async recoveryPoints(): Promise<number> {
    const pod = await this.#create();
    await this.#running(pod);
    await this.#agent?.stop('SIGKILL');
    await this.#start(NEVER);
    const { points } = await (this.#agent as MortalAgent).count();
    await this.#delete(pod);
    await this.#gone(pod);
    return points;
  }

  /** What the agent's objects take after so many pods that nothing disturbed. */
  async weightAfter(pods: number): Promise<number> {
    for (let i = 0; i < pods; i++) await this.cut({});
    const agent = await this.#living();
    agent.arm(NEVER);
    return await agent.weigh();
  }

  /** One pod from its creation to its last trace; what died where. */
  async cut(where: Cut): Promise<Death[]> {
    const deaths: Death[] = [];
    const agent = await this.#living();
    if (where.start !== undefined) agent.arm(where.start);
    const pod = await this.#create();
    await this.#deadOr(agent, deaths, () => this.#isRunning(pod));
    if (where.unwanted === true) {
      await agent.stop('SIGKILL');
      await this.#controlPlane.client.delete(Kinds.pods, keyOf(pod), { gracePeriodSeconds: 0 }, this.c);
    }
    if (!agent.isAlive && where.recovery !== undefined) {
      const second = await this.#spawn(where.recovery);
      await this.#deadOr(second, deaths, () => (where.unwanted === true ? this.#isClean() : this.#isRunning(pod)));
    }
    const third = await this.#living();
    if (where.unwanted !== true) {
      await this.#running(pod);
      if (where.stop !== undefined) third.arm(where.stop);
      await this.#delete(pod);
      await this.#deadOr(third, deaths, () => this.#isGone(pod));
    }
    await this.#living();
    await this.#gone(pod);
    return deaths;
  }

  /**
   * While there is no control plane one container dies and another fails its probe, and an agent is killed; both run again before
   * anybody answers. Gives the restart counts that the API has in the end, by container.
   */
  async restartsWithoutControlPlane(): Promise<Record<string, number>> {
    await this.#living();
    const pod = await this.#create({ isProbed: true });
    await this.#running(pod);
    const reconnect = await this.#controlPlane.cut();
    const one = (await this.#live(pod)).find((x) => x.container === 'one');
    process.kill(one?.pid ?? 0, 'SIGKILL');
    await this.#orTold('the one that died runs again', async () => (await this.#began(pod, 'one')) === 2);
    await this.#agent?.stop('SIGKILL');
    await this.#start();
    const sick = join(this.folder, 'shared', pod.metadata.name, 'sick');
    await writeFile(sick, '');
    const isEnded = async (): Promise<boolean> => (await this.#live(pod)).length < RUNNING.length;
    const isAgain = async (): Promise<boolean> => (await this.#began(pod, 'two')) === 2;
    await this.#orTold('the sick one is ended', async () => (await isEnded()) || (await isAgain()));
    await rm(sick);
    await this.#orTold('it runs again', isAgain);
    await reconnect();
    const counts = async (): Promise<Record<string, number>> => {
      const { status } = await this.#controlPlane.client.get(Kinds.pods, keyOf(pod), this.c);
      return Object.fromEntries((status?.containerStatuses ?? []).map((s) => [s.name, s.restartCount]));
    };
    await this.#orTold('the API knows', async () => (await this.#isRunning(pod)) && (await counts())['two'] === 1);
    const known = await counts();
    await this.#delete(pod);
    await this.#gone(pod);
    return known;
  }

  /** Kills the agent, lets `meanwhile` happen, and waits until the next one has left the machine as it was before. */
  async cleansAfter(meanwhile: (place: { instance: string; home: string }) => Promise<void>): Promise<void> {
    const agent = await this.#living();
    await agent.stop('SIGKILL');
    await meanwhile(this.#agentConfig);
    expect(await this.#left()).not.toEqual([]);
    await this.#start();
    await this.#orTold('nothing of it is left', () => this.#isClean());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
  }

  async #undisturbed(): Promise<{ start: number; stop: number; calls: readonly string[] }> {
    const agent = await this.#living();
    agent.arm(NEVER);
    const pod = await this.#create();
    await this.#running(pod);
    const start = await agent.count();
    agent.arm(NEVER);
    await this.#delete(pod);
    await eventually('the pod is gone', LIMIT_MS, () => this.#isGone(pod));
    const stop = await agent.count();
    return { start: start.points, stop: stop.points, calls: [...start.calls, '-- stop', ...stop.calls] };
  }

  async #spawn(diesAt?: number): Promise<MortalAgent> {
    const o = { bundle: this.#bundle, folder: this.folder, agent: this.#agentConfig };
    this.#agent = await MortalAgent.start(o, diesAt);
    return this.#agent;
  }

  async #start(diesAt?: number): Promise<MortalAgent> {
    const agent = await this.#spawn(diesAt);
    if (!(await agent.ready())) throw new Error(`an agent ended in its start:\n${await this.#log()}`);
    return agent;
  }

  async #living(): Promise<MortalAgent> {
    if (this.#agent?.isAlive === true) return this.#agent;
    return await this.#start();
  }

  /** Until the agent died by its own hand, or what it is to do is done. */
  async #deadOr(agent: MortalAgent, deaths: Death[], isDone: () => Promise<boolean>): Promise<void> {
    await eventually('its death, or what it is to do', LIMIT_MS, async () => !agent.isAlive || (await isDone()));
    if (agent.isAlive) {
      agent.arm(NEVER);
      return;
    }
    if (agent.death === undefined) throw new Error(`an agent ended that was not told to:\n${await this.#log()}`);
    deaths.push(agent.death);
  }

  async #create(o: { isProbed?: boolean } = {}): Promise<DeepReadonly<Pod>> {
    const name = `pod-${++this.#pods}`;
    const folder = join(this.folder, 'shared', name);
    await mkdir(folder, { recursive: true });
    const { image, client } = this.#controlPlane;
    const spec = podSpec({ name, nodeName: NODE, image, folder, hostPort: this.#hostPort, ...o });
    return await client.create(Kinds.pods, spec, this.c);
  }

  async #delete(pod: DeepReadonly<Pod>): Promise<void> {
    await this.#controlPlane.client.delete(Kinds.pods, keyOf(pod), {}, this.c);
  }

  async #isRunning(pod: DeepReadonly<Pod>): Promise<boolean> {
    const { status } = await this.#controlPlane.client.get(Kinds.pods, keyOf(pod), this.c);
    const all = status?.containerStatuses ?? [];
    return status?.phase === 'Running' && all.length === 2 && all.every((s) => s.ready);
  }

  async #isGone(pod: DeepReadonly<Pod>): Promise<boolean> {
    try {
      await this.#controlPlane.client.get(Kinds.pods, keyOf(pod), this.c);
      return false;
    } catch (e) {
      if (isKind(e, 'NotFound')) return true;
      throw e;
    }
  }

  /** Running, each container once: one process each, the first attempt, and what it does when it begins done once. */
  async #running(pod: DeepReadonly<Pod>): Promise<void> {
    await this.#orTold(`${pod.metadata.name} is Running`, () => this.#isRunning(pod));
    const { status } = await this.#controlPlane.client.get(Kinds.pods, keyOf(pod), this.c);
    const statuses = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
    expect(statuses.map((s) => [s.name, s.restartCount]).sort()).toEqual(
      [...RUNNING, 'init'].map((n) => [n, 0]).sort(),
    );
    const live = await this.#live(pod);
    expect(live.map((x) => x.container).sort()).toEqual(RUNNING);
    const began = join(this.folder, 'shared', pod.metadata.name, 'began');
    const lines = async (): Promise<string[]> => (await readFile(began, 'utf8')).trim().split('\n').sort();
    await this.#orTold('all have begun', async () => (await lines()).length >= RUNNING.length + 1);
    expect(await lines()).toEqual([...RUNNING, 'init'].sort());
  }

  /** Every container of this pod whose own process lives; one of another pod is a mistake. */
  async #live(pod: DeepReadonly<Pod>): Promise<LiveContainer[]> {
    const folder = join(this.folder, 'home/containers');
    const ids = (await readdir(folder)).filter((n) => /^[0-9a-f]{64}$/.test(n));
    const live = (await Promise.all(ids.map((id) => readContainer(NODE, folder, id)))).filter((x) => x !== undefined);
    expect(live.filter((x) => x.podUid !== pod.metadata.uid)).toEqual([]);
    return live;
  }

  /** How often a container has begun. */
  async #began(pod: DeepReadonly<Pod>, container: string): Promise<number> {
    const text = await readFile(join(this.folder, 'shared', pod.metadata.name, 'began'), 'utf8');
    return text.split('\n').filter((l) => l === container).length;
  }

  /** Gone from the API, and nothing more on the machine than before it. */
  async #gone(pod: DeepReadonly<Pod>): Promise<void> {
    await this.#orTold(`${pod.metadata.name} is gone`, () => this.#isGone(pod));
    await this.#orTold('nothing is left of it', async () => {
      await this.#successor();
      return this.#isClean();
    });
  }

  /** An agent that is told to die no more may have reached its point before it heard that. */
  async #successor(): Promise<void> {
    if (this.#agent === undefined || this.#agent.isAlive) return;
    if (this.#agent.death === undefined) throw new Error(`an agent ended that was not told to:\n${await this.#log()}`);
    await this.#start();
  }

  async #isClean(): Promise<boolean> {
    return (await this.#left()).length === 0;
  }

  async #left(): Promise<string[]> {
    const now = await this.#now();
    const missing = [...this.#remains].filter((x) => !now.has(x)).map((x) => `missing: ${x}`);
    return [...[...now].filter((x) => !this.#remains.has(x)), ...missing];
  }

  /** What there is when nothing goes any more: some of it goes after its pod has gone from the API. */
  async #settled(): Promise<Set<string>> {
    let before = await this.#now();
    for (;;) {
      await realClock.sleep(SETTLED_MS);
      const after = await this.#now();
      if (after.size === before.size && [...after].every((x) => before.has(x))) return after;
      before = after;
    }
  }

  #now(): Promise<Set<string>> {
    return remainsOf(this.#agentConfig);
  }

  async #orTold(what: string, check: () => Promise<boolean>): Promise<void> {
    try {
      await eventually(what, LIMIT_MS, check);
    } catch (cause) {
      const left = (await this.#left()).slice(0, 40).join('\n');
      throw new Error(`${what}: it never was.\nMore than before:\n${left}\nLog:\n${await this.#log()}`, { cause });
    }
  }

  async #log(): Promise<string> {
    const text = await readFile(join(this.folder, 'agent.log'), 'utf8').catch(() => '');
    return text.split('\n').slice(-25).join('\n');
  }

  async #removeAll(): Promise<void> {
    await this.#agent?.stop('SIGTERM');
    const { home, logFolder, helperPath } = this.#agentConfig;
    await removeNode({ instance: this.instance, home, logFolder, helperPath, purge: true }, this.c);
  }
}

function keyOf(pod: DeepReadonly<Pod>): { namespace: string; name: string } {
  return { namespace: NAMESPACE, name: pod.metadata.name };
}

async function configure(o: {
  folder: string;
  instance: string;
  controlPlane: ControlPlane;
}): Promise<MortalAgentConfig> {
  const home = join(o.folder, 'home');
  await mkdir(join(home, 'pki'), { recursive: true });
  const { ca, cert, key } = o.controlPlane.nodeCredentials;
  await writeFile(join(home, 'pki/ca.crt'), ca);
  await writeFile(join(home, 'pki/node.crt'), cert);
  await writeFile(join(home, 'pki/node.key'), key, { mode: 0o600 });
  return {
    instance: o.instance,
    home,
    nodeName: NODE,
    nodeIp: await primaryIp(),
    gateways: [o.controlPlane.gateway],
    helperPath: resolve('dist/berth-helper'),
    runtime: 'crun',
    networkMode: 'routes',
    registryPort: o.controlPlane.registryPort,
    registries: { certsFolder: join(o.folder, 'certs'), proxy: undefined },
    logFolder: join(o.folder, 'log'),
    podsMax: 10,
    labels: {},
    taints: [],
    version: 'test',
    nodePortRange: [30_000, 32_767],
  };
}
