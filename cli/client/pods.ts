/** The pods that `web-1`, `pod/web-1`, `deploy/web` or `-l app=web` mean, for logs and exec. */
import { type DeepReadonly, Kinds, type LabelSelector, type Pod } from '#lib/api';
import { StatusError } from '#lib/base';
import type { Session } from './access.ts';
import { resolveOne, wrongUse } from './arguments.ts';

/** One pod; of a workload the one that most likely has something to say: running before others, then the newest. */
export async function podOf(word: string, s: Session): Promise<DeepReadonly<Pod>> {
  const [kind = '', name, ...more] = word.split('/');
  if (more.length > 0 || name === '') throw wrongUse(`"${word}": write a pod's name, or RESOURCE/NAME`);
  if (name === undefined) return await s.client.get(Kinds.pods, { namespace: s.namespace, name: kind }, s.c);
  const resource = resolveOne(kind, await s.resources());
  if (resource.resource === 'pods') return await s.client.get(Kinds.pods, { namespace: s.namespace, name }, s.c);
  const object = await s.client.get(resource, { namespace: s.namespace, name }, s.c);
  const labelSelector = selectorText(object);
  if (labelSelector === undefined)
    throw wrongUse(`${word} has no pods of its own: name a pod, or a workload such as deploy/NAME`);
  const [first] = await podsBySelector(labelSelector, s);
  if (first === undefined)
    throw new StatusError(
      'NotFound',
      `${word} has no pods yet: 'berth get ${resource.resource} ${name}' tells how far it is`,
    );
  return first;
}

export async function podsBySelector(labelSelector: string, s: Session): Promise<DeepReadonly<Pod>[]> {
  const { items } = await s.client.list(Kinds.pods, { namespace: s.namespace, labelSelector }, s.c);
  const rank = (p: DeepReadonly<Pod>): number => (p.status?.phase === 'Running' ? 0 : 1);
  const age = (p: DeepReadonly<Pod>): string => p.metadata.creationTimestamp ?? '';
  return [...items].sort((a, b) => rank(a) - rank(b) || (age(a) > age(b) ? -1 : 1));
}

/** The selector of a workload or Service as a query; undefined when the object has none. */
export function selectorText(object: object): string | undefined {
  const { selector } = (object as { spec?: { selector?: object } }).spec ?? {};
  if (selector === undefined || selector === null) return undefined;
  const given = selector as DeepReadonly<LabelSelector>;
  const isPlain = given.matchLabels === undefined && given.matchExpressions === undefined;
  const labels = isPlain ? (selector as Readonly<Record<string, string>>) : (given.matchLabels ?? {});
  const parts = Object.entries(labels).map(([k, v]) => `${k}=${v}`);
  for (const e of given.matchExpressions ?? []) {
    const values = (e.values ?? []).join(',');
    if (e.operator === 'In') parts.push(`${e.key} in (${values})`);
    else if (e.operator === 'NotIn') parts.push(`${e.key} notin (${values})`);
    else parts.push(e.operator === 'Exists' ? e.key : `!${e.key}`);
  }
  return parts.length === 0 ? undefined : parts.join(',');
}
