/**
 * Vitest reporter: writes what no test's result says, as a JSON array of texts, to the file that BERTH_BESIDE names: errors that
 * came beside the tests (an unhandled rejection, a worker that died), tests that were begun and never ended, and what a worker
 * that died of a fault of Node's wrote to stderr.
 */
import { writeFileSync } from 'node:fs';
import type { Reporter, SerializedError, TestModule, Vitest } from 'vitest/node';

/** Node's and V8's last words: an assertion, no memory, and the native stack after them. */
const LAST_WORDS = /FATAL ERROR|Fatal error|Assertion|Check failed|native stack trace|node::|v8::|^ *\d+: 0x/;
const LINES_MAX = 40;

export default class BesideReporter implements Reporter {
  readonly #lastWords: string[] = [];

  onInit(vitest: Vitest): void {
    const { errorStream } = vitest.logger;
    const write = errorStream.write.bind(errorStream) as (...args: unknown[]) => boolean;
    errorStream.write = (...args: unknown[]): boolean => {
      for (const line of String(args[0]).split('\n'))
        if (LAST_WORDS.test(line) && this.#lastWords.length < LINES_MAX) this.#lastWords.push(line);
      return write(...args);
    };
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const out = process.env['BERTH_BESIDE'];
    if (out === undefined) return;
    const told = [...errors.map(textOf), ...unended(modules)];
    if (told.length > 0 && this.#lastWords.length > 0) told.push(`on stderr:\n${this.#lastWords.join('\n')}`);
    writeFileSync(out, JSON.stringify(told));
  }
}

function textOf(e: SerializedError): string {
  const where = [e['VITEST_TEST_PATH'], e['VITEST_TEST_NAME']].filter((w) => w !== undefined).join(' ');
  return `${String(e['type'] ?? 'error')} ${where}: ${e.stack ?? `${String(e.name)}: ${e.message}`}`;
}

/** Tests that nobody skipped and that have no result: their worker died, or the run was cut off. */
function unended(modules: readonly TestModule[]): string[] {
  return modules.flatMap((m) =>
    [...m.children.allTests('pending')].map((t) => `never ended: ${m.relativeModuleId}: ${t.fullName}`),
  );
}
