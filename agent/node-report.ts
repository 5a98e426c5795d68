/** The node's own status, told to the control plane. */
import type { Ctx, Wake } from '#lib/base';
import type { Images } from './images/images.ts';
import { type NodeOptions, nodeStatus } from './node.ts';
import type { Session } from './session/session.ts';

const STATUS_INTERVAL_MS = 10_000;
const STATUS_REPEAT_MS = 300_000;

/** Reports when something other than the time changed, and every five minutes. */
export async function reportNode(
  session: Session,
  o: NodeOptions,
  { images, due }: { readonly images: Images; readonly due: Wake },
  c: Ctx,
): Promise<void> {
  let last = '';
  let toldAt = c.clock.monotonic();
  for (;;) {
    await due.sleepUntil(c.clock.now() + STATUS_INTERVAL_MS, c);
    due.clear();
    const status = await nodeStatus(o, await images.list(c), c.clock);
    const text = JSON.stringify({ ...status, conditions: status.conditions?.map((x) => [x.type, x.status]) });
    if (text === last && c.clock.monotonic() - toldAt < STATUS_REPEAT_MS) continue;
    last = text;
    toldAt = c.clock.monotonic();
    session.reportNodeStatus(status);
  }
}
