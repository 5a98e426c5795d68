/** A network namespace for the engines under measure: their bridges and firewall rules are there, and gone with it. */
import { run } from '../harness/cluster.ts';

/** An address for Swarm to advertise; it is seen inside the namespace only. */
export const SWARM_ADDRESS = '10.254.0.1';

export interface EngineNetwork extends AsyncDisposable {
  /** The command line that runs this one inside. */
  inside(...command: string[]): string[];
}

export async function openEngineNetwork(): Promise<EngineNetwork> {
  const name = `berth-bench-${process.pid}`;
  const ip = async (...args: string[]): Promise<void> => {
    const r = await run('ip', args, {}, 5_000);
    if (r.code !== 0) throw new Error(`ip ${args.join(' ')}: ${r.stderr}`);
  };
  await ip('netns', 'add', name);
  await ip('-n', name, 'link', 'set', 'lo', 'up');
  await ip('-n', name, 'link', 'add', 'd0', 'type', 'bridge');
  await ip('-n', name, 'addr', 'add', `${SWARM_ADDRESS}/24`, 'dev', 'd0');
  await ip('-n', name, 'link', 'set', 'd0', 'up');
  return {
    inside: (...command) => ['nsenter', `--net=/run/netns/${name}`, '--', ...command],
    [Symbol.asyncDispose]: () => ip('netns', 'delete', name),
  };
}
