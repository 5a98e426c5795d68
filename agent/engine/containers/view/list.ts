/** `GET /containers/json`: which containers, in which order, and what is told of each. Pure. Source: moby daemon/list.go. */
import type { Digest } from '#lib/base';
import { badParameter } from '../../http/contract.ts';
import type { Filters } from '../../http/filters.ts';
import type { ContainerRecord, EngineNetworks } from '../../parts.ts';
import type { EndpointSettings, MountPoint, PortMap } from '../../types.ts';
import type { Health } from '../life/health-state.ts';
import { isRunning, type LifeState } from '../life/state.ts';
import { endpointViews } from './inspect.ts';
import { namePattern } from './name-pattern.ts';
import { statusText } from './status-text.ts';

export const LIST_FILTERS =
  'ancestor before exited expose health id is-task isolation label name network publish since status volume'.split(' ');
const STATES = ['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead'];
const HEALTH = ['starting', 'healthy', 'unhealthy', 'none'];

export interface ListItem {
  readonly record: ContainerRecord;
  readonly state: LifeState;
  readonly status: string;
  readonly exitCode: number;
  readonly health: Health | undefined;
  readonly network: ReturnType<EngineNetworks['view']>;
}

export interface ListQuery {
  readonly all: boolean;
  /** 0 = no limit. */
  readonly limit: number;
  readonly filters: Filters;
  /** Images that `ancestor` names. */
  readonly ancestors: ReadonlySet<Digest>;
  /** Ids of those that `before` and `since` name. */
  readonly before: string | undefined;
  readonly since: string | undefined;
}

/** Newest first. Throws 400. */
export function selected(items: readonly ListItem[], q: ListQuery): readonly ListItem[] {
  const { filters } = q;
  checkFilters(filters);
  const names = filters.get('name').map(namePattern);
  const [publish, expose] = [portsOf(filters, 'publish'), portsOf(filters, 'expose')];
  const all = q.all || q.limit > 0 || filters.has('status') || q.before !== undefined || q.since !== undefined;
  const sorted = [...items].sort((a, b) => b.record.createdAtMs - a.record.createdAtMs);
  const from = q.before === undefined ? 0 : sorted.findIndex((i) => i.record.id === q.before) + 1;
  const to = q.since === undefined ? sorted.length : sorted.findIndex((i) => i.record.id === q.since);
  const found = sorted
    .slice(from, to)
    .filter((i) => (all || isRunning(i.state)) && (names.length === 0 || names.some((n) => isNamed(i, n))))
    .filter((i) => isWanted(i, q) && hasPort(i, publish, 'PublicPort') && hasPort(i, expose, 'PrivatePort'));
  return q.limit > 0 ? found.slice(0, q.limit) : found;
}

function isNamed(i: ListItem, matches: (name: string) => boolean): boolean {
  return matches(`/${i.record.name}`) || matches(i.record.name);
}

function checkFilters(f: Filters): void {
  for (const v of f.get('exited')) if (!/^-?\d+$/.test(v)) throw badParameter(`invalid filter 'exited=${v}'`);
  for (const v of f.get('status'))
    if (!STATES.includes(v))
      throw badParameter(
        `invalid filter 'status=${v}': invalid value for state (${v}): must be one of ${STATES.join(', ')}`,
      );
  for (const v of f.get('health'))
    if (!HEALTH.includes(v))
      throw badParameter(
        `invalid filter 'health=${v}': invalid value for health status (${v}): must be one of ${HEALTH.join(', ')}`,
      );
}

function isWanted(i: ListItem, { filters: f, ancestors }: ListQuery): boolean {
  const { record } = i;
  const ids = f.get('id');
  const isExited = i.state.phase === 'exited' && i.state.run !== undefined;
  const networks = Object.entries(i.network?.endpoints ?? record.endpoints);
  return (
    (ids.length === 0 || ids.some((id) => record.id.startsWith(id))) &&
    f.hasLabels(record.config.Labels) &&
    f.bool('is-task') !== true &&
    (!f.has('exited') || (isExited && f.get('exited').includes(String(i.exitCode)))) &&
    f.isExact('status', i.status) &&
    f.isExact('health', i.health?.status ?? 'none') &&
    (!f.has('volume') || record.mounts.some((m) => f.get('volume').some((v) => isMount(m, v)))) &&
    (!f.has('ancestor') || ancestors.has(record.imageId)) &&
    (!f.has('network') ||
      networks.some(([name, e]) => f.get('network').some((v) => v === name || (e.NetworkID ?? '').startsWith(v))))
  );
}

function isMount(m: MountPoint, value: string): boolean {
  return m.Destination === value || (m.Name ?? m.Source) === value;
}

const RANGE = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/([a-z]+))?$/;

/** `80/tcp` of each value; undefined: not asked. */
function portsOf(f: Filters, key: 'publish' | 'expose'): ReadonlySet<string> | undefined {
  if (!f.has(key)) return undefined;
  const out = new Set<string>();
  for (const value of f.get(key)) {
    const [, a, b, protocol = 'tcp'] = RANGE.exec(value) ?? [];
    const first = Number(a ?? Number.NaN);
    const last = Number(b ?? first);
    if (!(first <= last) || last > 65_535) throw badParameter(`invalid filter '${key}=${value}'`);
    for (let port = first; port <= last; port++) out.add(`${port}/${protocol}`);
  }
  return out;
}

function hasPort(i: ListItem, wanted: ReadonlySet<string> | undefined, key: 'PublicPort' | 'PrivatePort'): boolean {
  if (wanted === undefined) return true;
  const declared = key === 'PrivatePort' ? Object.keys(i.record.config.ExposedPorts ?? {}) : [];
  const told = portList(i.network?.ports ?? {}).map((p) => `${p[key] ?? 0}/${p.Type}`);
  return [...declared, ...told].some((p) => wanted.has(p));
}

export interface PortView {
  readonly IP?: string;
  readonly PrivatePort: number;
  readonly PublicPort?: number;
  readonly Type: string;
}

export function portList(ports: PortMap): readonly PortView[] {
  return Object.entries(ports).flatMap(([key, bindings]): PortView[] => {
    const [port = '', type = 'tcp'] = key.split('/');
    const own = { PrivatePort: Number(port), Type: type };
    if (bindings === null || bindings.length === 0) return [own];
    return bindings.map((b) => ({
      ...(b.HostIp === '' ? {} : { IP: b.HostIp }),
      PrivatePort: own.PrivatePort,
      PublicPort: Number(b.HostPort),
      Type: type,
    }));
  });
}

export function summaryOf(
  i: ListItem,
  o: {
    readonly image: string;
    readonly nowMs: number;
    readonly networkIds: Readonly<Record<string, string>>;
    readonly size: { readonly rw: number; readonly root: number } | undefined;
  },
): object {
  const { record } = i;
  const quoted = record.args.map((a) => (a.includes(' ') ? `'${a}'` : a));
  const isRemoving = i.status === 'removing';
  const networks: Readonly<Record<string, Required<EndpointSettings>>> = endpointViews(record, i.network, o.networkIds);
  return {
    Id: record.id,
    Names: [`/${record.name}`],
    Image: o.image,
    ImageID: record.imageId,
    Command: [record.path, ...quoted].join(' '),
    Created: Math.floor(record.createdAtMs / 1000),
    Ports: isRunning(i.state) ? portList(i.network?.ports ?? {}) : [],
    ...(o.size === undefined ? {} : { SizeRw: o.size.rw, SizeRootFs: o.size.root }),
    Labels: record.config.Labels,
    State: i.status,
    Status: statusText(i.state, { isRemoving, exitCode: i.exitCode, health: i.health, nowMs: o.nowMs }),
    HostConfig: {
      NetworkMode: record.hostConfig.NetworkMode,
      ...(record.hostConfig.Annotations === undefined ? {} : { Annotations: record.hostConfig.Annotations }),
    },
    NetworkSettings: { Networks: networks },
    Mounts: record.mounts,
  };
}
