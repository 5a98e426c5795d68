/**
 * metrics.k8s.io/v1beta1 (get and list of nodes and pods) from what the nodes measure, and a node's own metric pages below
 * `nodes/NAME/proxy`, where Prometheus finds the kubelet's. Whoever installs a metrics-server of his own gets that one:
 * its APIService goes before these routes.
 * Source: kubernetes-sigs/metrics-server pkg/api; k8s.io/metrics/pkg/apis/metrics/v1beta1.
 */
import {
  apiVersionOf,
  type DeepReadonly,
  Kinds,
  type KubeObject,
  NODE_METRICS,
  type Node,
  type NodeMetrics,
  POD_METRICS,
  type Pod,
  type PodMetrics,
  parseFieldSelector,
  parseLabelSelector,
} from '#lib/api';
import { type Ctx, PROMETHEUS_TEXT, StatusError } from '#lib/base';
import type { Client } from '#lib/client';
import { methodNotAllowed, pathNotFound } from '../../api-errors.ts';
import type { DelegatedApi, DelegatedCall } from '../aggregate/delegate.ts';
import { negotiate } from '../negotiate.ts';
import type { ResourceInfo } from '../request-info.ts';
import { rendered, sendBytes, sendValue } from '../respond.ts';
import type { NodeFigures } from './node-figures.ts';
import { nodeMetricsOf, podMetricsOf } from './objects.ts';

const METRICS = /^\/apis\/metrics\.k8s\.io\/v1beta1\/[^?]/;
const NODE_PAGE =
  /^\/api\/v1\/nodes\/([^/:?]+)\/proxy\/(metrics(?:\/(?:resource|cadvisor))?|stats\/summary)\/?(?:\?|$)/;

export interface MetricsApiOptions {
  /** In process, as a superuser. */
  readonly client: Client;
  readonly figures: NodeFigures;
}

/** Whose URL this is; undefined = not ours. */
export function metricsRoutes(o: MetricsApiOptions): (url: string) => DelegatedApi | undefined {
  const metrics: DelegatedApi = { serve: (call, c) => serveMetrics(o, call, c) };
  return (url) => {
    if (METRICS.test(url)) return metrics;
    const page = NODE_PAGE.exec(url);
    if (page === null) return undefined;
    const [, name = '', path = ''] = page;
    return { serve: (call, c) => servePage(o, call, { name, path }, c) };
  };
}

async function servePage(
  o: MetricsApiOptions,
  { req, answer }: DelegatedCall,
  page: { name: string; path: string },
  c: Ctx,
): Promise<void> {
  if (req.method !== 'GET') throw notAllowed();
  await o.client.get(Kinds.nodes, { namespace: '', name: page.name }, c);
  const text = await o.figures.page(page.name, page.path, c);
  await sendBytes(answer, 200, Buffer.from(text), page.path === 'stats/summary' ? 'application/json' : PROMETHEUS_TEXT);
}

async function serveMetrics(o: MetricsApiOptions, call: DelegatedCall, c: Ctx): Promise<void> {
  const { info, req } = call;
  const kind =
    info.type === 'resource' ? [NODE_METRICS, POD_METRICS].find((k) => k.resource === info.resource) : undefined;
  if (info.type === 'path' || kind === undefined || info.subresource !== undefined) throw pathNotFound();
  if (!kind.namespaced && info.namespace !== '') throw pathNotFound();
  if (info.verb !== 'get' && info.verb !== 'list') throw methodNotAllowed(kind, info.verb);
  const answer = { ...call.answer, form: negotiate(req.headers.accept, true) };
  const now = answer.now();
  if (info.verb === 'get') {
    const object = await find(o, info, now, c);
    const { form } = answer;
    await sendValue(
      answer,
      200,
      form.as === 'object' ? object : rendered(answer, form, kind, [object], { isList: false }),
    );
    return;
  }
  const items = await list(o, call, info, now, c);
  const { form } = answer;
  const value =
    form.as === 'object'
      ? { kind: `${kind.kind}List`, apiVersion: apiVersionOf(kind), metadata: {}, items: items.map(withoutType) }
      : rendered(answer, form, kind, items, { isList: true });
  await sendValue(answer, 200, value);
}

async function find(
  o: MetricsApiOptions,
  info: ResourceInfo,
  nowMs: number,
  c: Ctx,
): Promise<NodeMetrics | PodMetrics> {
  const { namespace, name = '' } = info;
  if (info.resource === 'nodes') {
    const node = await o.client.get<Node>(Kinds.nodes, { namespace: '', name }, c);
    const stats = (await o.figures.of([name], c)).get(name);
    return nodeMetricsOf(node, stats, nowMs) ?? refuse('nodemetrics', name);
  }
  if (namespace === '') throw pathNotFound();
  const pod = await o.client.get<Pod>(Kinds.pods, { namespace, name }, c);
  const node = pod.spec.nodeName ?? '';
  const stats = node === '' ? undefined : (await o.figures.of([node], c)).get(node);
  return podMetricsOf(pod, stats, nowMs) ?? refuse('podmetrics', `${namespace}/${name}`);
}

async function list(
  o: MetricsApiOptions,
  { query }: DelegatedCall,
  info: ResourceInfo,
  nowMs: number,
  c: Ctx,
): Promise<readonly (NodeMetrics | PodMetrics)[]> {
  const labelSelector = query.get('labelSelector') ?? '';
  parseLabelSelector(labelSelector);
  const isOfNodes = info.resource === 'nodes';
  const fields = parseFieldSelector(isOfNodes ? NODE_METRICS : POD_METRICS, query.get('fieldSelector') ?? '');
  const chosen = <T extends KubeObject>(objects: readonly DeepReadonly<T>[]): DeepReadonly<T>[] =>
    objects.filter((x) => fields.matches({ apiVersion: '', kind: '', metadata: x.metadata })).sort(byName);
  const q = { namespace: info.namespace, labelSelector };
  if (isOfNodes) {
    const nodes = chosen<Node>((await o.client.list<Node>(Kinds.nodes, q, c)).items);
    const stats = await o.figures.of(
      nodes.map((n) => n.metadata.name),
      c,
    );
    return nodes.map((n) => nodeMetricsOf(n, stats.get(n.metadata.name), nowMs)).filter((m) => m !== undefined);
  }
  const pods = chosen<Pod>((await o.client.list<Pod>(Kinds.pods, q, c)).items);
  const stats = await o.figures.of(
    pods.map((p) => p.spec.nodeName ?? '').filter((n) => n !== ''),
    c,
  );
  return pods.map((p) => podMetricsOf(p, stats.get(p.spec.nodeName ?? ''), nowMs)).filter((m) => m !== undefined);
}

function byName(a: DeepReadonly<KubeObject>, b: DeepReadonly<KubeObject>): number {
  const x = `${a.metadata.namespace ?? ''}/${a.metadata.name}`;
  const y = `${b.metadata.namespace ?? ''}/${b.metadata.name}`;
  return x < y ? -1 : x > y ? 1 : 0;
}

function withoutType<T extends KubeObject>({ kind: _k, apiVersion: _v, ...rest }: T): object {
  return rest;
}

function refuse(resource: string, name: string): never {
  const details = { name, group: 'metrics.k8s.io', kind: resource };
  throw new StatusError('NotFound', `${resource}.metrics.k8s.io "${name}" not found`, { details });
}

function notAllowed(): StatusError {
  return new StatusError('MethodNotAllowed', 'the server does not allow this method on the requested resource');
}
