/** Serves one JSON request a line on stdin `{id, method, params}`, answered by `{id, result, ms}` or `{id, error}`, until stdin ends. */
import { createInterface } from 'node:readline';
import { messageOf } from '#lib/base';

interface Request {
  readonly id: number;
  readonly method: string;
  readonly params: unknown;
}

/** `more`: besides its text, of an error. */
export async function serveLines(
  methods: Readonly<Record<string, (params: never) => Promise<unknown>>>,
  more: (e: unknown) => object = () => ({}),
): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line) as Request;
    const answer = (o: object): boolean => process.stdout.write(`${JSON.stringify({ id: request.id, ...o })}\n`);
    const started = performance.now();
    const run = methods[request.method];
    const task = run ? run(request.params as never) : Promise.reject(new Error(`no method ${request.method}`));
    void task.then(
      (result) => answer({ result: result ?? null, ms: performance.now() - started }),
      (e: unknown) => answer({ error: messageOf(e), ...more(e) }),
    );
  }
}
