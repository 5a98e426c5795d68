import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { type CodeFile, filesOf, kindsIn } from './named-kinds.ts';
import { ROLES } from './roles.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

describe('what is said of the kinds', () => {
  let files: readonly CodeFile[];
  beforeAll(async () => {
    files = [...(await filesOf(ROOT, 'services')), ...(await filesOf(ROOT, 'agent'))];
  });

  /** By other names than their own. */
  const SEEN_AS: Readonly<Record<string, string>> = { eventsV1Events: 'events' };

  test.each(Object.entries(ROLES))('%s: the file that deals with it names it', (name, { by }) => {
    expect(files.find((f) => f.path === by)?.kinds).toContain(SEEN_AS[name] ?? name);
  });

  test('a kind that any code names has a role, and no other has one', () => {
    const named = new Set(files.flatMap((f) => [...f.kinds]));
    const withRole = Object.keys(ROLES).map((name) => SEEN_AS[name] ?? name);
    expect([...named].sort()).toEqual([...new Set(withRole)].sort());
    expect(Object.keys(Kinds)).toEqual(expect.arrayContaining([...named]));
  });

  test('comments name nothing', () => {
    const text = "/* Kinds.a */ f(Kinds.pods); // Kinds.b\nconst url = 'https://x'; g(Kinds.nodes);";
    expect([...kindsIn(text)]).toEqual(['pods', 'nodes']);
  });
});
