import { expect, test } from 'vitest';
import { dockerRow, podRow, psText } from './ps.ts';

const NOW = 1_700_000_100_000;
const docker = dockerRow({
  Id: 'a'.repeat(64),
  Names: ['/web'],
  Image: 'nginx',
  Created: 1_700_000_000,
  Status: 'Up 2 minutes (healthy)',
  Ports: [
    { IP: '0.0.0.0', PrivatePort: 80, PublicPort: 8080, Type: 'tcp' },
    { IP: '::', PrivatePort: 80, PublicPort: 8080, Type: 'tcp' },
    { PrivatePort: 443, Type: 'tcp' },
  ],
});
const pod = podRow(
  { Id: 'b'.repeat(64), Names: ['/default/db-0/etcd'], Image: 'etcd:3', Created: 1_700_000_040, State: 'running' },
  NOW,
);
const ended = podRow(
  {
    ...{ Id: 'c'.repeat(64), Names: ['/default/job/main'], Image: 'busybox', Created: 1_699_990_000 },
    ...{ State: 'exited', ExitCode: 3, Finished: 1_699_996_500 },
  },
  NOW,
);

test('berth ps: containers of pods and of Docker in one table', () => {
  const cells = psText([pod, docker, ended], {}, NOW)
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {3,}/));
  const ports = '0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp';
  expect(cells).toEqual([
    ['CONTAINER ID', 'FROM', 'IMAGE', 'CREATED', 'STATUS', 'PORTS', 'NAMES'],
    ['bbbbbbbbbbbb', 'pod', 'etcd:3', '60s ago', 'Up 60s', 'default/db-0/etcd'],
    ['aaaaaaaaaaaa', 'docker', 'nginx', '100s ago', 'Up 2 minutes (healthy)', ports, 'web'],
    ['cccccccccccc', 'pod', 'busybox', '168m ago', 'Exited (3) 60m ago', 'default/job/main'],
  ]);
});

test('berth ps: ids alone, whole ids, a line of JSON for each', () => {
  expect(psText([pod, docker], { quiet: true }, NOW)).toBe('bbbbbbbbbbbb\naaaaaaaaaaaa\n');
  expect(psText([pod], { quiet: true, trunc: false }, NOW)).toBe(`${'b'.repeat(64)}\n`);
  const lines = psText([pod, docker], { format: 'json' }, NOW).trimEnd().split('\n');
  expect(lines.map((l) => JSON.parse(l) as object)).toMatchObject([
    { id: 'bbbbbbbbbbbb', from: 'pod', names: 'default/db-0/etcd', created: '2023-11-14T22:14:00.000Z' },
    { from: 'docker', ports: '0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp' },
  ]);
});
