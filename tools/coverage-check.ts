/** Whether the tests that docs/coverage.md names as real have passed in this run. Pure. */

export interface Report {
  testResults: {
    name: string;
    status: string;
    message: string;
    assertionResults: { fullName: string; status: string }[];
  }[];
}

/** A piece of a title in a file, as a clause of test/coverage names it. */
export interface Named {
  clause: string;
  file: string;
  title: string;
}

export interface Coverage {
  /** Neither run nor told as failed by their suite: each counts as one failed test. */
  missing: string[];
  /** Failed: counted already, told once more with what they show. */
  failed: string[];
  /** Skipped for what the machine lacks: no failure. */
  skipped: string[];
}

export function checkCoverage(named: readonly Named[], reports: readonly Report[]): Coverage {
  const out: Coverage = { missing: [], failed: [], skipped: [] };
  const files = reports.flatMap((r) => r.testResults);
  for (const { file, title, clauses } of byTitle(named)) {
    const found = files.filter((f) => f.name.endsWith(`/${file}`));
    const seen = found.flatMap((f) =>
      f.assertionResults
        .filter((t) => t.fullName.includes(title))
        .map((t) => ({ status: t.status, hookFailed: hookFailed(f) })),
    );
    const text = `COVERAGE: ${file}: "${title}" (${clauses.join('; ')})`;
    if (seen.some((s) => s.status === 'failed')) out.failed.push(`${text} failed`);
    else if (seen.some((s) => s.status === 'passed')) continue;
    else if (seen.length === 0) out.missing.push(`${text} did not run`);
    else if (seen.some((s) => s.hookFailed)) out.missing.push(`${text} did not run: what it needs failed`);
    else out.skipped.push(`${text} was skipped`);
  }
  return out;
}

/** Tests of a suite whose beforeAll failed are reported as skipped; their file has failed without a failed test. */
function hookFailed(file: Report['testResults'][number]): boolean {
  return file.status === 'failed' && (file.message !== '' || file.assertionResults.every((t) => t.status !== 'failed'));
}

function byTitle(named: readonly Named[]): { file: string; title: string; clauses: string[] }[] {
  const out = new Map<string, { file: string; title: string; clauses: string[] }>();
  for (const { file, title, clause } of named) {
    const key = `${file}\n${title}`;
    const known = out.get(key);
    if (known === undefined) out.set(key, { file, title, clauses: [clause] });
    else known.clauses.push(clause);
  }
  return [...out.values()];
}
