import { expect, test } from 'vitest';
import { applyChanges } from './changes.ts';
import { EMPTY_CONFIG } from './config.ts';

test('changes: one instruction each, in their order, as a build would do them', () => {
  const config = applyChanges({ ...EMPTY_CONFIG, env: ['A=1'], workingDir: '/w' }, [
    'CMD ["serve"]',
    'ENV B=$A-2',
    'EXPOSE 80 53/udp',
    'WORKDIR sub',
    'LABEL a=b c=d',
    'USER app',
    '',
  ]);
  expect(config).toMatchObject({ cmd: ['serve'], env: ['A=1', 'B=1-2'], exposedPorts: ['80/tcp', '53/udp'] });
  expect(config).toMatchObject({ workingDir: '/w/sub', labels: { a: 'b', c: 'd' }, user: 'app' });
});

test.each([
  ['RUN true', 'RUN is not a valid change command'],
  ['COPY a b', 'COPY is not a valid change command'],
  ['ARG x', 'ARG is not a valid change command'],
  ['NOPE x', /NOPE/i],
])('changes: %s is refused', (text, message) => {
  expect(() => applyChanges(EMPTY_CONFIG, [text])).toThrow(message);
});
