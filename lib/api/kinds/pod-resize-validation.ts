/**
 * What a resize may change: cpu and memory of containers and sidecars, never to nothing. Source: pkg/apis/core/validation
 * ValidatePodResize, KEP-1287.
 */

import { semanticEqual } from '../equality.ts';
import { type FieldError, forbidden, invalid } from '../field-error.ts';
import type { Container, Pod } from '../gen/types/core-v1.ts';
import { Errors, entryOf } from '../validation/field-path.ts';
import { areSameContainers } from './pod-containers.ts';
import { qosClassOf } from './pod-qos.ts';

const MIRROR = 'kubernetes.io/config.mirror';
const RESIZABLE = ['cpu', 'memory'];

export function validateResize(next: Pod, previous: Pod): FieldError[] {
  if (previous.metadata.annotations?.[MIRROR] !== undefined) return [forbidden('[]', 'static pods cannot be resized')];
  if (previous.spec.os?.name === 'windows') return [forbidden('[]', 'windows pods cannot be resized')];
  const errors = new Errors();
  const before = previous.status?.qosClass ?? qosClassOf(previous.spec);
  if (qosClassOf(next.spec) !== before)
    errors.add(invalid('spec', before, 'Pod QOS Class may not change as a result of resizing'));
  const running = previous.status?.containerStatuses?.find((s) => s.state?.running !== undefined);
  errors.forbid(
    'spec',
    running !== undefined && running.resources === undefined,
    'Pod running on node without support for resize',
  );
  if (!areSameContainers(next.spec, previous.spec)) {
    errors.add(...otherContainers(next, previous));
    return errors.list;
  }
  for (const [i, c] of (next.spec.initContainers ?? []).entries()) {
    const old = previous.spec.initContainers?.[i];
    if (old === undefined) continue;
    if (old.restartPolicy !== 'Always')
      errors.forbid('spec', !semanticEqual(c, old), 'resources for non-sidecar init containers are immutable');
    else
      errors.add(
        ...removed(c, old, `spec.initContainers[${i}].resources`),
        ...onlyResizable(c, old, {
          path: `spec.initContainers[${i}]`,
          text: 'only cpu and memory resources for init or sidecar containers are mutable',
        }),
      );
  }
  for (const [i, c] of (next.spec.containers ?? []).entries()) {
    const old = previous.spec.containers?.[i];
    if (old === undefined) continue;
    errors.add(
      ...removed(c, old, `spec.containers[${i}].resources`),
      ...onlyResizable(c, old, { path: 'spec', text: 'only cpu and memory resources are mutable' }),
    );
  }
  return errors.list;
}

function otherContainers(next: Pod, previous: Pod): FieldError[] {
  const errors = new Errors();
  for (const list of ['containers', 'initContainers'] as const) {
    const [now, old] = [next.spec[list] ?? [], previous.spec[list] ?? []];
    if (now.length !== old.length)
      errors.add(forbidden(`spec.${list}`, `${list} may not be added or removed on resize`));
    else
      for (const [i, c] of old.entries())
        errors.forbid(
          `spec.${list}[${i}].name`,
          c.name !== now[i]?.name,
          `${list} may not be renamed or reordered on resize`,
        );
  }
  return errors.list;
}

function removed(next: Container, old: Container, path: string): FieldError[] {
  const errors = new Errors();
  for (const list of ['requests', 'limits'] as const) {
    const now = next.resources?.[list];
    const isRemoved = Object.keys(old.resources?.[list] ?? {}).some((name) => entryOf(now, name) === undefined);
    errors.forbid(`${path}.${list}`, isRemoved, `resource ${list} cannot be removed`);
  }
  return errors.list;
}

function onlyResizable(next: Container, old: Container, o: { path: string; text: string }): FieldError[] {
  const { resources: now, resizePolicy: _, ...rest } = next;
  const { resources: was, resizePolicy: __, ...oldRest } = old;
  const isSame =
    semanticEqual(rest, oldRest) &&
    semanticEqual(next.resizePolicy ?? [], old.resizePolicy ?? []) &&
    semanticEqual(now?.claims ?? [], was?.claims ?? []) &&
    (['requests', 'limits'] as const).every((list) => semanticEqual(fixed(now?.[list]), fixed(was?.[list])));
  return isSame ? [] : [forbidden(o.path, o.text)];
}

/** What of the amounts a resize leaves alone. */
function fixed(list: Readonly<Record<string, string>> | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(list ?? {}).filter(([name]) => !RESIZABLE.includes(name)));
}
