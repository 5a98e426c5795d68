import { spawnSync } from 'node:child_process';
import { Command } from 'commander';
import { expect, test } from 'vitest';
import type { AccessOptions } from '../client/access.ts';
import { addClientCommands } from '../client-commands.ts';
import { complete, type Lookup } from './candidates.ts';
import { SCRIPTS } from './scripts.ts';

const asked: AccessOptions[] = [];
const lookup: Lookup = {
  resources: async () => [{ word: 'pods' }, { word: 'po' }, { word: 'services' }, { word: 'svc' }],
  names: async (kind, o) => {
    asked.push(o);
    if (kind === 'namespaces') return ['default', 'kube-system'];
    return ['po', 'pod', 'pods'].includes(kind) ? [`web-1-${o.namespace ?? 'default'}`, 'db-0'] : [];
  },
  contexts: async () => ['berth', 'other'],
  containers: async (pod) => [`main-of-${pod}`],
};

async function at(text: string): Promise<string[]> {
  const berth = new Command('berth');
  addClientCommands(berth);
  const { candidates, files } = await complete(berth, text.split(' '), lookup);
  return [...candidates.map((x) => x.word), ...(files ? [':files'] : [])];
}

test('completion: commands and subcommands, without the hidden one', async () => {
  expect(await at('ap')).toEqual(['api-resources', 'apply']);
  expect(await at('')).toContain('doctor');
  expect(await at('')).not.toContain('__complete');
  expect(await at('token ')).toEqual(['create', 'list', 'revoke']);
  expect(await at('token cr')).toEqual(['create']);
});

test('completion: options, and the values of those that take one', async () => {
  expect(await at('get --show')).toEqual(['--show-labels', '--show-managed-fields']);
  expect(await at('get pods -o ')).toEqual(['wide', 'yaml', 'json', 'name']);
  expect(await at('get -n k')).toEqual(['kube-system']);
  expect(await at('get --context ')).toEqual(['berth', 'other']);
  expect(await at('apply -f ')).toEqual([':files']);
  expect(await at('get --kubeconfig ')).toEqual([':files']);
  expect(await at('get -l ')).toEqual([]);
  expect(await at('delete --cascade f')).toEqual(['foreground']);
  expect(await at('exec web-1 -c ')).toEqual(['main-of-web-1']);
});

test('completion: kinds, names, lists of kinds, KIND/NAME', async () => {
  expect(await at('get p')).toEqual(['pods', 'po']);
  expect(await at('get pods,s')).toEqual(['pods,services', 'pods,svc']);
  expect(await at('get po ')).toEqual(['web-1-default', 'db-0']);
  expect(await at('get po db-0 ')).toEqual(['web-1-default']);
  expect(await at('delete pods/w')).toEqual(['pods/web-1-default']);
  expect(await at('get pods/x ')).toEqual([]);
  expect(await at('logs w')).toEqual(['web-1-default']);
  expect(await at('exec -it pod/')).toEqual(['pod/web-1-default', 'pod/db-0']);
});

test('completion: the namespace and kubeconfig already written are used; behind -- nothing is ours', async () => {
  expect(await at('get -n shop po ')).toContain('web-1-shop');
  await at('logs --kubeconfig=/x --namespace=shop ');
  expect(asked.at(-1)).toEqual({ kubeconfig: '/x', namespace: 'shop' });
  expect(await at('exec -it web-1 -- ')).toEqual([]);
});

test('completion: the bash script offers what __complete answers', () => {
  const script = `
    berth() { printf '%s\\n' "asked:\${*@Q}" >&2; printf 'get\\tprint objects\\ngit\\nother\\n'; }
    ${SCRIPTS['bash'] ?? ''}
    COMP_WORDS=(berth g) COMP_CWORD=1
    _berth
    printf '%s,' "\${COMPREPLY[@]}"
  `;
  const done = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
  expect(done.stderr).toBe('');
  expect(done.stdout).toBe('get,git,');
});
