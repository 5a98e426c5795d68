/**
 * Vitest reporter: writes what no test's result says, as a JSON array of texts, to the file that BERTH_BESIDE names: errors that
 * came beside the tests (an unhandled rejection, a worker that died) and the names of tests that were begun and never ended.
 */
import { writeFileSync } from 'node:fs';
import type { Reporter, SerializedError, TestModule } from 'vitest/node';

/** Tests that nobody skipped and that have no result: their worker died, or the run was cut off. */
function unended(modules: readonly TestModule[]): string[] {
  return modules.flatMap((m) =>
    [...m.children.allTests('pending')].map((t) => `never ended: ${m.relativeModuleId}: ${t.fullName}`),
  );
}

export default class BesideReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const out = process.env['BERTH_BESIDE'];
    if (out === undefined) return;
    const told = errors.map((e) => {
      const where = [e['VITEST_TEST_PATH'], e['VITEST_TEST_NAME']].filter((w) => w !== undefined).join(' ');
      return `${String(e['type'] ?? 'error')} ${where}: ${e.stack ?? `${String(e.name)}: ${e.message}`}`;
    });
    writeFileSync(out, JSON.stringify([...told, ...unended(modules)]));
  }
}
