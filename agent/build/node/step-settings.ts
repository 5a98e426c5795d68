/** What a build asks for all its RUN steps (`docker build --shm-size --ulimit --add-host --memory …`). In no key of a step. */
import type { OciResources } from '../../runtime/oci-spec.ts';

export interface StepSettings {
  readonly shmBytes: number;
  /** Further lines of /etc/hosts. */
  readonly hosts: readonly { readonly address: string; readonly name: string }[];
  readonly rlimits: readonly { readonly type: string; readonly soft: number; readonly hard: number }[];
  readonly resources: Pick<OciResources, 'cpu' | 'memory'>;
}

export const DEFAULT_STEP: StepSettings = { shmBytes: 64 << 20, hosts: [], rlimits: [], resources: {} };
