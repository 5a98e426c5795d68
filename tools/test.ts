/**
 * `npm test`: lint, types, then the suites one after the other, each followed by the leak check. Ends with the plain line
 * `N passed, N failed, N skipped` (a failed lint, type check or leak check counts as one failed test,
 * so does a test that docs/coverage.md names as real and that did not run).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LINES } from '../test/coverage/clauses.ts';
import { checkCoverage } from './coverage-check.ts';
import { findLeaks, snapshot } from './leak-check.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

interface VitestReport {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  success: boolean;
  testResults: {
    name: string;
    status: string;
    message: string;
    assertionResults: { fullName: string; status: string; failureMessages: string[] }[];
  }[];
}

/** Characters of one failure's message that are told again at the end. */
const MESSAGE_CHARS = 2_000;

const SUITES: Readonly<Record<string, readonly string[]>> = {
  test: ['unit', 'integration', 'e2e', 'node', 'faults'],
  'test:unit': ['unit'],
  'test:long': ['long'],
};

/** What failed, told once more at the very end: a log that was cut at its head still says it. */
const failures: string[] = [];
const reports: VitestReport[] = [];

function failuresOf(report: VitestReport): string[] {
  return report.testResults.flatMap((file) => {
    const failed = file.assertionResults.filter((t) => t.status === 'failed');
    if (failed.length > 0) {
      return failed.map((t) => `${file.name}: ${t.fullName}\n${t.failureMessages.join('\n').slice(0, MESSAGE_CHARS)}`);
    }
    return file.status === 'failed' ? [`${file.name}\n${file.message.slice(0, MESSAGE_CHARS)}`] : [];
  });
}

/** What tools/beside-reporter.ts left. */
function toldBeside(path: string): string[] {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as string[]) : ['the runner did not reach its end'];
}

function command(title: string, argv: readonly string[], totals: Totals): boolean {
  process.stdout.write(`\n== ${title}\n`);
  const [program = '', ...args] = argv;
  const ok = spawnSync(program, args, { cwd: root, stdio: 'inherit' }).status === 0;
  if (ok) totals.passed++;
  else {
    totals.failed++;
    failures.push(title);
  }
  return ok;
}

function suite(name: string, extra: readonly string[], totals: Totals): void {
  process.stdout.write(`\n== ${name} tests\n`);
  const folder = mkdtempSync(join(tmpdir(), 'berth-test-'));
  const out = join(folder, 'report.json');
  const beside = join(folder, 'beside.json');
  const before = snapshot();
  const argv = [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--project',
    name,
    '--passWithNoTests',
    '--reporter=./tools/beside-reporter.ts',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${out}`,
    ...extra,
  ];
  const env = { ...process.env, BERTH_BESIDE: beside };
  const status = spawnSync('node', argv, { cwd: root, stdio: 'inherit', env }).status;
  try {
    const report = JSON.parse(readFileSync(out, 'utf8')) as VitestReport;
    reports.push(report);
    totals.passed += report.numPassedTests;
    totals.failed += report.numFailedTests;
    totals.skipped += report.numPendingTests + report.numTodoTests;
    const failed = failuresOf(report);
    failures.push(...failed);
    if (status !== 0 && report.numFailedTests === 0) {
      totals.failed++;
      if (failed.length === 0) failures.push(`${name}: the runner failed beside its tests, with ${String(status)}`);
    }
    failures.push(...toldBeside(beside).map((t) => `${name}: beside the tests: ${t.slice(0, MESSAGE_CHARS)}`));
  } catch {
    totals.failed++;
    failures.push(`${name}: the runner left no report`);
    process.stdout.write(`${name}: the runner left no report\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const leaks = findLeaks(before);
  for (const l of leaks) process.stdout.write(`LEAK after ${name} tests: ${l}\n`);
  failures.push(...leaks.map((l) => `LEAK after ${name} tests: ${l}`));
  if (leaks.length > 0) totals.failed++;
}

/** Only after a whole run: with a filter most tests do not run. */
function coverage(totals: Totals): void {
  const named = LINES.flatMap((l) => l.clauses)
    .filter((c) => c.kind === 'real')
    .flatMap(({ clause, tests }) => tests.map((t) => ({ clause, ...t })));
  const { missing, failed, skipped } = checkCoverage(named, reports);
  for (const s of skipped) process.stdout.write(`${s}\n`);
  totals.failed += missing.length;
  failures.push(...missing, ...failed);
}

function main(): void {
  const [verb = 'test', ...extra] = process.argv.slice(2);
  const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
  if (verb === 'test') {
    command('lint', ['node_modules/.bin/biome', 'check', '.'], totals);
    command('tidy', ['node', 'node_modules/tsx/dist/cli.mjs', 'tools/tidy.ts'], totals);
    command('types', ['node_modules/.bin/tsc', '--noEmit'], totals);
  }
  for (const name of SUITES[verb] ?? []) suite(name, extra, totals);
  if (verb === 'test' && extra.length === 0) coverage(totals);
  for (const f of failures) process.stdout.write(`\nFAILED ${f}\n`);
  process.stdout.write(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped\n`);
  process.exitCode = totals.failed === 0 ? 0 : 1;
}

main();
