import { expect, test } from 'vitest';
import { parseTaint, refuseNodeMistakes } from './node-options.ts';

test('node options: all mistakes at once, each with its flag and what is right', () => {
  const wrong = {
    home: 'here',
    nodeName: 'My_Host',
    nodeIp: 'x',
    gateway: ['10.0.0.1:6444', 'gate'],
    networkMode: 'bridge',
    registryPort: 'abc',
    registryUpstream: 'http://x',
    logFolder: 'logs',
    maxPods: '0',
    label: ['disk=ssd', 'nothing', 'a=b c'],
    taint: ['a=b:NoSchedule', 'a:Never', 'a'],
    logLevel: 'loud',
  };
  let told = '';
  try {
    refuseNodeMistakes(wrong);
  } catch (e) {
    told = e instanceof Error ? e.message : '';
  }
  expect(told.split('\n').map((l) => l.split(': ')[0])).toEqual([
    '--home here',
    '--node-name My_Host',
    '--node-ip x',
    '--gateway gate',
    '--network-mode bridge',
    '--registry-port abc',
    '--registry-upstream http://x',
    '--log-folder logs',
    '--max-pods 0',
    '--label nothing',
    '--label a=b c',
    '--taint a:Never',
    '--taint a',
    '--log-level loud',
  ]);
});

test('node options: what is right, and what up and join pass on, is taken', () => {
  refuseNodeMistakes({});
  refuseNodeMistakes({
    home: '/var/lib/berth/nodes/node-1',
    nodeName: 'a.example',
    nodeIp: '10.0.0.1',
    gateway: ['[fd00::1]:6444', 'host:1'],
    networkMode: 'routes',
    registryPort: '5000',
    registryUpstream: 'tls://10.0.0.1:5000',
    logFolder: '/var/log',
    maxPods: '250',
    label: ['example.com/disk=', 'a=b'],
    taint: ['dedicated=db:NoExecute', 'x:PreferNoSchedule'],
    logLevel: 'debug',
  });
  expect(parseTaint('dedicated=db:NoExecute')).toEqual({ key: 'dedicated', value: 'db', effect: 'NoExecute' });
  expect(parseTaint('x:NoSchedule')).toEqual({ key: 'x', effect: 'NoSchedule' });
});
