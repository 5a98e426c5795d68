/** The Linux implementation of the kernel ports, on `berth-helper serve`. */
import { pipeline } from 'node:stream/promises';
import { type Ctx, type Random, realRandom, StatusError } from '#lib/base';
import type { Kernel } from '../kernel.ts';
import { type LinuxCgroups, openCgroups } from './cgroups.ts';
import { Helper } from './helper.ts';
import { HelperMounts, HelperNamespaces } from './mounts.ts';
import { baseEnvironment, HelperPrograms } from './programs.ts';

export interface KernelOptions {
  /** dist/berth-helper */
  readonly helperPath: string;
  /** Environment of which PATH and HOME are handed on to programs; default: none. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly random?: Random;
}

/** What agent/runtime needs beyond the ports: sessions are verbs of the helper. */
export interface LinuxKernel extends Kernel {
  readonly helper: Helper;
  readonly cgroups: LinuxCgroups;
}

export async function openKernel(o: KernelOptions): Promise<LinuxKernel> {
  const cgroups = await openCgroups();
  const helper = await Helper.open({ helperPath: o.helperPath, random: o.random ?? realRandom });
  return {
    helper,
    programs: new HelperPrograms(helper, baseEnvironment(o.environment ?? {})),
    mounts: new HelperMounts(helper),
    namespaces: new HelperNamespaces(helper, cgroups),
    cgroups,
    unpackLayer: (u, c) => unpackLayer(helper, u, c),
    removeTree: async (path, c) => {
      await helper.call('remove', [path], c);
    },
    [Symbol.asyncDispose]: () => helper[Symbol.asyncDispose](),
  };
}

/** Feeds the archive to a child of the helper. The child's verdict wins over the broken pipe that it leaves behind. */
async function unpackLayer(
  helper: Helper,
  o: { root: string; input: NodeJS.ReadableStream },
  c: Ctx,
): Promise<{ entries: number; bytes: number }> {
  const stream = await helper.expectStream();
  const feeding = new AbortController();
  let inputError: unknown;
  const feed = stream.socket.then((socket) =>
    pipeline(o.input, socket, { signal: feeding.signal }).catch((e: unknown) => {
      inputError = e;
      socket.destroy();
    }),
  );
  try {
    const answer = await helper.call('unpack', [o.root, helper.streamsPath, stream.token], c);
    await feed;
    if (inputError !== undefined) throw inputError;
    const [entries, bytes] = answer.trim().split(' ').map(Number);
    if (entries === undefined || bytes === undefined) throw new StatusError('Internal', `bad answer: ${answer}`);
    return { entries, bytes };
  } catch (e) {
    feeding.abort();
    /* An input that failed by itself (a bad digest, a lost connection) is the cause; the child only saw its end. */
    throw inputError !== undefined && !isBrokenPipe(inputError) ? inputError : e;
  } finally {
    stream.forget();
  }
}

function isBrokenPipe(e: unknown): boolean {
  const code = e instanceof Error && 'code' in e ? e.code : undefined;
  return code === 'EPIPE' || code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE';
}
