/** What the engine's own lists answer, asked inside the process: `/system/df` shows the same entries as they. */
import { Readable } from 'node:stream';
import { type Ctx, StatusError } from '#lib/base';
import { asArray, asObject, type JsonObject } from '#lib/oci';
import type { EngineReply } from '../http/contract.ts';
import { Request } from '../http/request.ts';
import { Router } from '../http/router.ts';
import type { EnginePart } from '../parts.ts';

export interface OwnQuestion {
  readonly path: string;
  readonly query: string;
  readonly version: number;
}

/** The answer of a `GET`; what it throws is thrown. */
export async function ownAnswer(parts: readonly EnginePart[], q: OwnQuestion, c: Ctx): Promise<unknown> {
  const found = new Router(parts.flatMap((p) => p.routes)).match('GET', q.path);
  if (found === undefined) throw new StatusError('Internal', `the engine has no ${q.path}`);
  const { params } = found;
  const { version, query } = q;
  const request = new Request({ version, params, query, headers: {}, body: Readable.from([]), isOpenEnded: false, c });
  const reply = new Captured();
  await found.route.handle(request, reply);
  return reply.value;
}

export async function ownList(
  parts: readonly EnginePart[],
  q: OwnQuestion & { readonly key?: string },
  c: Ctx,
): Promise<readonly JsonObject[]> {
  const value = await ownAnswer(parts, q, c);
  const list = q.key === undefined ? value : asObject(value, q.path)[q.key];
  return asArray(list, q.path).map((x) => asObject(x, q.path));
}

/** Of a list there is nothing but its JSON. */
class Captured implements EngineReply {
  value: unknown;
  isBegun = false;

  json(_status: number, value: unknown): void {
    this.value = value;
    this.isBegun = true;
  }

  empty(): void {
    throw noList();
  }

  stream(): never {
    throw noList();
  }

  hijack(): never {
    throw noList();
  }

  async webSocket(): Promise<never> {
    throw noList();
  }
}

function noList(): StatusError {
  return new StatusError('Internal', 'a list answers with JSON');
}
