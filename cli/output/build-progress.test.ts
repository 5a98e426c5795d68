import { expect, test } from 'vitest';
import { StepFailed } from '../../agent/build/dockerfile/error.ts';
import { BuildProgress } from './build-progress.ts';

const step = { stageIndex: 0, stage: 'make', number: 2, total: 3 };

test('build progress: steps, their output by lines, what was cached', () => {
  let out = '';
  const p = new BuildProgress((text) => {
    out += text;
  });
  p.on({ kind: 'step-begins', step, title: 'RUN make \\\n  all' });
  p.on({ kind: 'output', step, data: Buffer.from('a\nb') });
  p.on({ kind: 'output', step, data: Buffer.from('c') });
  p.on({ kind: 'step-ends', step, outcome: 'done', durationMs: 1234, chainId: undefined });
  p.on({ kind: 'step-ends', step: { ...step, number: 3 }, outcome: 'cached', durationMs: 1, chainId: undefined });
  p.on({ kind: 'warning', message: 'old', line: 4 });
  expect(out.split('\n')).toEqual([
    '[make 2/3] RUN make \\ all',
    '[make 2/3] | a',
    '[make 2/3] | bc',
    '[make 2/3] DONE 1.2s',
    '[make 3/3] CACHED',
    'warning: line 4: old',
    '',
  ]);
});

test('build progress: a failure shows its last output and the lines of the file', () => {
  const p = new BuildProgress(() => undefined);
  p.on({ kind: 'step-begins', step, title: 'RUN make' });
  for (let n = 0; n < 30; n++) p.on({ kind: 'output', step, data: Buffer.from(`line ${n}\n`) });
  p.on({ kind: 'step-ends', step, outcome: 'failed', durationMs: 1, chainId: undefined });
  const file = 'FROM base\nRUN true\n\nRUN make\nCMD x\n';
  const text = p.failure(
    new StepFailed({ start: 4, end: 4 }, "The command 'make' returned a non-zero code: 2"),
    file,
    'Dockerfile',
  );
  expect(text).not.toContain('> line 9\n');
  expect(text).toContain('> line 10\n');
  expect(text).toContain('Dockerfile:4\n');
  expect(text).toContain(' 4 | >>> RUN make\n');
  expect(text).toContain(' 1 |     FROM base\n');
  expect(text).toMatch(/ERROR: The command 'make' returned a non-zero code: 2\n$/);
});
