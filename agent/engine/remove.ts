/**
 * Ends what a node's engine has in the kernel, after its agent has stopped, from its folder and instance alone. Records, images
 * and logs stay: to its containers it was as if the machine had stopped, and the next engine goes by their restart policies.
 */
import { access, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, StatusError } from '#lib/base';
import type { Programs } from '../kernel/kernel.ts';
import type { LinuxKernel } from '../kernel/linux/open.ts';
import { openRuntime } from '../runtime/open.ts';
import type { ContainerId, Runtime } from '../runtime/runtime.ts';
import { runtimeStateFolder } from '../runtime-state.ts';
import { engineCgroups } from './cgroups.ts';
import { teardownEngineNetworks } from './networks/teardown.ts';

export interface RemoveEngineOptions {
  readonly kernel: LinuxKernel;
  /** Of the node. */
  readonly home: string;
  readonly instance: string;
  /** Run in the node's network namespace. */
  readonly programs: Programs;
}

const AT_ONCE = 8;
const END_POLL_MS = 20;
const END_LIMIT_MS = 20_000;

/** None was ever opened: nothing to do. */
export async function removeEngine(o: RemoveEngineOptions, c: Ctx): Promise<void> {
  const { kernel, home, instance, programs } = o;
  const folder = join(home, 'engine');
  const isThere = await access(folder).then(
    () => true,
    () => false,
  );
  if (!isThere) return;
  const stateFolder = runtimeStateFolder(`${instance}-docker`);
  await using runtime = await openRuntime({ kernel, folder: join(folder, 'runtime'), runtime: 'auto', stateFolder }, c);
  const ids = (await runtime.list(c)).filter((r) => r.state.phase === 'running').map((r) => r.id);
  for (let i = 0; i < ids.length; i += AT_ONCE)
    await Promise.all(ids.slice(i, i + AT_ONCE).map((id) => end(runtime, id, c)));
  await kernel.cgroups.remove(engineCgroups(instance), c);
  await teardownEngineNetworks({ programs, namespaces: kernel.namespaces, instance, folder }, c);
  for (const mount of await kernel.mounts.below(folder, c)) await kernel.mounts.unmount(mount, c);
  await kernel.mounts.unmount(stateFolder, c);
  await rm(stateFolder, { recursive: true, force: true });
}

/** Its exit is on disk when this returns. */
async function end(runtime: Runtime, id: ContainerId, c: Ctx): Promise<void> {
  await runtime.kill(id, 'SIGKILL', { all: true }, c);
  const latest = c.clock.monotonic() + END_LIMIT_MS;
  while ((await runtime.state(id, c))?.phase === 'running') {
    if (c.clock.monotonic() > latest) throw new StatusError('Unavailable', `container ${id} does not end`);
    await c.clock.sleep(END_POLL_MS, c.signal);
  }
}
