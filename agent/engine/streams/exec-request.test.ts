import { describe, expect, test } from 'vitest';
import type { ContainerId } from '../../runtime/runtime.ts';
import { execFailure } from './exec-failure.ts';
import { decodeExecCreate, decodeExecStart } from './exec-request.ts';
import { Exec, ExecStore } from './exec-store.ts';

describe('exec bodies', () => {
  test('what older versions do not know is not there', () => {
    const body = { Cmd: 'ls', Env: ['A=1'], WorkingDir: '/x', ConsoleSize: [24, 80], Tty: true, User: null };
    expect(decodeExecCreate(body, 24)).toMatchObject({
      cmd: ['ls'],
      env: [],
      workingDir: '',
      size: undefined,
      user: '',
    });
    expect(decodeExecCreate(body, 51)).toMatchObject({
      env: ['A=1'],
      workingDir: '/x',
      size: { width: 80, height: 24 },
    });
  });
  test.each([
    [{}, 'No exec command specified'],
    [{ Cmd: [] }, 'No exec command specified'],
    [{ Cmd: [1] }, 'Cmd[0] must be a string'],
    [{ Cmd: ['a\0'] }, 'without NUL'],
    [{ Cmd: ['a'], Tty: 'yes' }, 'Tty must be'],
    [{ Cmd: ['a'], DetachKeys: 'ctrl-' }, 'Invalid escape keys (ctrl-) provided'],
    [{ Cmd: ['a'], ConsoleSize: [1] }, 'ConsoleSize must be'],
  ])('%j is refused', (body, message) => expect(() => decodeExecCreate(body, 51)).toThrow(message));
  test('start: a size counts with a terminal alone', () => {
    expect(decodeExecStart(undefined, 51)).toEqual({ detach: false, tty: false, size: undefined });
    expect(decodeExecStart({ ConsoleSize: [5, 6] }, 51).size).toBeUndefined();
    expect(decodeExecStart({ Tty: true, ConsoleSize: [5, 6] }, 51).size).toEqual({ height: 5, width: 6 });
  });
});

test.each([
  ['crun: executable file `x` not found in $PATH: No such file or directory', 127, 400],
  ['exec: "x": executable file not found in $PATH', 127, 400],
  ['exec: "/etc/passwd": permission denied', 126, 400],
  ['exec: "/etc": is a directory', 126, 400],
  ['open executable: Operation not permitted', 126, 400],
  ['chdir to cwd ("/nope") set in config.json failed: no such file or directory', 127, 400],
  ['something else', 128, 500],
])('exec failure: %s', (text, exitCode, status) => {
  expect(execFailure(text)).toMatchObject({ exitCode, status });
  expect(execFailure(text).message).toContain(`OCI runtime exec failed: ${text}`);
});

describe('the store of execs', () => {
  const exec = (id: string): Exec =>
    new Exec({ id, containerId: 'c' as ContainerId, request: decodeExecCreate({ Cmd: ['x'] }, 51), user: undefined });
  const end = (e: Exec, atMs: number): Exec => {
    e.state = { phase: 'ended', exitCode: 3, pid: 1, atMs };
    return e;
  };

  test('an ended one is known for ten minutes', () => {
    const store = new ExecStore();
    store.add(end(exec('a'), 1000), 1000);
    expect(store.get('a', 600_999)?.id).toBe('a');
    expect(store.get('a', 601_000)).toBeUndefined();
    expect(store.of('c' as ContainerId)).toEqual([]);
  });

  test('bounded: the oldest that ended goes first, then the oldest that never ran; what runs stays', () => {
    const store = new ExecStore();
    const running = exec('running');
    running.state = { phase: 'starting' };
    store.add(running, 0);
    store.add(exec('created'), 0);
    store.add(end(exec('ended'), 0), 0);
    for (let i = 0; i < 4_093; i++) store.add(end(exec(`e${i}`), 0), 0);
    store.add(exec('one more'), 0);
    expect(store.get('ended', 0)).toBeUndefined();
    expect(store.get('created', 0)?.id).toBe('created');
    expect(store.get('running', 0)?.id).toBe('running');
    expect(store.of('c' as ContainerId)).toEqual(['running', 'created', 'one more']);
  });

  test('full of what runs: refused', () => {
    const store = new ExecStore();
    for (let i = 0; i < 4_096; i++) {
      const e = exec(`e${i}`);
      e.state = { phase: 'starting' };
      store.add(e, 0);
    }
    expect(() => store.add(exec('x'), 0)).toThrow(/too many exec instances/);
  });
});
