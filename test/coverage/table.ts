/** docs/coverage.md, from the clauses. Pure. */
import type { Clause, Kind, Line } from './clause.ts';

export const REWRITE = 'UPDATE_GOLDEN=1 npx vitest run --project unit test/coverage';

const HEAD = `# What shows that the node does it

Made by test/coverage/coverage.test.ts from \`test/coverage/clauses.ts\`; do not edit. Each clause of what the node must do (its
numbered lines, and hostile input), and of engine, builder and registry, with the tests that turn red when it breaks: the file and a piece of the title that is unique
there. To write it anew: \`${REWRITE}\`. At the end of a whole \`npm test\` each test named under *real* must have passed in that
run, or it is told as a failure; one that was skipped for what the machine lacks is told, too.

- **real**: with real containers, mounts, cgroups or registries (test/integration, test/e2e, test/node, test/faults).
- **unit**: only by unit tests, or by the agent with a kernel that remembers.
- **none**: by nothing; why.

Rows are those of Kubernetes' conformance list under sig-node and sig-storage that are this behaviour; each stands somewhere, those
that are not the node's at the end.
`;

const KINDS: readonly Kind[] = ['real', 'unit', 'none'];

/** `others`: rows that are not the node's behaviour, by the reason. */
export function coverageDocument(lines: readonly Line[], others: readonly OtherRows[]): string {
  return [HEAD, counts(lines), ...lines.map(section), otherRows(others)].join('\n');
}

interface OtherRows {
  readonly why: string;
  readonly rows: readonly string[];
}

function otherRows(others: readonly OtherRows[]): string {
  const parts = others.map(({ why, rows }) => `${why}:\n\n${rows.map((r) => `- *${r}*`).join('\n')}\n`);
  return `## Rows that are not the node’s\n\n${parts.join('\n')}`;
}

function counts(lines: readonly Line[]): string {
  const row = (title: string, clauses: readonly Clause[]): string =>
    `| ${title} | ${KINDS.map((k) => clauses.filter((c) => c.kind === k).length).join(' | ')} |`;
  const all = lines.flatMap((l) => l.clauses);
  return `${['| line | real | unit | none |', '|---|---|---|---|', ...lines.map((l) => row(l.title, l.clauses)), row('**all**', all)].join('\n')}\n`;
}

function section({ title, clauses }: Line): string {
  const rows = clauses.map((c) => `| ${[c.clause, kind(c), tests(c), further(c)].map(escaped).join(' | ')} |`);
  return `## ${title}\n\n| clause | shown | by | not shown, rows |\n|---|---|---|---|\n${rows.join('\n')}\n`;
}

function kind(c: Clause): string {
  return c.kind === 'none' ? '**none**' : c.kind;
}

function tests(c: Clause): string {
  return c.tests.map((t) => `\`${t.file}\`: ${t.title}`).join('<br>');
}

function further({ note, rows = [] }: Clause): string {
  return [...(note === undefined ? [] : [note]), ...rows.map((r) => `*${r}*`)].join('<br>');
}

function escaped(cell: string): string {
  return cell.replaceAll('|', '\\|').replaceAll('\n', ' ');
}
