/**
 * Which names a CustomResourceDefinition may have: those that no other of its group holds. Pure.
 * Source: k8s.io/apiextensions-apiserver/pkg/controller/status/naming_controller.go, establish/establishing_controller.go.
 */
import {
  approvalCondition,
  type CustomResourceDefinition,
  type DeepReadonly,
  getCondition,
  type KindInfo,
  setCondition,
} from '#lib/api';
import type { Definition } from '../kind-registry.ts';

type Names = CustomResourceDefinition['spec']['names'];
type Status = NonNullable<CustomResourceDefinition['status']>;
type Condition = Status['conditions'][number];

export interface Others {
  readonly definitions: readonly Definition[];
  /** Their names are taken too: in our store the objects of one group and resource lie at one place, whoever defined them. */
  readonly builtIn: readonly KindInfo[];
}

/** The status that `crd` should have beside `others`; its very status when that is right. */
export function settledStatus(crd: Definition, others: Others, nowText: string): DeepReadonly<Status> {
  const status: DeepReadonly<Status> = crd.status ?? {
    conditions: [],
    acceptedNames: { plural: '', kind: '' },
    storedVersions: [],
  };
  const { names, conflict } = acceptedNames(crd, others);
  const accepted: Condition =
    conflict === undefined
      ? { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts', message: 'no conflicts found' }
      : { type: 'NamesAccepted', status: 'False', ...conflict };
  const before = status.conditions as readonly Condition[];
  const approval = approvalCondition(crd);
  const wanted = [
    accepted,
    establishedOf(before, conflict === undefined),
    ...(approval === undefined ? [] : [approval]),
  ];
  const conditions = wanted.reduce((all, next) => setCondition(all, next, nowText), before);
  const isSame = conditions === before && JSON.stringify(names) === JSON.stringify(status.acceptedNames);
  return isSame ? status : { ...status, conditions: [...conditions], acceptedNames: names };
}

/** Established once stays so. */
function establishedOf(before: readonly Condition[], isAccepted: boolean): Condition {
  const old = getCondition(before, 'Established');
  if (old?.status === 'True') return old;
  if (!isAccepted)
    return { type: 'Established', status: 'False', reason: 'NotAccepted', message: 'not all names are accepted' };
  return {
    type: 'Established',
    status: 'True',
    reason: 'InitialNamesAccepted',
    message: 'the initial names have been accepted',
  };
}

interface Accepted {
  /** As near to the wanted names as they may be. */
  readonly names: Names;
  readonly conflict: { readonly reason: string; readonly message: string } | undefined;
}

function acceptedNames(crd: Definition, others: Others): Accepted {
  const wanted = crd.spec.names;
  const held = crd.status?.acceptedNames;
  const { group } = crd.spec;
  const { resources, kinds } = usedNames([
    ...others.definitions
      .filter((o) => o.spec.group === group && o.metadata.name !== crd.metadata.name)
      .flatMap((o) => o.status?.acceptedNames ?? []),
    ...others.builtIn.filter((k) => k.group === group).map(namesOf),
  ]);
  let conflict: Accepted['conflict'];
  const settle = (
    want: string | undefined,
    has: string | undefined,
    used: ReadonlySet<string>,
    reason: string,
  ): string => {
    if (want === undefined || want === '' || !used.has(want)) return want ?? '';
    conflict = { reason, message: `"${want}" is already in use` };
    return has ?? '';
  };
  const plural = settle(wanted.plural, held?.plural, resources, 'PluralConflict');
  const singular = settle(wanted.singular, held?.singular, resources, 'SingularConflict');
  const taken = (wanted.shortNames ?? []).filter((name) => resources.has(name));
  if (taken.length > 0)
    conflict = {
      reason: 'ShortNamesConflict',
      message: taken.map((name) => `"${name}" is already in use`).join(', '),
    };
  const shortNames = taken.length > 0 ? held?.shortNames : wanted.shortNames;
  const kind = settle(wanted.kind, held?.kind, kinds, 'KindConflict');
  const listKind = settle(wanted.listKind, held?.listKind, kinds, 'ListKindConflict');
  const names = {
    plural,
    ...(singular === '' ? {} : { singular }),
    ...(shortNames === undefined ? {} : { shortNames: [...shortNames] }),
    kind,
    ...(listKind === '' ? {} : { listKind }),
    ...(wanted.categories === undefined ? {} : { categories: [...wanted.categories] }),
  };
  return { names, conflict };
}

function namesOf({ resource, singular, shortNames, kind }: KindInfo): DeepReadonly<Names> {
  return { plural: resource, singular, shortNames, kind, listKind: `${kind}List` };
}

function usedNames(group: readonly DeepReadonly<Names>[]): { resources: Set<string>; kinds: Set<string> } {
  const resources = new Set<string>();
  const kinds = new Set<string>();
  for (const names of group) {
    for (const name of [names.plural, names.singular ?? '', ...(names.shortNames ?? [])]) resources.add(name);
    for (const name of [names.kind, names.listKind ?? '']) kinds.add(name);
  }
  resources.delete('');
  kinds.delete('');
  return { resources, kinds };
}
