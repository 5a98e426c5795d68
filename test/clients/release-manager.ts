/**
 * Releases as helm manages them, on @kubernetes/client-node and our own informer: revisions in Secrets, definitions first, hooks,
 * objects in the order of their kinds, ownership marks, three-way patches from the last manifest, waiting, roll-back, removal of
 * what a chart no longer has but for what is to be kept.
 * Source: helm pkg/action/{install,upgrade,rollback,uninstall}.go, pkg/kube/client.go, pkg/releaseutil/kind_sorter.go.
 */
import * as k8s from '@kubernetes/client-node';
import { parseAllDocuments, stringify } from 'yaml';
import { schemaOf } from '#lib/api';
import { realClock } from '#lib/base';
import { DynamicClient, type Manifest } from './dynamic-client.ts';
import { codeOf, Reflector } from './reflector.ts';
import {
  decodeRelease,
  encodeRelease,
  labelsOf,
  RELEASE_SECRET_TYPE,
  type ReleaseRecord,
  type ReleaseStatus,
  secretName,
} from './release-record.ts';
import { threeWayStrategicPatch, twoWayMergePatch } from './three-way.ts';

export type Values = Readonly<Record<string, unknown>>;

export interface Chart {
  readonly metadata: { readonly name: string; readonly version: string };
  readonly definitions: readonly Manifest[];
  /** Made anew before each install and upgrade, and never part of the release. */
  hooks(values: Values): readonly Manifest[];
  render(values: Values): readonly Manifest[];
}

export interface WaitOptions {
  /** Until all is ready; absent: no waiting. */
  readonly waitMs?: number;
  /** A failed upgrade is rolled back. */
  readonly atomic?: boolean;
}

const KEEP = ['helm.sh/resource-policy', 'keep'] as const;
const MANAGED_BY = 'app.kubernetes.io/managed-by';
const RELEASE_NAME = 'meta.helm.sh/release-name';
const RELEASE_NAMESPACE = 'meta.helm.sh/release-namespace';
/** Others come last, by kind and name. */
const KIND_ORDER = [
  'Namespace',
  'ServiceAccount',
  'Secret',
  'ConfigMap',
  'CustomResourceDefinition',
  'ClusterRole',
  'ClusterRoleBinding',
  'Role',
  'RoleBinding',
  'Service',
  'DaemonSet',
  'Pod',
  'Deployment',
  'StatefulSet',
];
const BUSY = 'another operation (install/upgrade/rollback) is in progress';
const ESTABLISHED_MS = 10_000;
const GONE_MS = 10_000;

export class ReleaseManager implements AsyncDisposable {
  readonly #objects: DynamicClient;
  readonly #core: k8s.CoreV1Api;
  readonly #namespace: string;
  readonly #deployments: Reflector<k8s.V1Deployment>;

  private constructor(objects: DynamicClient, config: k8s.KubeConfig, namespace: string) {
    this.#objects = objects;
    this.#core = config.makeApiClient(k8s.CoreV1Api);
    this.#namespace = namespace;
    const apps = config.makeApiClient(k8s.AppsV1Api);
    this.#deployments = Reflector.start<k8s.V1Deployment>({
      config,
      path: `/apis/apps/v1/namespaces/${namespace}/deployments`,
      list: (q) => apps.listNamespacedDeployment({ namespace, ...q }),
      watchList: true,
    });
  }

  static async open(config: k8s.KubeConfig, namespace: string): Promise<ReleaseManager> {
    return new ReleaseManager(await DynamicClient.open(config, namespace), config, namespace);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#deployments[Symbol.asyncDispose]();
  }

  async install(name: string, chart: Chart, values: Values, o: WaitOptions = {}): Promise<ReleaseRecord> {
    if ((await this.history(name)).length > 0) throw new Error('cannot reuse a name that is still in use');
    await this.#define(chart.definitions);
    const manifests = this.#own(name, chart.render(values));
    for (const m of manifests) await this.#adoptable(name, m);
    const release = this.#record(name, 1, chart.metadata, manifests, values);
    return this.#carryOut(release, 'pending-install', 'Install complete', async () => {
      await this.#runHooks(chart.hooks(values));
      for (const m of manifests) {
        const live = await this.#objects.find(m);
        if (live === undefined) await this.#objects.create(m);
        else await this.#patch(live, m, m);
      }
      await this.#ready(manifests, o);
    });
  }

  async upgrade(name: string, chart: Chart, values: Values, o: WaitOptions = {}): Promise<ReleaseRecord> {
    const history = await this.history(name);
    const deployed = history.findLast((r) => r.info.status === 'deployed');
    const last = history.at(-1);
    if (deployed === undefined || last === undefined) throw new Error(`"${name}" has no deployed releases`);
    requireIdle(last);
    const manifests = this.#own(name, chart.render(values));
    const release = this.#record(name, last.version + 1, chart.metadata, manifests, values);
    try {
      return await this.#carryOut(release, 'pending-upgrade', 'Upgrade complete', async () => {
        await this.#runHooks(chart.hooks(values));
        await this.#turnInto(name, parseManifests(deployed.manifest), manifests);
        await this.#ready(manifests, o);
        await this.#setStatus(deployed, 'superseded');
      });
    } catch (e) {
      if (o.atomic !== true) throw e;
      await this.rollback(name, deployed.version, o);
      throw new Error(`release ${name} failed, and has been rolled back due to atomic being set`, { cause: e });
    }
  }

  async rollback(name: string, revision: number, o: WaitOptions = {}): Promise<ReleaseRecord> {
    const history = await this.history(name);
    const target = history.find((r) => r.version === revision);
    const last = history.at(-1);
    if (target === undefined || last === undefined) throw new Error(`release has no ${revision} version`);
    requireIdle(last);
    const manifests = parseManifests(target.manifest);
    const chart = target.chart?.metadata ?? { name: '', version: '' };
    const release = this.#record(name, last.version + 1, chart, manifests, target.config ?? {});
    return this.#carryOut(release, 'pending-rollback', `Rollback to ${revision}`, async () => {
      await this.#turnInto(name, parseManifests(last.manifest), manifests);
      await this.#ready(manifests, o);
      for (const r of history) if (r.info.status === 'deployed') await this.#setStatus(r, 'superseded');
    });
  }

  /** Returns what was kept, as `Kind/name`. */
  async uninstall(name: string, o: WaitOptions = {}): Promise<readonly string[]> {
    const history = await this.history(name);
    const last = history.at(-1);
    if (last === undefined) throw new Error(`uninstall: Release not loaded: ${name}: release: not found`);
    await this.#setStatus(last, 'uninstalling');
    const manifests = parseManifests(last.manifest).toReversed();
    const kept = manifests.filter(isKept);
    for (const m of manifests) if (!isKept(m)) await this.#objects.delete(m);
    if (o.waitMs !== undefined) {
      const names = manifests
        .filter((m) => m.kind === 'Deployment')
        .map((m) => `${this.#namespace}/${m.metadata.name}`);
      await this.#deployments.until('deployments are gone', o.waitMs, (r) =>
        names.every((n) => r.get(n) === undefined),
      );
    }
    for (const r of history) {
      const key = { namespace: this.#namespace, name: secretName(name, r.version) };
      await this.#core.deleteNamespacedSecret(key);
    }
    return kept.map((m) => `${m.kind}/${m.metadata.name}`);
  }

  /** The first revision first. */
  async history(name: string): Promise<readonly ReleaseRecord[]> {
    return (await this.#records(`owner=helm,name=${name}`)).toSorted((a, b) => a.version - b.version);
  }

  /** The newest revision of each release. */
  async list(): Promise<readonly ReleaseRecord[]> {
    const newest = new Map<string, ReleaseRecord>();
    for (const r of await this.#records('owner=helm'))
      if ((newest.get(r.name)?.version ?? 0) < r.version) newest.set(r.name, r);
    return [...newest.values()].toSorted((a, b) => a.name.localeCompare(b.name));
  }

  async #records(labelSelector: string): Promise<ReleaseRecord[]> {
    const { items } = await this.#core.listNamespacedSecret({ namespace: this.#namespace, labelSelector });
    const records = [];
    for (const s of items) if (s.type === RELEASE_SECRET_TYPE) records.push(await decodeRelease(s.data?.['release']));
    return records;
  }

  #record(
    name: string,
    version: number,
    chart: Chart['metadata'],
    manifests: readonly Manifest[],
    config: Values,
  ): ReleaseRecord {
    const manifest = manifests.map((m) => `---\n${stringify(m)}`).join('');
    const info = { status: 'pending-install' as const, description: '' };
    return { name, namespace: this.#namespace, version, manifest, info, chart: { metadata: chart }, config };
  }

  /** The revision is there before its work begins, and says afterwards what became of it. */
  async #carryOut(
    release: ReleaseRecord,
    pending: ReleaseStatus,
    done: string,
    work: () => Promise<void>,
  ): Promise<ReleaseRecord> {
    const started = { ...release, info: { status: pending, description: 'in progress' } };
    const namespace = this.#namespace;
    await this.#core.createNamespacedSecret({ namespace, body: await secretOf(started) }).catch((e: unknown) => {
      if (codeOf(e) === 409)
        throw new Error('another operation (install/upgrade/rollback) is in progress', { cause: e });
      throw e;
    });
    try {
      await work();
    } catch (e) {
      await this.#setStatus(started, 'failed', e instanceof Error ? e.message : String(e));
      throw e;
    }
    return this.#setStatus(started, 'deployed', done);
  }

  async #setStatus(r: ReleaseRecord, status: ReleaseStatus, description?: string): Promise<ReleaseRecord> {
    const next = { ...r, info: { status, description: description ?? r.info.description } };
    const body = await secretOf(next);
    await this.#core.replaceNamespacedSecret({ namespace: this.#namespace, name: body.metadata?.name ?? '', body });
    return next;
  }

  async #define(definitions: readonly Manifest[]): Promise<void> {
    for (const d of definitions) if ((await this.#objects.find(d)) === undefined) await this.#objects.create(d);
    const end = realClock.monotonic() + ESTABLISHED_MS;
    for (const d of definitions)
      while (!isEstablished(await this.#objects.find(d))) {
        if (realClock.monotonic() > end) throw new Error(`${d.metadata.name} is not established`);
        await realClock.sleep(20);
      }
  }

  async #runHooks(hooks: readonly Manifest[]): Promise<void> {
    for (const hook of hooks) {
      const isOld = await this.#objects.delete(hook);
      const end = realClock.monotonic() + GONE_MS;
      while (isOld && (await this.#objects.find(hook)) !== undefined && realClock.monotonic() < end)
        await realClock.sleep(20);
      await this.#objects.create(hook);
    }
  }

  #own(name: string, manifests: readonly Manifest[]): readonly Manifest[] {
    const rank = (m: Manifest): number => KIND_ORDER.indexOf(m.kind) >>> 0;
    const marked = manifests.map((m) => ({
      ...m,
      metadata: {
        ...m.metadata,
        labels: { ...m.metadata.labels, [MANAGED_BY]: 'Helm' },
        annotations: {
          ...m.metadata.annotations,
          [RELEASE_NAME]: name,
          [RELEASE_NAMESPACE]: this.#namespace,
        },
      },
    }));
    return marked.toSorted((a, b) => rank(a) - rank(b));
  }

  /** Throws for an object of somebody else's. */
  async #adoptable(name: string, m: Manifest): Promise<void> {
    const live = await this.#objects.find(m);
    const isOurs = live?.metadata.labels?.[MANAGED_BY] === 'Helm' && live.metadata.annotations?.[RELEASE_NAME] === name;
    if (live !== undefined && !isOurs)
      throw new Error(`${m.kind} "${m.metadata.name}" exists and cannot be imported into the current release`);
  }

  /** From the objects of one revision to those of another. */
  async #turnInto(name: string, before: readonly Manifest[], after: readonly Manifest[]): Promise<void> {
    const known = new Map(before.map((m) => [idOf(m), m]));
    for (const m of after) if (!known.has(idOf(m))) await this.#adoptable(name, m);
    for (const m of after) {
      const live = await this.#objects.find(m);
      if (live === undefined) await this.#objects.create(m);
      else await this.#patch(live, known.get(idOf(m)) ?? m, m);
      known.delete(idOf(m));
    }
    for (const m of [...known.values()].toReversed()) {
      const live = await this.#objects.find(m);
      if (live !== undefined && !isKept(live)) await this.#objects.delete(m);
    }
  }

  async #patch(live: Manifest, original: Manifest, modified: Manifest): Promise<void> {
    const type = schemaOf(modified.apiVersion, modified.kind);
    const body =
      type === undefined
        ? twoWayMergePatch(original, modified)
        : threeWayStrategicPatch(type, original, modified, live);
    if (Object.keys(body).length === 0) return;
    await this.#objects.patch(modified, type === undefined ? 'merge-patch' : 'strategic-merge-patch', body);
  }

  async #ready(manifests: readonly Manifest[], o: WaitOptions): Promise<void> {
    if (o.waitMs === undefined) return;
    for (const m of manifests.filter((x) => x.kind === 'Deployment')) {
      const live = await this.#objects.find(m);
      const generation = live?.metadata.generation ?? 0;
      await this.#deployments.until(`${m.kind} ${m.metadata.name} is ready`, o.waitMs, (r) =>
        isRolledOut(r.get(`${this.#namespace}/${m.metadata.name}`), generation),
      );
    }
  }
}

function requireIdle(last: ReleaseRecord): void {
  if (last.info.status.startsWith('pending-')) throw new Error(BUSY);
}

function isRolledOut(d: k8s.V1Deployment | undefined, generation: number): boolean {
  const wanted = d?.spec?.replicas ?? 1;
  const s = d?.status;
  return (
    s !== undefined &&
    (s.observedGeneration ?? 0) >= generation &&
    (s.updatedReplicas ?? 0) === wanted &&
    (s.replicas ?? 0) === wanted &&
    (s.availableReplicas ?? 0) === wanted
  );
}

function isEstablished(definition: Manifest | undefined): boolean {
  const status = definition?.['status'] as { conditions?: { type: string; status: string }[] } | undefined;
  return status?.conditions?.some((x) => x.type === 'Established' && x.status === 'True') === true;
}

function isKept(m: Manifest): boolean {
  return m.metadata.annotations?.[KEEP[0]] === KEEP[1];
}

function idOf(m: Manifest): string {
  return `${m.apiVersion} ${m.kind} ${m.metadata.namespace ?? ''} ${m.metadata.name}`;
}

function parseManifests(text: string): readonly Manifest[] {
  return parseAllDocuments(text).map((d) => d.toJS() as Manifest);
}

async function secretOf(r: ReleaseRecord): Promise<k8s.V1Secret> {
  const metadata = { name: secretName(r.name, r.version), labels: labelsOf(r) };
  return { metadata, type: RELEASE_SECRET_TYPE, data: { release: await encodeRelease(r) } };
}
