/**
 * The cluster that a command means. An instance and a home are two names for one cluster, given apart (--instance, --home,
 * BERTH_HOME), so they can disagree: what would stop or remove one cluster by the name of another is refused here.
 */
import { isAbsolute, join } from 'node:path';
import { StatusError } from '#lib/base';
import {
  type ClusterLayout,
  DEFAULT_INSTANCE,
  defaultHome,
  isSameFolder,
  readLayout,
  tendFolder,
  tendSocket,
} from './layout.ts';
import { tendConfig } from './tend.ts';

export interface Named {
  readonly instance?: string | undefined;
  readonly home?: string | undefined;
}

/** `layout` is undefined when there is no cluster below `home`. Throws Invalid when there is one of another instance. */
export async function findCluster(o: Named): Promise<{ home: string; layout: ClusterLayout | undefined }> {
  const home = o.home ?? defaultHome(o.instance ?? DEFAULT_INSTANCE);
  if (!isAbsolute(home))
    throw new StatusError('Invalid', `${o.home === undefined ? 'BERTH_HOME' : '--home'} ${home}: an absolute path`);
  const layout = await readLayout(home);
  if (layout !== undefined && o.instance !== undefined && layout.instance !== o.instance)
    throw new StatusError(
      'Invalid',
      `--instance ${o.instance}: the cluster below ${home} is instance "${layout.instance}"; ` +
        (o.home === undefined
          ? 'BERTH_HOME names that folder: unset it, or give --home too'
          : 'give one of the two, or another --home'),
    );
  if (layout !== undefined && !(await isSameFolder(home, layout.home)))
    throw new StatusError(
      'Invalid',
      `${join(home, 'cluster.json')} is of the cluster below ${layout.home}: this folder is a copy of it, or was moved; ` +
        `name ${layout.home} with --home, or move it back`,
    );
  return { home, layout };
}

/** Sockets, links, cgroups and ports are named after the instance: two homes of one cannot run at the same time. */
export async function refuseOtherHome(layout: Pick<ClusterLayout, 'instance' | 'home'>): Promise<void> {
  const running = await tendConfig(tendSocket(layout));
  if (running === undefined || running === join(tendFolder(layout), 'config')) return;
  const other = running.replace(/\/tend\/config$/, '');
  throw new StatusError(
    'Invalid',
    `instance "${layout.instance}" runs from ${other}, not from ${layout.home}: ` +
      `'berth down --home ${other}' stops that one; another --instance runs beside it`,
  );
}
