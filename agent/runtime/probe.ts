/**
 * Which runtime `auto` takes: crun (starts in a third of runc's time) where a trial container really runs, else runc. crun
 * may be installed and yet refuse this host's cgroups, so asking for its version is not enough. The trial's program is the
 * native helper itself, which is static and ends with status 2 when it is called without a verb.
 */
import { copyFile, mkdir, rmdir } from 'node:fs/promises';
import { arch } from 'node:os';
import { join } from 'node:path';
import { type Ctx, messageOf, realRandom, StatusError } from '#lib/base';
import type { LinuxKernel } from '../kernel/linux/open.ts';
import { runtimeDefault } from './isolation/seccomp.ts';
import { isInstalled } from './oci-binary.ts';
import type { OciSpec } from './oci-spec.ts';
import type { ContainerId, Runtime } from './runtime.ts';

const USAGE_STATUS = 2;
const TIMEOUT_MS = 20_000;
/** Marks the trial's container, for the next agent to find it where this one is killed during the trial. */
const LABEL = 'berth.io/trial';

/** What an agent that was killed during its trial has left. */
export async function removeTrials(runtime: Runtime, kernel: LinuxKernel, folder: string, c: Ctx): Promise<void> {
  try {
    for (const { id, labels } of await runtime.list(c)) if (LABEL in labels) await runtime.remove(id, c);
    await kernel.removeTree(folder, c);
  } catch (e) {
    c.signal.throwIfAborted();
    c.log.warn({ err: e, folder }, 'what is left of the trial of a runtime cannot be removed');
  }
}

/** `folder` is for trials only. */
export async function probeRuntime(runtime: Runtime, kernel: LinuxKernel, folder: string, c: Ctx): Promise<string> {
  if (await isInstalled(kernel, 'crun', c)) {
    const why = await trial(runtime, kernel, folder, c);
    if (why === undefined) return 'crun';
    c.log.info({ reason: why }, 'crun does not work on this host: runc is used');
  }
  if (await isInstalled(kernel, 'runc', c)) return 'runc';
  throw new StatusError('Unavailable', 'neither crun nor runc is installed and works: apt-get install crun runc');
}

/** Undefined when a container ran, else why not. */
async function trial(runtime: Runtime, kernel: LinuxKernel, trials: string, c: Ctx): Promise<string | undefined> {
  const id = realRandom.hex(32) as ContainerId;
  /* Its own, beside that of an older agent that is just ending. */
  const folder = join(trials, id);
  try {
    const rootfs = join(folder, 'rootfs');
    for (const name of ['proc', 'dev', 'sys']) await mkdir(join(rootfs, name), { recursive: true });
    await copyFile(kernel.helper.path, join(rootfs, 'helper'));
    const log = { path: join(folder, 'log'), maxBytes: 0, maxFiles: 1 };
    const ended = exitOf(runtime, id, c);
    const spec = trialSpec(rootfs, `/berth-probe-${id.slice(0, 12)}`);
    const common = { id, labels: { [LABEL]: '' }, spec, rootfs, log, tty: false, stdin: false, stdinOnce: false };
    await runtime.start({ ...common, handler: 'crun' }, c);
    const code = await ended;
    return code === USAGE_STATUS ? undefined : `a trial container ended with ${code}`;
  } catch (e) {
    return messageOf(e);
  } finally {
    await runtime.remove(id, c);
    await kernel.removeTree(folder, c);
    await rmdir(trials).catch(() => undefined); // another agent's trial is in it
  }
}

function exitOf(runtime: Runtime, id: ContainerId, c: Ctx): Promise<number | undefined> {
  return new Promise((resolve) => {
    const timer = c.clock.after(TIMEOUT_MS, () => finish(undefined));
    const subscription = runtime.onExit((ended, state) => {
      if (ended === id) finish(state.exitCode);
    });
    const finish = (code: number | undefined): void => {
      timer.cancel();
      subscription[Symbol.dispose]();
      resolve(code);
    };
  });
}

function trialSpec(rootfs: string, cgroupsPath: string): OciSpec {
  const none = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
  return {
    ociVersion: '1.0.2',
    root: { path: rootfs, readonly: false },
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: ['/helper'],
      env: ['PATH=/'],
      cwd: '/',
      capabilities: none,
      noNewPrivileges: true,
    },
    mounts: [{ destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] }],
    linux: {
      namespaces: [{ type: 'pid' }, { type: 'mount' }, { type: 'ipc' }, { type: 'uts' }, { type: 'network' }],
      cgroupsPath,
      resources: { pids: { limit: 32 } },
      seccomp: runtimeDefault([], arch()),
    },
  };
}
