/**
 * Whether the disk has room for a cluster, asked before anything is made: an etcd whose disk is full ends and is started
 * again for ever, and what says so is only its own log.
 */
import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StatusError } from '#lib/base';
import type { ClusterLayout } from '../layout.ts';

const MIB = 1 << 20;
/** etcd reserves two segments of its log of 64 MiB; the rest is for the sample's image, logs and the database. */
const FIRST_ETCD_MIB = 192;
const OTHERS_MIB = 32;

/** Throws Invalid that names the folder, what is free and what is needed. */
export async function checkSpace(layout: Pick<ClusterLayout, 'home' | 'etcdEndpoints'>): Promise<void> {
  let at = layout.home;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  const disk = await statfs(at);
  const isFirst = layout.etcdEndpoints === undefined && !existsSync(join(layout.home, 'etcd', 'member'));
  const wanted = isFirst ? FIRST_ETCD_MIB : OTHERS_MIB;
  const free = Math.floor((disk.bavail * disk.bsize) / MIB);
  if (free >= wanted) return;
  throw new StatusError(
    'Invalid',
    `${free} MiB are free below ${layout.home}, ${wanted} MiB are needed: make room there, or choose another folder with --home`,
  );
}
