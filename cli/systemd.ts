/**
 * The unit of a joined node: deploy/systemd/berth-agent.service with this installation's program and this node's options. The
 * options stand in a file of their own (EnvironmentFile), so that the unit stays the same when they change.
 */
import { execFile } from 'node:child_process';
import { access, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { messageOf, StatusError, writeFileAtomic } from '#lib/base';
import { agentEnvironment } from './allocator.ts';
import { agentFlags, type JoinedNode } from './joined.ts';
import { nodeHome } from './layout.ts';
import { berthArgv, deployPath } from './process.ts';

const run = promisify(execFile);
const UNIT = 'berth-agent.service';
const UNIT_PATH = `/etc/systemd/system/${UNIT}`;
const LIMIT_MS = 60_000;

export async function requireSystemd(): Promise<void> {
  await access('/run/systemd/system').catch((e: unknown) => {
    throw new StatusError('Invalid', 'this machine was not booted by systemd: join without --systemd', { cause: e });
  });
}

export async function installAgentUnit(node: JoinedNode): Promise<void> {
  const template = await readFile(deployPath('systemd/berth-agent.service'), 'utf8');
  const environment = environmentPath(node);
  await writeFileAtomic(environment, environmentText(agentFlags(node)), { mode: 0o600 });
  await writeFileAtomic(UNIT_PATH, unitText(template, berthArgv(), environment));
  await systemctl('daemon-reload');
  await systemctl('enable', '--now', UNIT);
}

/** Stops it; no unit, or one of another node, is left alone. */
export async function removeAgentUnit(node: JoinedNode): Promise<void> {
  const text = await readFile(UNIT_PATH, 'utf8').catch(() => '');
  if (!text.includes(`EnvironmentFile=${environmentPath(node)}\n`)) return;
  await systemctl('disable', '--now', UNIT);
  await rm(UNIT_PATH, { force: true });
  await systemctl('daemon-reload');
}

function environmentPath(node: JoinedNode): string {
  return join(nodeHome(node, node.nodeName), 'agent.env');
}

/** Exported for its test. */
export function unitText(template: string, program: readonly string[], environment: string): string {
  for (const word of [...program, environment])
    if (/[\s"'\\%$]/.test(word))
      throw new StatusError(
        'Invalid',
        `systemd cannot take the path ${word}: install Berth below a folder without blanks or signs`,
      );
  return template
    .replace(/^EnvironmentFile=.*$/m, `EnvironmentFile=${environment}`)
    .replace(/^ExecStart=.*$/m, `ExecStart=${program.join(' ')} agent $BERTH_AGENT_FLAGS`);
}

/** systemd splits the unquoted `$BERTH_AGENT_FLAGS` at blanks, so no flag may hold one. */
export function environmentText(
  flags: readonly string[],
  variables: Readonly<Record<string, string>> = agentEnvironment(),
): string {
  const odd = flags.find((f) => /[\s"'\\]/.test(f));
  if (odd !== undefined) throw new StatusError('Invalid', `"${odd}": no blanks or quotes in options with --systemd`);
  const lines = Object.entries({ BERTH_AGENT_FLAGS: flags.join(' '), ...variables });
  return lines.map(([name, value]) => `${name}=${value}\n`).join('');
}

async function systemctl(...args: string[]): Promise<void> {
  try {
    await run('systemctl', args, { timeout: LIMIT_MS });
  } catch (e) {
    throw new StatusError('Internal', `systemctl ${args.join(' ')} failed: ${messageOf(e)}`, { cause: e });
  }
}
