/** Calls a part's routes without HTTP: for tests of one part of the engine. */
import { Readable, type Writable } from 'node:stream';
import type { Ctx } from '#lib/base';
import type { JsonObject } from '#lib/oci';
import { EngineError, type EngineReply, type EngineRoute } from '../../agent/engine/http/contract.ts';
import { Filters } from '../../agent/engine/http/filters.ts';

export interface RouteAnswer {
  readonly status: number;
  readonly body: unknown;
}

export interface RouteCall {
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: object;
  readonly version?: number;
}

const FALSE = ['', '0', 'no', 'false', 'none'];

/** `POST /networks/x/connect`; an EngineError gives its status and `{message}`. */
export async function callRoute(
  routes: readonly EngineRoute[],
  call: string,
  o: RouteCall,
  c: Ctx,
): Promise<RouteAnswer> {
  const [method = '', path = ''] = call.split(' ');
  for (const route of routes) {
    const params = route.method === method ? matched(route.path, path) : undefined;
    if (params === undefined) continue;
    let answer: RouteAnswer | undefined;
    const refuse = (): never => {
      throw new Error('this route does not stream');
    };
    const reply: EngineReply = {
      json: (status, body) => {
        const text = JSON.stringify(body);
        answer = { status, body: JSON.parse(text) };
      },
      empty: (status) => {
        answer = { status, body: undefined };
      },
      stream: (): Writable => refuse(),
      hijack: refuse,
      webSocket: refuse,
      isBegun: false,
    };
    const get = (name: string): string | undefined => o.query?.[name];
    try {
      await route.handle(
        {
          version: o.version ?? 51,
          params,
          query: {
            get,
            all: (name) => [get(name) ?? []].flat(),
            bool: (name) => !FALSE.includes(get(name) ?? ''),
            int: (name, absent) => Number(get(name) ?? absent),
          },
          headers: {},
          body: Readable.from([]),
          c,
          json: async () => o.body as JsonObject | undefined,
          filters: (allowed) => Filters.parse(get('filters'), allowed),
        },
        reply,
      );
    } catch (e) {
      if (!(e instanceof EngineError)) throw e;
      return { status: e.status, body: { message: e.message } };
    }
    if (answer === undefined) throw new Error(`${call} was not answered`);
    return answer;
  }
  throw new Error(`no route for ${call}`);
}

function matched(pattern: string, path: string): Record<string, string> | undefined {
  const parts = pattern.split('/');
  const given = path.split('/');
  if (parts.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (const [i, part] of parts.entries()) {
    const value = given[i] ?? '';
    if (part.startsWith('{')) params[part.slice(1, -1)] = value;
    else if (part !== value) return undefined;
  }
  return params;
}
