/**
 * The container of a RUN: isolated as those of pods are (seccomp RuntimeDefault, Docker's default capabilities, masked paths,
 * namespaces of its own), but that setuid programs work, as `sudo` in a RUN must. Its network is the host's, or none (ADR 0027).
 */
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, type Random, raceAbort, StatusError } from '#lib/base';
import type { LinuxKernel } from '../../kernel/linux/open.ts';
import { readLog } from '../../pods/log-file.ts';
import { parseLines } from '../../pods/log-lines.ts';
import type { ContainerSpec, PodObject } from '../../pods/model.ts';
import { resolveUser } from '../../pods/user.ts';
import { isolate } from '../../runtime/isolation/isolate.ts';
import type { IsolationSettings } from '../../runtime/isolation/settings.ts';
import type { OciMount, OciSpec } from '../../runtime/oci-spec.ts';
import type { ContainerId, ContainerState, Runtime } from '../../runtime/runtime.ts';
import { ociSpecOf } from '../../runtime/spec.ts';
import type { StepProcess } from '../solve/worker.ts';
import type { StepSettings } from './step-settings.ts';

export interface StepHost {
  readonly kernel: LinuxKernel;
  readonly runtime: Runtime;
  readonly isolation: IsolationSettings;
  /** Of all builds. */
  readonly cgroupParent: string;
  readonly random: Random;
}

export interface BuildStepHost extends StepHost {
  readonly settings: StepSettings;
}

const HOSTNAME = 'build';
const HOSTS = `127.0.0.1\tlocalhost ${HOSTNAME}\n::1\tlocalhost ip6-localhost ip6-loopback\n`;
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const POD: PodObject = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'build' }, spec: { containers: [] } };
const CONTAINER: ContainerSpec = { name: 'step', securityContext: { allowPrivilegeEscalation: true } };
const NO_CONFIG = {
  ...{ user: '', env: [], entrypoint: [], cmd: [], stopSignal: '', volumes: [], labels: {} },
  workingDir: '',
} as const;
const LOG_BYTES_MAX = 16 << 20;
/** Of a memory-hungry step rather than of a pod. */
const OOM_SCORE_ADJ = 500;
const ETC = ['hosts', 'resolv.conf', 'hostname'] as const;

/** Where its mounts are, which need a place in the root. */
export function mountTargets(mounts: readonly OciMount[]): readonly string[] {
  const standard = ['/proc', '/sys', '/dev', '/dev/shm'];
  return [...standard, ...ETC.map((n) => `/etc/${n}`), ...mounts.map((m) => m.destination)];
}

export interface StepRun {
  readonly rootfs: string;
  /** For this step alone; the caller removes it. */
  readonly scratch: string;
  readonly process: StepProcess;
  readonly mounts: readonly OciMount[];
}

/** Runs it to its end; when it returns or throws no process of it is left. Its exit code. */
export async function runStepContainer(host: BuildStepHost, r: StepRun, c: Ctx): Promise<number> {
  const { runtime, random } = host;
  const id = random.hex(32) as ContainerId;
  const path = join(r.scratch, 'log', 'output');
  const spec = await specOf(host, r, id);
  const exit = whenExited(runtime, id);
  r.process.onContainer(id);
  try {
    await runtime.start(
      {
        ...{ id, spec, rootfs: r.rootfs, labels: { 'berth.build': 'step' } },
        ...{ log: { path, maxBytes: LOG_BYTES_MAX, maxFiles: 3 }, tty: false, stdin: false, stdinOnce: false },
      },
      c,
    );
    const told = await runtime.state(id, c);
    if (told?.phase === 'exited') exit.tell(told);
    // A last line without a newline is written after the exit is told, when the supervisor ends.
    const ended = exit.state.then(() => runtime.remove(id, { ...c, signal: new AbortController().signal }));
    const [state] = await raceAbort(
      Promise.all([exit.state, printed({ path, follow: true, ended }, r.process.onOutput, c)]),
      c.signal,
    );
    if (state.oomKilled) await r.process.onOutput(Buffer.from('berth: the step was killed: out of memory\n'));
    return state.exitCode;
  } finally {
    exit[Symbol.dispose]();
    await runtime.remove(id, { ...c, signal: new AbortController().signal });
  }
}

type Exited = ContainerState & { phase: 'exited' };

function whenExited(
  runtime: Runtime,
  id: ContainerId,
): Disposable & { readonly state: Promise<Exited>; tell(s: Exited): void } {
  let tell: (s: Exited) => void = () => undefined;
  const state = new Promise<Exited>((resolve) => {
    tell = resolve;
  });
  const listener = runtime.onExit((exited, s) => {
    if (exited === id) tell(s);
  });
  return { state, tell, [Symbol.dispose]: () => listener[Symbol.dispose]() };
}

/** The log has both outputs in the order of their arrival. */
async function printed(o: Parameters<typeof readLog>[0], onOutput: StepProcess['onOutput'], c: Ctx): Promise<void> {
  for await (const records of readLog(o, c)) {
    const { lines } = parseLines(records);
    await onOutput(Buffer.concat(lines.flatMap((l) => (l.isFull ? [l.text, Buffer.from('\n')] : [l.text]))));
  }
}

async function specOf(host: BuildStepHost, r: StepRun, id: string): Promise<OciSpec> {
  const { process: p, rootfs } = r;
  const { settings } = host;
  if (p.argv.length === 0) throw new StatusError('Invalid', 'the command of a RUN is empty');
  const user = await resolveUser(rootfs, p.user, undefined, undefined);
  const plain = ociSpecOf({
    ...{ pod: POD, container: CONTAINER, rootfs, user, hostname: HOSTNAME, args: p.argv },
    image: { ...NO_CONFIG, workingDir: p.workingDir },
    cgroupPath: `${host.cgroupParent}/${id}`,
    namespaces: {},
    environment: new Map(),
    binds: [],
    resources: {},
    hasCgroupNamespace: host.kernel.cgroups.version === 'v2',
    oomScoreAdj: OOM_SCORE_ADJ,
  });
  const spec = await isolate(plain, { pod: POD, container: CONTAINER }, host.isolation);
  const own: OciSpec['linux']['namespaces'] = [{ type: 'ipc' }, { type: 'uts' }];
  const network: OciSpec['linux']['namespaces'] = p.network === 'none' ? [{ type: 'network' }] : [];
  const hasPath = p.env.some((e) => e.startsWith('PATH='));
  return {
    ...spec,
    process: {
      ...spec.process,
      env: hasPath ? [...p.env] : [PATH, ...p.env],
      rlimits: [...(spec.process.rlimits ?? []), ...settings.rlimits],
    },
    mounts: [...spec.mounts, shm(settings), ...(await etcMounts(r.scratch, settings)), ...r.mounts],
    linux: {
      ...spec.linux,
      namespaces: [...spec.linux.namespaces, ...own, ...network],
      resources: { ...spec.linux.resources, ...settings.resources },
    },
  };
}

function shm(s: StepSettings): OciMount {
  const options = ['nosuid', 'noexec', 'nodev', 'mode=1777', `size=${s.shmBytes}`];
  return { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options };
}

/** Copies: what a step writes there is thrown away. */
async function etcMounts(scratch: string, s: StepSettings): Promise<OciMount[]> {
  const folder = join(scratch, 'etc');
  await mkdir(folder);
  const text = {
    hosts: [HOSTS, ...s.hosts.map((h) => `${h.address}\t${h.name}\n`)].join(''),
    'resolv.conf': await readFile('/etc/resolv.conf', 'utf8').catch(() => ''), // a host without one
    hostname: `${HOSTNAME}\n`,
  };
  for (const name of ETC) {
    await writeFile(join(folder, name), text[name]);
    await chmod(join(folder, name), 0o644);
  }
  const options = ['rbind', 'rprivate', 'nosuid', 'nodev', 'rw'];
  return ETC.map((n) => ({ destination: `/etc/${n}`, type: 'bind', source: join(folder, n), options }));
}
