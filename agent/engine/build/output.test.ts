import { expect, test } from 'vitest';
import type { Digest } from '#lib/base';
import type { BuildEvent } from '../../build/solve/progress.ts';
import { ClassicOutput } from './output.ts';

const ID = `sha256:${'ab'.repeat(32)}`;
const chainId = `sha256:${'cd'.repeat(32)}` as Digest;

function run(events: readonly BuildEvent[], end: 'done' | 'failed' = 'done') {
  const lines: { stream?: string; aux?: unknown }[] = [];
  const output = new ClassicOutput((line) => void lines.push(line));
  for (const e of events) void output.on(e);
  if (end === 'done') void output.done({ id: ID, tags: ['a:b'], buildArgs: [] });
  else void output.failed();
  return { text: lines.map((l) => l.stream ?? '').join(''), lines };
}

const step = (stageIndex: number, number: number, total: number) => ({
  stageIndex,
  stage: `${stageIndex}`,
  number,
  total,
});
const planned = (stages: readonly [number, number][]): BuildEvent => ({
  ...{ kind: 'planned', globalArgs: ['ARG V=1'], args: [] },
  stages: stages.map(([index, steps]) => ({ index, from: `FROM x${index}`, steps })),
});
const begins = (stageIndex: number, triggers = 0): BuildEvent => ({
  kind: 'stage-begins',
  stageIndex,
  base: ID,
  triggers,
});
const ends = (s: ReturnType<typeof step>, outcome: 'cached' | 'done' | 'failed' = 'done'): BuildEvent => ({
  ...{ kind: 'step-ends', step: s, outcome, durationMs: 1, chainId },
});

test('classic output: stages that are built side by side are told one after the other', () => {
  const [a, b] = [step(0, 1, 1), step(2, 1, 1)];
  const { text, lines } = run([
    planned([
      [0, 1],
      [2, 1],
    ]),
    begins(2),
    { kind: 'step-begins', step: b, title: 'RUN b' },
    { kind: 'output', step: b, data: Buffer.from('from b\n') },
    begins(0),
    { kind: 'step-begins', step: a, title: 'RUN a' },
    { kind: 'container', step: a, id: 'f'.repeat(64) },
    { kind: 'output', step: a, data: Buffer.from('from a\n') },
    ends(b, 'cached'),
    { kind: 'stage-ends', stageIndex: 2 },
    ends(a),
    { kind: 'stage-ends', stageIndex: 0 },
  ]);
  expect(text.split('\n')).toEqual([
    'Step 1/5 : ARG V=1',
    'Step 2/5 : FROM x0',
    ' ---> abababababab',
    'Step 3/5 : RUN a',
    ' ---> Running in ffffffffffff',
    'from a',
    ' ---> Removed intermediate container ffffffffffff',
    ' ---> cdcdcdcdcdcd',
    'Step 4/5 : FROM x2',
    ' ---> abababababab',
    'Step 5/5 : RUN b',
    'from b',
    ' ---> Using cache',
    ' ---> abababababab',
    'Successfully built abababababab',
    'Successfully tagged a:b',
    '',
  ]);
  expect(lines).toContainEqual({ aux: { ID } });
});

test('classic output: triggers of a base have no step of their own; a character cut in two is whole', () => {
  const steps = [step(0, 1, 2), step(0, 2, 2)] as const;
  const [one, two] = [Buffer.from('ä').subarray(0, 1), Buffer.from('ä').subarray(1)];
  const { text } = run([
    planned([[0, 1]]),
    begins(0, 1),
    { kind: 'step-begins', step: steps[0], title: 'RUN trigger' },
    ends(steps[0]),
    { kind: 'step-begins', step: steps[1], title: 'RUN own' },
    { kind: 'output', step: steps[1], data: one },
    { kind: 'output', step: steps[1], data: two },
    ends(steps[1]),
  ]);
  expect(text).toContain('# Executing 1 build trigger\n');
  expect(text).not.toContain('RUN trigger');
  expect(text).toContain('Step 3/3 : RUN own\nä');
});

test('classic output: what a later stage prints is kept up to a bound, and shown when it is the one that fails', () => {
  const s = step(1, 1, 1);
  const events: BuildEvent[] = [
    planned([
      [0, 1],
      [1, 1],
    ]),
    begins(1),
    { kind: 'step-begins', step: s, title: 'RUN noisy' },
    ...Array.from({ length: 40 }, (): BuildEvent => ({ kind: 'output', step: s, data: Buffer.alloc(100_000, 'x') })),
    ends(s, 'failed'),
  ];
  const { text } = run(events, 'failed');
  expect(text).toContain('RUN noisy');
  expect(text.match(/output clipped/g)).toHaveLength(1);
  expect(text.length).toBeLessThan(2_300_000);
});

test('classic output: who writes waits for a client that does not read, of the present stage alone', async () => {
  let release: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const output = new ClassicOutput(() => gate);
  void output.on(
    planned([
      [0, 1],
      [1, 1],
    ]),
  );
  const data = Buffer.from('x');
  expect(output.on({ kind: 'output', step: step(1, 1, 1), data })).toBeUndefined();
  let told = false;
  const waiting = Promise.resolve(output.on({ kind: 'output', step: step(0, 1, 1), data })).then(() => {
    told = true;
  });
  await Promise.resolve();
  expect(told).toBe(false);
  release();
  await waiting;
  expect(told).toBe(true);
});
