/**
 * A laboratory of network namespaces: fake hosts on one switch, each with an agent network of its own, pods as namespaces,
 * and a client outside of the cluster. The machine's own network is not touched. Closing it removes everything.
 */
import type { ChildProcess } from 'node:child_process';
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const exec = promisify(execFile);

export const CLUSTER = {
  clusterCidr: '10.42.0.0/16',
  serviceCidr: '10.43.0.0/16',
  clusterDomain: 'cluster.local',
  clusterDnsIp: '10.43.0.10',
  nodePortRange: [30_000, 32_767],
} as const;

export async function run(file: string, ...args: string[]): Promise<string> {
  const { stdout } = await exec(file, args, { maxBuffer: 16 << 20 });
  return stdout;
}

/** Runs inside a namespace of the lab; throws when the program fails. */
export async function inside(netns: string, ...argv: string[]): Promise<string> {
  return run('nsenter', `--net=/run/netns/${netns}`, '--', ...argv);
}

export class Lab implements AsyncDisposable {
  readonly id: string;
  readonly folder: string;
  readonly hosts: Host[] = [];
  readonly #namespaces: string[] = [];
  readonly #processes: ChildProcess[] = [];

  private constructor(id: string, folder: string) {
    this.id = id;
    this.folder = folder;
  }

  static async open(id: string): Promise<Lab> {
    const lab = new Lab(`${id}${process.pid}`, await mkdtemp(join(tmpdir(), `berth-${id}-`)));
    await lab.addNamespace('sw');
    await inside(lab.name('sw'), 'ip', 'link', 'add', 'br0', 'type', 'bridge');
    await inside(lab.name('sw'), 'ip', 'link', 'set', 'br0', 'up');
    await lab.plug('ext', '192.168.77.200');
    return lab;
  }

  name(short: string): string {
    return `${this.id}-${short}`;
  }

  async addNamespace(short: string): Promise<string> {
    const name = this.name(short);
    await run('ip', 'netns', 'add', name);
    this.#namespaces.push(name);
    await inside(name, 'ip', 'link', 'set', 'lo', 'up');
    return name;
  }

  /** Host number n has 192.168.77.n and the pod block 10.42.n.0/24. */
  async addHost(n: number, o: { mode?: 'vxlan' | 'routes'; resolvConf?: string } = {}): Promise<Host> {
    const netns = await this.plug(`h${n}`, `192.168.77.${n}`);
    const host = new Host(this, n, netns, o.mode ?? 'vxlan');
    host.start(o.resolvConf);
    this.hosts.push(host);
    return host;
  }

  /** A machine on the switch. */
  async plug(short: string, ip: string): Promise<string> {
    const netns = await this.addNamespace(short);
    await inside(this.name('sw'), 'ip', 'link', 'add', short, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns);
    await inside(this.name('sw'), 'ip', 'link', 'set', short, 'master', 'br0', 'up');
    await inside(netns, 'ip', 'addr', 'add', `${ip}/24`, 'dev', 'eth0');
    await inside(netns, 'ip', 'link', 'set', 'eth0', 'up');
    return netns;
  }

  /** A Node script inside a namespace; it is ended with the lab. Resolves with its first line of output. */
  async script(netns: string, source: string, ...args: string[]): Promise<{ child: ChildProcess; line: string }> {
    const child = this.spawn(netns, process.execPath, '-e', source, ...args);
    for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) return { child, line };
    throw new Error(`script ended without output in ${netns}`);
  }

  spawn(netns: string, ...argv: string[]): ChildProcess {
    const child = spawn('nsenter', [`--net=/run/netns/${netns}`, '--', ...argv], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#processes.push(child);
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = this.#processes.map((child) => {
      if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
      return new Promise<void>((resolve) => {
        child.once('exit', () => resolve());
        child.kill('SIGKILL');
      });
    });
    await Promise.all(ended);
    for (const name of this.#namespaces.reverse()) await run('ip', 'netns', 'del', name);
    await rm(this.folder, { recursive: true, force: true });
  }
}

export interface Pod {
  readonly id: string;
  readonly netns: string;
  readonly ip: string;
}

export class Host {
  readonly lab: Lab;
  readonly n: number;
  readonly netns: string;
  readonly mode: 'vxlan' | 'routes';
  readonly ip: string;
  #child: ChildProcess | undefined;
  #nextId = 0;
  readonly #waiting = new Map<
    number,
    { resolve: (r: { result: unknown; ms: number }) => void; reject: (e: Error) => void }
  >();

  constructor(lab: Lab, n: number, netns: string, mode: 'vxlan' | 'routes') {
    this.lab = lab;
    this.n = n;
    this.netns = netns;
    this.mode = mode;
    this.ip = `192.168.77.${n}`;
  }

  start(resolvConf = '/dev/null'): void {
    const script = join(import.meta.dirname, 'network-host.ts');
    const folder = join(this.lab.folder, `host${this.n}`);
    const child = this.lab.spawn(this.netns, process.execPath, '--import', 'tsx', script, 'lab', folder, resolvConf);
    this.#child = child;
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const answer = JSON.parse(line) as { id: number; result: unknown; ms: number; error?: string };
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if (answer.error === undefined) waiting?.resolve(answer);
      else waiting?.reject(new Error(answer.error));
    });
  }

  /** kill -9 of the agent; `start` begins a new one. */
  async kill(): Promise<void> {
    const child = this.#child;
    await new Promise<void>((resolve) => {
      child?.once('exit', () => resolve());
      child?.kill('SIGKILL');
    });
  }

  async timed(method: string, params: unknown = null): Promise<{ result: unknown; ms: number }> {
    const id = ++this.#nextId;
    const answer = new Promise<{ result: unknown; ms: number }>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
    });
    this.#child?.stdin?.write(`${JSON.stringify({ id, method, params })}\n`);
    return answer;
  }

  async call(method: string, params: unknown = null): Promise<unknown> {
    return (await this.timed(method, params)).result;
  }

  async configure(): Promise<void> {
    const own = { nodeName: `node${this.n}`, nodeIp: this.ip, podCidr: `10.42.${this.n}.0/24`, mode: this.mode };
    await this.call('configure', { ...CLUSTER, ...own });
  }

  async addPod(short: string, hostPorts: readonly unknown[] = []): Promise<Pod> {
    return this.attachPod(short, await this.lab.addNamespace(short), hostPorts);
  }

  async attachPod(short: string, netns: string, hostPorts: readonly unknown[] = []): Promise<Pod> {
    const id = `${this.lab.id}-${short}`;
    const { ip } = (await this.call('attach', { id, netns: `/run/netns/${netns}`, hostPorts })) as { ip: string };
    return { id, netns, ip };
  }

  /** As the API describes it. */
  get node(): unknown {
    return {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: `node${this.n}` },
      spec: { podCIDR: `10.42.${this.n}.0/24` },
      status: { addresses: [{ type: 'InternalIP', address: this.ip }] },
    };
  }
}
