/** `berth completion SHELL` prints the script a shell loads; the hidden `berth __complete` answers that script. */
import type { Command } from 'commander';
import { realClock } from '#lib/base';
import { wrongUse } from '../client/arguments.ts';
import { complete } from '../completion/candidates.ts';
import { apiLookup } from '../completion/lookup.ts';
import { SCRIPTS } from '../completion/scripts.ts';

/** A shell waits for this while the user does. */
const LIMIT_MS = 2_000;

export function completionCommand(shell: string): number {
  const script = SCRIPTS[shell];
  if (script === undefined) throw wrongUse(`completion ${shell}: one of ${Object.keys(SCRIPTS).join(', ')}`);
  process.stdout.write(script);
  return 0;
}

export async function answerCompletion(root: Command, words: readonly string[]): Promise<number> {
  realClock.after(LIMIT_MS, () => process.exit(0), { unref: true });
  const { candidates, files } = await complete(root, words.length === 0 ? [''] : words, apiLookup);
  const lines = candidates.map((x) =>
    x.description === undefined ? x.word : `${x.word}\t${x.description.split('\n')[0] ?? ''}`,
  );
  process.stdout.write([...lines, ...(files ? [':files'] : [])].map((l) => `${l}\n`).join(''));
  return 0;
}
