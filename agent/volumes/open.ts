/** Puts the volume plugins together. See volume.ts for the life story. */
import { StatusError } from '#lib/base';
import type { Ctx } from '#lib/base';
import type { Kernel } from '../kernel/kernel.ts';
import type { VolumeSources, Volumes } from './volume.ts';

export interface VolumesOptions {
  readonly kernel: Pick<Kernel, 'mounts' | 'removeTree'>;
  /** Everything lies below it, e.g. $BERTH_HOME/volumes. */
  readonly folder: string;
  readonly sources: VolumeSources;
}

export function openVolumes(_o: VolumesOptions, _c: Ctx): Promise<Volumes> {
  throw new StatusError('Unimplemented', 'volumes are being written');
}
