/**
 * `berth server export` and `berth server join`: a further server of a cluster whose etcd and NATS several hosts reach. All
 * servers are active; a client may use any of them, and streams toward a node pass through the one that the node dialled.
 */

import { isIP } from 'node:net';
import { isAbsolute } from 'node:path';
import { type Ctx, realClock, StatusError, silentLogger, writeFileAtomic } from '#lib/base';
import { primaryIp } from '../../agent/node.ts';
import { wrongUse } from '../client/arguments.ts';
import { findCluster, refuseOtherHome } from '../instance.ts';
import { defaultHome } from '../layout.ts';
import { homeMistake, INSTANCE_TEXT, isInstance } from '../names.ts';
import { createSteps } from '../output/steps.ts';
import { bundleOf, furtherLayout, readBundle, writeShared } from '../server-bundle.ts';
import { takeTurn } from '../turn.ts';
import { checkPorts } from '../up/layout-of.ts';
import { startCluster } from './up.ts';

export async function serverExport(file: string, o: { instance?: string; home?: string }): Promise<number> {
  const { home, layout } = await findCluster(o);
  if (layout === undefined) throw new StatusError('NotFound', `no cluster below ${home}: 'berth up' makes one`);
  const bundle = await bundleOf(layout);
  await writeFileAtomic(file, `${JSON.stringify(bundle, null, 2)}\n`, { mode: 0o600 });
  process.stderr.write(
    `${file} opens all that this cluster holds: carry it over a safe way and remove it afterwards.\n` +
      `On the other host, as root:\n  berth server join ${file}\n`,
  );
  return 0;
}

export interface ServerJoinOptions {
  readonly instance?: string;
  readonly home?: string;
  readonly serverIp?: string;
}

export async function serverJoin(file: string, o: ServerJoinOptions): Promise<number> {
  const bundle = await readBundle(file);
  const instance = o.instance ?? bundle.instance;
  const home = o.home ?? defaultHome(instance);
  refuseJoinMistakes({ ...o, instance, home });
  if (process.getuid?.() !== 0)
    throw new StatusError(
      'Invalid',
      'berth server join needs root: it keeps keys and sockets of root. Run it with sudo.',
    );
  const { layout: known } = await findCluster({ home });
  if (known !== undefined)
    throw new StatusError(
      'Invalid',
      `there is a cluster below ${home} already: 'berth up --home ${home}' starts it; another --instance or --home runs beside it`,
    );
  const serverIp = o.serverIp ?? (await primaryIp());
  const layout = furtherLayout(bundle, { instance, home, serverIp });
  await using _turn = await takeTurn(instance, 'up');
  await refuseOtherHome(layout);
  const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
  const steps = createSteps(realClock);
  // Before the keys are written; startCluster looks at everything else.
  await steps.run('checking ports and addresses', () => checkPorts(layout));
  await steps.run('taking over the authority', () => writeShared(bundle, layout));
  await startCluster(layout, { sample: false }, steps, c);
  process.stdout.write(
    `This host is a further server. Let nodes know of it: berth token create --server ${layout.serverIp}:${layout.gatewayPort} --server …\n`,
  );
  return 0;
}

function refuseJoinMistakes(o: { instance: string; home: string; serverIp?: string }): void {
  if (!isInstance(o.instance)) throw wrongUse(`--instance ${o.instance}: ${INSTANCE_TEXT}`);
  if (!isAbsolute(o.home)) throw wrongUse(`--home ${o.home}: an absolute path`);
  const mistake = homeMistake(o.home);
  if (mistake !== undefined) throw wrongUse(`--home ${mistake}`);
  if (o.serverIp !== undefined && isIP(o.serverIp) !== 4) throw wrongUse(`--server-ip ${o.serverIp}: an IPv4 address`);
}
