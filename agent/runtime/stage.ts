/**
 * A bundle of a container with a user namespace, as agent/native/stage.c gives it to the runtime: root and bind sources stand in a
 * folder that only the runtime's own mount namespace has, those with mappings (runtime-spec 1.1, config.md "mounts") idmapped
 * already, since runtimes of 1.0 leave mappings of mounts out without a word; read-only ones are so already too, since runc 1.1 would
 * take away flags (nosuid) that a user namespace may not take away (mount_namespaces(7)). Pure.
 */
import type { OciMount, OciSpec } from './oci-spec.ts';

/** As in agent/native/stage.c. */
export const STAGE = '/run/berth-stage';

/** For the supervisor's `config`. */
export type StageRecord = readonly ['user-namespace' | 'root' | 'owner' | 'mount', string];

export function staged(spec: OciSpec): { readonly spec: OciSpec; readonly records: readonly StageRecord[] } {
  const namespace = spec.linux.namespaces.find((n) => n.type === 'user')?.path;
  const owner = spec.linux.uidMappings?.[0]?.hostID;
  if (namespace === undefined || owner === undefined) return { spec, records: [] };
  const sources: StageRecord[] = [];
  const mounts = spec.mounts.map((m): OciMount => {
    if (m.type !== 'bind') return m;
    const { uidMappings, gidMappings: _, options = [], ...mount } = m;
    const access = options.includes('rro') ? 'R' : options.includes('ro') ? 'r' : '';
    sources.push(['mount', `${uidMappings === undefined ? '' : 'i'}${access}:${m.source ?? ''}`]);
    const others = options.filter((o) => o !== 'ro' && o !== 'rro');
    return { ...mount, options: others, source: `${STAGE}/${sources.length - 1}` };
  });
  return {
    spec: { ...spec, root: { ...spec.root, path: `${STAGE}/root` }, mounts },
    records: [['user-namespace', namespace], ['owner', String(owner)], ['root', spec.root.path], ...sources],
  };
}
