import { expect, test } from 'vitest';
import type { OciSpec } from './oci-spec.ts';
import { staged } from './stage.ts';

const MAPPING = [{ containerID: 0, hostID: 65_536, size: 65_536 }];
const spec = (linux: Partial<OciSpec['linux']>, mounts: OciSpec['mounts']): OciSpec => ({
  ociVersion: '1.0.2',
  root: { path: '/roots/1/merged', readonly: true },
  process: {
    terminal: false,
    user: { uid: 0, gid: 0 },
    args: ['/x'],
    env: [],
    cwd: '/',
    capabilities: { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] },
    noNewPrivileges: true,
  },
  mounts,
  linux: { namespaces: [{ type: 'mount' }], cgroupsPath: '/x', resources: {}, ...linux },
});
const bind = (source: string, ...options: string[]): OciSpec['mounts'][number] => ({
  destination: `/in${source}`,
  type: 'bind',
  source,
  options: ['rbind', ...options],
});

test('without a user namespace the bundle is what it was', () => {
  const plain = spec({}, [bind('/a', 'ro')]);
  expect(staged(plain)).toEqual({ spec: plain, records: [] });
});

test('with one the runtime is given no path of the node: sources in their order, idmapped and read-only as asked', () => {
  const mapped = { uidMappings: MAPPING, gidMappings: MAPPING };
  const proc = { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid'] };
  const { spec: out, records } = staged(
    spec({ namespaces: [{ type: 'user', path: '/ns/user' }], ...mapped }, [
      proc,
      bind('/etc/hosts', 'rprivate', 'rw'),
      { ...bind('/claim', 'rslave', 'ro'), ...mapped },
      bind('/all:of/it', 'rro'),
    ]),
  );
  expect(records).toEqual([
    ['user-namespace', '/ns/user'],
    ['owner', '65536'],
    ['root', '/roots/1/merged'],
    ['mount', ':/etc/hosts'],
    ['mount', 'ir:/claim'],
    ['mount', 'R:/all:of/it'],
  ]);
  expect(out.root).toEqual({ path: '/run/berth-stage/root', readonly: true });
  expect(out.mounts).toEqual([
    proc,
    { destination: '/in/etc/hosts', type: 'bind', source: '/run/berth-stage/0', options: ['rbind', 'rprivate', 'rw'] },
    { destination: '/in/claim', type: 'bind', source: '/run/berth-stage/1', options: ['rbind', 'rslave'] },
    { destination: '/in/all:of/it', type: 'bind', source: '/run/berth-stage/2', options: ['rbind'] },
  ]);
});
