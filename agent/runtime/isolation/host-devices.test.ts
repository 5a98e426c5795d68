import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { deviceNumbers, hostDevices } from './host-devices.ts';

test('numbers of devices, large ones too', () => {
  expect(deviceNumbers(0x103n)).toEqual({ major: 1, minor: 3 });
  /* makedev(254, 1048575) and makedev(4095, 256) */
  expect(deviceNumbers(0xfff0_feffn)).toEqual({ major: 254, minor: 1_048_575 });
  expect(deviceNumbers(0x1f_ff00n)).toEqual({ major: 4095, minor: 256 });
});

test('the devices of this host, none that a container has of its own', async () => {
  const devices = await hostDevices();
  expect(devices).toContainEqual({
    path: '/dev/null',
    type: 'c',
    major: 1,
    minor: 3,
    fileMode: 0o666,
    uid: expect.any(Number),
    gid: expect.any(Number),
  });
  expect(devices.filter((d) => /^\/dev\/(console|ptmx|pts|shm|mqueue)/.test(d.path))).toEqual([]);
});

test('files, links and loops of links are no devices', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-dev-'));
  try {
    mkdirSync(join(folder, 'a'));
    writeFileSync(join(folder, 'a/file'), '');
    symlinkSync('..', join(folder, 'a/up'));
    symlinkSync('/dev/null', join(folder, 'null'));
    expect(await hostDevices(folder)).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
