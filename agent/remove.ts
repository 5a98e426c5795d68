/**
 * Ends everything one node has in the kernel: containers, namespaces, mounts, cgroups, links, rules. Used by `berth down`
 * after the agent has stopped; works from the folder and the instance alone, so also after a crash.
 */
import { readdir, readlink, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Ctx, realRandom } from '#lib/base';
import { removeEngine } from './engine/remove.ts';
import { openKernel } from './kernel/linux/open.ts';
import { teardownNetwork } from './network/teardown.ts';
import { teardownPluginRoot } from './plugins/teardown.ts';
import { LABELS } from './pods/steps/container.ts';
import { openRuntime } from './runtime/open.ts';
import { STAGE } from './runtime/stage.ts';
import { runtimeStateFolder } from './runtime-state.ts';

export interface RemoveNodeOptions {
  readonly instance: string;
  readonly home: string;
  readonly logFolder: string;
  readonly helperPath: string;
  /** Name of the network namespace that stands for the host. */
  readonly netns?: string | undefined;
  /** Pod logs go too. */
  readonly purge: boolean;
}

const AT_ONCE = 8;

export async function removeNode(o: RemoveNodeOptions, c: Ctx): Promise<void> {
  await using kernel = await openKernel({ helperPath: o.helperPath, environment: process.env, random: realRandom });
  await using runtime = await openRuntime(
    { kernel, folder: join(o.home, 'containers'), runtime: 'auto', stateFolder: runtimeStateFolder(o.instance) },
    c,
  );
  const records = await runtime.list(c);
  const uids = new Set(records.map((r) => r.labels[LABELS.uid] ?? ''));
  for (let i = 0; i < records.length; i += AT_ONCE)
    await Promise.all(records.slice(i, i + AT_ONCE).map((r) => runtime.remove(r.id, c)));
  const programs = inNetns(kernel.programs, o.netns);
  await removeEngine({ kernel, home: o.home, instance: o.instance, programs }, c);
  await teardownPluginRoot({ kernel, home: o.home }, c);
  for (const mount of await kernel.mounts.below(o.home, c)) await kernel.mounts.unmount(mount, c);
  await kernel.cgroups.remove(`/${o.instance}`, c);
  await teardownNetwork({ kernel: { programs }, instance: o.instance }, c);
  await kernel.mounts.unmount(runtimeStateFolder(o.instance), c);
  await rm(runtimeStateFolder(o.instance), { recursive: true, force: true });
  // The folders of all instances go with the last of them.
  await rmdir(dirname(runtimeStateFolder(o.instance)))
    .then(() => rm(STAGE, { recursive: true, force: true }))
    .catch(() => undefined);
  await kernel.removeTree(join(o.home, 'pods'), c);
  await rm(join(o.home, 'user-namespaces.json'), { force: true });
  await kernel.removeTree(join(o.home, 'network'), c);
  if (o.purge) await removeLogs(o.logFolder, uids);
}

type Programs = Awaited<ReturnType<typeof openKernel>>['programs'];

function inNetns(programs: Programs, netns: string | undefined): Programs {
  if (netns === undefined) return programs;
  return { run: (argv, options, c) => programs.run(argv, { netns: `/run/netns/${netns}`, ...options }, c) };
}

async function removeLogs(folder: string, uids: ReadonlySet<string>): Promise<void> {
  const pods = join(folder, 'pods');
  for (const name of await readdir(pods).catch(() => [])) {
    if (uids.has(name.split('_').at(-1) ?? '')) await rm(join(pods, name), { recursive: true, force: true });
  }
  const links = join(folder, 'containers');
  for (const name of await readdir(links).catch(() => [])) {
    const target = await readlink(join(links, name)).catch(() => '');
    if ([...uids].some((u) => u !== '' && target.includes(`_${u}/`))) await rm(join(links, name), { force: true });
  }
}
