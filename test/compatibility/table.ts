/** docs/compatibility.md, from what a probe found. Pure. */
import type { KindInfo } from '#lib/api';
import { ACTED_ON } from './acted-on.ts';
import type { Outcome } from './probe.ts';

export interface ProbedKind {
  readonly kind: KindInfo;
  readonly verbs: ReadonlyMap<string, Outcome>;
}

const HEAD = `# Compatibility

Made by test/integration/compatibility.test.ts, which asks a server for each verb with a good object; do not edit. To write it
anew: \`UPDATE_GOLDEN=1 npx vitest run --project integration test/integration/compatibility.test.ts\`.

"Works": the verbs answer, and something in Berth acts on the kind. "Stored only": the verbs answer, nothing acts on it.

| resource | state | verbs that work | refused |
|---|---|---|---|
`;

export function compatibilityTable(kinds: readonly ProbedKind[]): string {
  return `${HEAD}${kinds.map(row).sort().join('\n')}\n`;
}

function row({ kind, verbs }: ProbedKind): string {
  const all = [...verbs];
  const works = all.filter(([, o]) => o === 'works').map(([verb]) => verb);
  const refused = all.flatMap(([verb, o]) => (o === 'works' ? [] : [`${verb} (${o.refused})`]));
  const state = works.length === 0 ? 'refused' : ACTED_ON[kind.resource] === undefined ? 'stored only' : 'works';
  const group = kind.group === '' ? kind.version : `${kind.group}/${kind.version}`;
  return `| ${kind.resource} ${group} | ${state} | ${works.join(', ')} | ${refused.join(', ')} |`;
}
