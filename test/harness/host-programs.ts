/** `Programs` over node:child_process, for tests that need real programs but not the native helper. */
import { spawn } from 'node:child_process';
import { StatusError } from '#lib/base';
import type { Programs } from '../../agent/kernel/kernel.ts';

export const hostPrograms: Programs = {
  run(argv, o, c) {
    const [file = '', ...args] = o.netns === undefined ? argv : ['nsenter', `--net=${o.netns}`, '--', ...argv];
    return new Promise((resolve, reject) => {
      const child = spawn(file, args, {
        stdio: ['pipe', 'pipe', 'pipe'],
        signal: c.signal,
        ...(o.cwd === undefined ? {} : { cwd: o.cwd }),
        ...(o.timeoutMs === undefined ? {} : { timeout: o.timeoutMs }),
      });
      const out: Buffer[] = [];
      const err: Buffer[] = [];
      child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
      child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
      // A program that does not read its input is no failure.
      child.stdin.on('error', () => undefined);
      child.on('error', (e) => reject(new StatusError('NotFound', `${file} cannot be run`, { cause: e })));
      child.on('close', (code) =>
        resolve({ code: code ?? 137, stdout: Buffer.concat(out), stderr: Buffer.concat(err) }),
      );
      child.stdin.end(o.stdin ?? '');
    });
  },
};
