/**
 * `berth down`: ends pods, then the processes in reverse order, then everything of the instance in the kernel. With --purge
 * the state goes too. Works on what a crash left as well: every step accepts that there is nothing.
 */
import { rm } from 'node:fs/promises';
import { type Ctx, isKind, messageOf, realClock, StatusError, silentLogger } from '#lib/base';
import { removeNode } from '../../agent/remove.ts';
import { findCluster, refuseOtherHome } from '../instance.ts';
import { type ClusterLayout, nodeHome, runFolder } from '../layout.ts';
import { createSteps } from '../output/steps.ts';
import { helperPath } from '../process.ts';
import { stopTended } from '../tend.ts';
import { takeTurn } from '../turn.ts';
import { hostNet, removeHosts } from '../up/hosts.ts';
import { tendOptions } from '../up/parent.ts';

export interface DownOptions {
  readonly instance?: string;
  readonly home?: string;
  readonly purge?: boolean;
}

export async function down(o: DownOptions): Promise<number> {
  const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
  try {
    const { home, layout } = await findCluster(o);
    if (layout === undefined) {
      process.stdout.write(`No cluster below ${home}; nothing to stop.\n`);
      return 0;
    }
    if (process.getuid?.() !== 0)
      throw new StatusError('Invalid', 'it needs root: it ends processes, mounts and links of root. Run it with sudo.');
    await using _turn = await takeTurn(layout.instance, 'down');
    await refuseOtherHome(layout);
    await stop(layout, o.purge === true, c);
    return 0;
  } catch (e) {
    process.stderr.write(`berth down: ${messageOf(e)}\n`);
    return isKind(e, 'Invalid') ? 2 : 1;
  }
}

async function stop(layout: ClusterLayout, purge: boolean, c: Ctx): Promise<void> {
  const steps = createSteps(realClock);
  await steps.run('stopping processes', () => stopTended(tendOptions(layout)));
  await steps.run('ending containers, mounts and links', async () => {
    for (const n of layout.nodes) {
      const instance = n.netns ?? layout.instance;
      await removeNode(
        {
          instance,
          home: nodeHome(layout, n.name),
          logFolder: layout.logFolder,
          helperPath: helperPath(),
          netns: n.netns,
          purge,
        },
        c,
      );
      await rm(runFolder(instance), { recursive: true, force: true });
    }
  });
  if (layout.nodes.some((n) => n.netns !== undefined)) {
    await steps.run('removing hosts', () => removeHosts(hostNet(layout.instance, layout.clusterCidr), layout.nodes, c));
  }
  await rm(runFolder(layout.instance), { recursive: true, force: true });
  if (purge) await steps.run(`removing ${layout.home}`, () => rm(layout.home, { recursive: true, force: true }));
}
