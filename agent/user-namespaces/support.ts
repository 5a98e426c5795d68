/**
 * Whether this machine can run pods in user namespaces: asked by doing it once, at the agent's start. It needs user namespaces at all
 * (a host may forbid them) and overlayfs on idmapped lower folders, which is Linux 5.19 and a file system that can.
 */
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, messageOf } from '#lib/base';
import { overlayFormat } from '../images/overlay.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { KnownHandler } from '../runtime/handlers.ts';
import type { IdRange } from './ranges.ts';

/** The handlers as they are here. `folder`: on the file system of images; nothing of the trial is left there. */
export async function supportedHandlers(
  kernel: Kernel,
  handlers: readonly KnownHandler[],
  o: { readonly folder: string; readonly ids: IdRange },
  c: Ctx,
): Promise<readonly KnownHandler[]> {
  const why = await trial(kernel, join(o.folder, 'user-namespace-probe'), o.ids, c);
  if (why === undefined) return handlers;
  c.log.info({ reason: why }, 'user namespaces do not work here: pods with hostUsers: false are refused');
  return handlers.map((h) => ({ ...h, userNamespaces: false }));
}

/** Undefined when it worked, else why not. */
async function trial(kernel: Kernel, folder: string, { first, count }: IdRange, c: Ctx): Promise<string | undefined> {
  const [namespaces, root, lower] = ['ns', 'root', 'lower'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const format = overlayFormat(kernel);
  const remove = async (): Promise<void> => {
    await format.dismantle(root, c);
    await kernel.namespaces.unpin(namespaces, c);
    await kernel.removeTree(folder, c);
  };
  try {
    await remove();
    await mkdir(lower, { recursive: true });
    await mkdir(root);
    await writeFile(join(lower, 'file'), '');
    const ids = { first, count };
    await kernel.namespaces.pinUser(namespaces, { kinds: ['uts'], ids }, c);
    await format.build(root, [lower], c, { path: join(namespaces, 'user'), ids });
    const { uid } = await stat(join(root, 'merged', 'file'));
    return uid === first ? undefined : `a file of root in a layer belongs to ${uid} instead of ${first}`;
  } catch (e) {
    c.signal.throwIfAborted();
    return messageOf(e);
  } finally {
    await remove();
  }
}
