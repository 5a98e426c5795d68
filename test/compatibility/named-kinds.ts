/** Which kinds the code of a folder names, so that what is said of them can be checked. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

const IS_CODE = /\.ts$/;
const IS_OF_TESTS = /\.test\.ts$|\.testing\.ts$|conformance\.ts$|(^|\/)testing\/|(^|\/)fake[^/]*\.ts$/;
const NAMED = /\bKinds\.(\w+)/g;

export interface CodeFile {
  readonly path: string;
  readonly kinds: ReadonlySet<string>;
}

/** `folder` from `root`; tests and what they share are left out. */
export async function filesOf(root: string, folder: string): Promise<readonly CodeFile[]> {
  const paths = (await readdir(join(root, folder), { recursive: true })).map((path) => join(folder, path));
  const code = paths.filter((path) => IS_CODE.test(path) && !IS_OF_TESTS.test(path));
  return await Promise.all(
    code.map(async (path) => ({ path, kinds: kindsIn(await readFile(join(root, path), 'utf8')) })),
  );
}

/** Names of `Kinds` in a file's text, but not in its comments. */
export function kindsIn(text: string): ReadonlySet<string> {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');
  return new Set([...code.matchAll(NAMED)].map((match) => match[1] ?? ''));
}
