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

/** This program, as the start of an argv. The heap's young generation is kept small: an idle cluster is mostly Node. */
export function berthArgv(): string[] {
  return [process.execPath, ...NODE_FLAGS, fileURLToPath(new URL('./berth.js', bundleFolder()))];
}

/** The same for `berth server`: requests under way outlive a small young generation and fill the old one. */
export function serverArgv(): string[] {
  const [node = '', , ...rest] = berthArgv();
  return [node, '--max-semi-space-size=8', ...rest];
}

export function registryArgv(): string[] {
  return [process.execPath, ...NODE_FLAGS, fileURLToPath(new URL('./registry.js', bundleFolder()))];
}

export function examplePath(name: string): string {
  return deployPath(`examples/${name}`);
}

/** A file below deploy/. */
export function deployPath(name: string): string {
  return fileURLToPath(new URL(`../deploy/${name}`, bundleFolder()));
}

const NODE_FLAGS = ['--max-semi-space-size=2'];

/** dist/, whether this runs from a chunk, from the entry, or from the sources. */
function bundleFolder(): URL {
  for (const candidate of ['./', '../', '../dist/']) {
    const url = new URL(candidate, import.meta.url);
    if (existsSync(new URL('berth.js', url))) return url;
  }
  throw new StatusError('NotFound', "the program is not built: run 'npm run build'");
}
