import { expect, test } from 'vitest';
import { realClock, silentLogger } from '#lib/base';
import { RecordingKernel } from '../../agent/kernel/recording.ts';
import { closeOutside, openOutside } from './hosts-outside.ts';

const NET = { bridge: 'berth-hosts', prefix: '10.41.0' };
const c = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

/** A machine whose FORWARD chain has this policy; rules in DOCKER-USER as added. */
function machine(policy: 'ACCEPT' | 'DROP'): RecordingKernel {
  const rules: string[] = [];
  return new RecordingKernel({
    run: (argv) => {
      const [program = '', , , verb = '', chain = '', ...rest] = argv;
      if (program === 'cat') return { code: 1 };
      if (program !== 'iptables-nft') return {};
      if (verb === '-I') rules.push(`-A ${chain} ${rest.slice(1).join(' ')}`);
      if (verb === '-D') rules.splice(rules.indexOf(`-A ${chain} ${rest.join(' ')}`), 1);
      if (chain === 'FORWARD') return { text: `-P FORWARD ${policy}\n` };
      return { text: ['-N DOCKER-USER', ...rules].join('\n') };
    },
  });
}

test('beside docker, hosts are let through, once; and all is withdrawn', async () => {
  const kernel = machine('DROP');
  await openOutside(kernel.programs, NET, c);
  await openOutside(kernel.programs, NET, c);
  const added = kernel.commands.filter((line) => line.includes(' -I '));
  expect(added).toHaveLength(2);
  expect(added[0]).toMatch(/DOCKER-USER 1 -s 10\.41\.0\.0\/24 .*-j ACCEPT$/);
  await closeOutside(kernel.programs, NET, c);
  expect(kernel.commands.filter((line) => line.includes(' -D '))).toHaveLength(2);
});

test('without such a policy: forwarding and masquerade only', async () => {
  const kernel = machine('ACCEPT');
  await openOutside(kernel.programs, NET, c);
  expect(kernel.commands.filter((line) => / -[ID] /.test(line))).toEqual([]);
  const input = kernel.calls.map((call) => String((call.args[1] as { stdin?: string }).stdin ?? '')).join('\n');
  expect(input).toContain('ip saddr 10.41.0.0/24 oifname != "berth-hosts" masquerade');
});
