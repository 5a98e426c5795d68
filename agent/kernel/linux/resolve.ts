/** The end of a DNS server that is inside of a network namespace: agent/native/resolve.c. */
import type { Socket } from 'node:net';
import { type Ctx, raceAbort, StatusError } from '#lib/base';
import type { Helper } from './helper.ts';

export interface ResolverEnd {
  /** On 127.0.0.11 there. */
  readonly port: number;
  /** Frames of u32 size, u32 id and a message, both ways. Its end ends the process inside. */
  readonly socket: Socket;
}

/** `port`: the one that is wanted, or 0; another is taken where that one is somebody's. */
export async function openResolverEnd(
  helper: Helper,
  o: { readonly netns: string; readonly port: number },
  c: Ctx,
): Promise<ResolverEnd> {
  const stream = await helper.expectStream();
  try {
    const answer = await helper.call('resolve', [helper.streamsPath, stream.token, o.netns, o.port], c);
    const port = Number(answer);
    if (!Number.isInteger(port) || port < 1) throw new StatusError('Internal', `bad answer: ${answer}`);
    return { port, socket: await raceAbort(stream.socket, c.signal) };
  } finally {
    stream.forget();
  }
}
