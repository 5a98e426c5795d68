/** docs/compatibility.md, from what the probes found. Pure. */
import { type KindRef, Kinds } from '#lib/api';
import type { Outcomes } from './outcome.ts';
import type { Probed } from './probe.ts';
import { ROLES, type Role } from './roles.ts';

export const REWRITE = 'UPDATE_GOLDEN=1 npx vitest run --project integration test/integration/compatibility.test.ts';

const HEAD = `# What of the Kubernetes API works

Made by test/integration/compatibility.test.ts from what it found; do not edit. The test asks a server by https for every verb
of every resource and subresource of Kubernetes 1.36 (stable versions), with good objects, and sees the effect of each: what was
created is got, listed and watched; what was written as a subresource is in the object; what was removed is gone; exec, attach,
port-forward, log and proxy give back the bytes of a node. It fails when this file says anything else. To write it anew:
\`${REWRITE}\`.

- **acted on**: the verbs work, and some part of Berth does what the object asks for.
- **stored only**: the verbs work, with Kubernetes' defaults and validation, but nothing acts on the kind.
- **answered**: nothing is stored, the answer is computed.
- **all**: create, get, list, watch, update, patch, delete and deletecollection work. A verb under *refused* is one that Kubernetes
  has and Berth refuses.

Whatever the kind: access rules, admission webhooks and policies, quotas by count, deletion with its namespace and garbage
collection by owner count for all that is stored.
`;

const ALL = ['create', 'get', 'list', 'watch', 'update', 'patch', 'delete', 'deletecollection'];

export function compatibilityDocument(probed: readonly Probed[]): string {
  const groups = new Map<string, Probed[]>();
  for (const p of probed) {
    const group = groupVersion(p.resource.kind);
    groups.set(group, [...(groups.get(group) ?? []), p]);
  }
  return [HEAD, ...[...groups].map(([group, rows]) => section(group, rows))].join('\n');
}

function groupVersion(kind: KindRef): string {
  return kind.group === '' ? kind.version : `${kind.group}/${kind.version}`;
}

function section(group: string, rows: readonly Probed[]): string {
  const lines = ['| resource | state | verbs | subresources |', '|---|---|---|---|', ...rows.map(row)];
  return `## ${group}\n\n${lines.join('\n')}\n`;
}

function row({ resource: { kind, state }, verbs, subresources }: Probed): string {
  const subs = [...subresources].map(([name, outcomes]) => `${name}: ${cell(outcomes)}`);
  return `| ${kind.resource} | ${state ?? stateOf(kind)} | ${cell(verbs)} | ${subs.join('<br>')} |`;
}

function cell(outcomes: Outcomes): string {
  const found = [...outcomes];
  const works = found.filter(([, o]) => o === 'works').map(([verb]) => verb);
  const refused = found.flatMap(([verb, o]) => (o === 'works' ? [] : [`${verb} (${o.refused})`]));
  const isAll = ALL.every((verb) => works.includes(verb));
  const sorted = ALL.filter((verb) => works.includes(verb));
  const parts = [
    ...(works.length === 0 ? [] : [isAll ? 'all' : sorted.join(', ')]),
    ...(refused.length === 0 ? [] : [`**refused**: ${refused.join(', ')}`]),
  ];
  return parts.join('; ');
}

function stateOf(kind: KindRef): string {
  const role = roleOf(kind);
  if (role === undefined) return '**stored only**';
  return role.state === 'acted on' ? `acted on: ${role.what}` : `**stored only**: ${role.what}`;
}

function roleOf(kind: KindRef): Role | undefined {
  const isIt = (k: KindRef): boolean => k.group === kind.group && k.resource === kind.resource;
  const named = Object.entries(Kinds).find(([, k]) => isIt(k));
  const roles: Readonly<Record<string, Role | undefined>> = ROLES;
  return named === undefined ? undefined : roles[named[0]];
}
