/** Other programs, run by the native helper. */
import { type Ctx, StatusError } from '#lib/base';
import type { ProgramResult, Programs } from '../kernel.ts';
import type { Helper } from './helper.ts';

/** What a program inherits when `env` does not say otherwise. */
export function baseEnvironment(environment: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  return { PATH: environment['PATH'] ?? path, HOME: environment['HOME'] ?? '/root', LANG: 'C.UTF-8' };
}

export class HelperPrograms implements Programs {
  readonly #helper: Helper;
  readonly #environment: Readonly<Record<string, string>>;

  constructor(helper: Helper, environment: Readonly<Record<string, string>>) {
    this.#helper = helper;
    this.#environment = environment;
  }

  async run(argv: readonly string[], o: Parameters<Programs['run']>[1], c: Ctx): Promise<ProgramResult> {
    const env = Object.entries({ ...this.#environment, ...o.env }).map(([k, v]) => `${k}=${v}`);
    const stdin = typeof o.stdin === 'string' ? Buffer.from(o.stdin) : (o.stdin ?? Buffer.alloc(0));
    const fields = [o.cwd ?? '', o.netns ?? '', '', stdin, argv.length, ...argv, ...env];
    if (o.timeoutMs === undefined) return this.#helper.request('run', fields, c.signal);
    const deadline = new AbortController();
    const timer = c.clock.after(o.timeoutMs, () =>
      deadline.abort(new StatusError('DeadlineExceeded', `${argv[0]} took longer than ${o.timeoutMs} ms`)),
    );
    const onAbort = (): void => deadline.abort(c.signal.reason);
    c.signal.addEventListener('abort', onAbort, { once: true });
    if (c.signal.aborted) onAbort();
    try {
      return await this.#helper.request('run', fields, deadline.signal);
    } finally {
      timer.cancel();
      c.signal.removeEventListener('abort', onAbort);
    }
  }
}
