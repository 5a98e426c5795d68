/** What every long-running command shares: it ends on SIGTERM or SIGINT, and a programmer's error ends it with a line. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { StatusError } from '#lib/base';

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process at once. */
export function untilStopped(): Promise<void> {
  return new Promise((resolve) => {
    const stop = (): void => {
      process.once('SIGTERM', () => process.exit(143));
      process.once('SIGINT', () => process.exit(130));
      resolve();
    };
    process.once('SIGTERM', stop);
    process.once('SIGINT', stop);
  });
}

/** dist/berth-helper, beside the bundle or below the tree when run from sources. */
export function helperPath(): string {
  for (const candidate of ['./berth-helper', '../berth-helper', '../dist/berth-helper']) {
    const path = fileURLToPath(new URL(candidate, import.meta.url));
    if (existsSync(path)) return path;
  }
  throw new StatusError('NotFound', "the native helper is not built: run 'npm run build'");
}
