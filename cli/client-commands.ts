/** The commands that speak to a cluster from outside: their names, options and help. What they do stands in cli/commands. */
import type { Command } from 'commander';

const collect = (value: string, before: string[] = []): string[] => [...before, value];

/** An action that gives an exit code; errors go to main.ts. */
function exits<A extends unknown[]>(action: (...args: A) => Promise<number>): (...args: A) => Promise<void> {
  return async (...args) => {
    process.exitCode = await action(...args);
  };
}

function withAccess(command: Command): Command {
  return command
    .option('--kubeconfig <file>', 'default: KUBECONFIG, else $BERTH_HOME/kubeconfig, else ~/.kube/config')
    .option('--context <name>', 'of the kubeconfig (default: its current one)')
    .option('--instance <id>', 'use the kubeconfig of this instance on this machine');
}

function withNamespace(command: Command): Command {
  return withAccess(command).option('-n, --namespace <name>', 'default: that of the context, else "default"');
}

function examples(command: Command, ...lines: readonly string[]): Command {
  return command.addHelpText('after', `\nExamples:\n${lines.map((l) => `  ${l}\n`).join('')}`);
}

export function addClientCommands(berth: Command): void {
  addObjectCommands(berth);
  addContainerCommands(berth);
  addConfigCommands(berth);
  addNodeCommands(berth);
  addHostCommands(berth);
}

function addObjectCommands(berth: Command): void {
  const get = withNamespace(berth.command('get').description('print objects'))
    .argument('<what...>', 'RESOURCE[,RESOURCE...] [NAME...], RESOURCE/NAME..., or all')
    .option('-o, --output <format>', 'wide, yaml, json or name (default: a table)')
    .option('-A, --all-namespaces', 'of every namespace')
    .option('-l, --selector <labels>', 'only with these labels: app=web,tier!=db')
    .option('--field-selector <fields>', 'only with these fields: status.phase=Running')
    .option('-w, --watch', 'go on with every change')
    .option('--no-headers', 'rows only')
    .option('--show-labels', 'labels as the last column')
    .option('--show-managed-fields', 'keep metadata.managedFields with -o yaml and json')
    .option('--ignore-not-found', 'what is not there is no error')
    .action(exits(async (what, o) => (await import('./commands/get.ts')).getCommand(what, o)));
  examples(
    get,
    'berth get pods -A -o wide',
    'berth get deploy,svc -n hello',
    'berth get pod/web-1 -o yaml',
    'berth get pods -l app=web -w',
  );
  const resources = withAccess(berth.command('api-resources').description('print the kinds of objects the server has'));
  resources.action(exits(async (o) => (await import('./commands/get.ts')).apiResourcesCommand(o)));
  const apply = withNamespace(berth.command('apply').description('create or change objects as manifests say'))
    .requiredOption('-f, --filename <file>', 'file, folder, URL, or - for standard input; repeatable', collect)
    .option('-R, --recursive', 'folders below a folder too')
    .option('--dry-run [server]', 'ask the server, change nothing')
    .option('--no-force', 'do not take over fields that others have set')
    .action(exits(async (o) => (await import('./commands/apply.ts')).applyCommand(o)));
  examples(
    apply,
    'berth apply -f deploy/examples/hello.yaml',
    'cat web.yaml | berth apply -n shop -f -',
    'berth apply -f manifests/ --dry-run',
  );
  const remove = withNamespace(berth.command('delete').description('delete objects and wait until they are gone'))
    .argument('[what...]', 'RESOURCE NAME..., or RESOURCE/NAME...')
    .option('-f, --filename <file>', 'what these manifests name; repeatable', collect)
    .option('-R, --recursive', 'folders below a folder too')
    .option('-l, --selector <labels>', 'all with these labels')
    .option('--all', 'all of the resource in the namespace')
    .option('--grace-period <seconds>', "time for a pod's processes to end (default: the pod's own)")
    .option('--now', 'the same as --grace-period=1')
    .option('--force', 'the same as --grace-period=0')
    .option('--cascade <how>', 'background, foreground or orphan: what becomes of dependents')
    .option('--ignore-not-found', 'what is not there is no error')
    .option('--dry-run [server]', 'ask the server, change nothing')
    .option('--no-wait', 'return at once')
    .option('--timeout <duration>', 'give up waiting after this time: 30s, 5m')
    .action(exits(async (what, o) => (await import('./commands/delete.ts')).deleteCommand(what, o)));
  examples(
    remove,
    'berth delete deploy/hello svc/hello -n hello',
    'berth delete -f deploy/examples/hello.yaml',
    'berth delete pods -l app=web --now',
  );
}

function addContainerCommands(berth: Command): void {
  const logs = withNamespace(berth.command('logs').description("print a container's log"))
    .argument('[target]', 'POD, or RESOURCE/NAME such as deploy/web')
    .option('-f, --follow', 'go on as it grows')
    .option('--tail <lines>', 'only the last ones (default: all; 10 with -l)')
    .option('-c, --container <name>')
    .option('--all-containers', 'of the pod, init containers included')
    .option('--since <duration>', 'not older than: 30s, 5m, 1h')
    .option('--since-time <time>', 'not older than (RFC 3339)')
    .option('-p, --previous', 'of the run before the last restart')
    .option('--timestamps', 'each line with its time')
    .option('--limit-bytes <count>')
    .option('-l, --selector <labels>', 'of all pods with these labels')
    .option('--prefix', 'each line with its pod and container')
    .action(exits(async (target, o) => (await import('./commands/logs.ts')).logsCommand(target, o)));
  examples(
    logs,
    'berth logs web-1 -f --tail 20',
    'berth logs deploy/hello -n hello',
    'berth logs -l app=web --prefix --since 5m',
  );
  const exec = withNamespace(berth.command('exec').description('run a command in a container'))
    .argument('<target>', 'POD, or RESOURCE/NAME such as deploy/web')
    .argument('[command...]', 'behind --')
    .option('-i, --stdin', 'pass on standard input')
    .option('-t, --tty', 'with a terminal')
    .option('-c, --container <name>')
    .showHelpAfterError(
      "Put -- before the command, so that its options are its own: berth exec POD -- ls -l ('berth exec --help' has more)",
    )
    .action(
      exits(async (target, command, o) =>
        finished(await (await import('./commands/exec.ts')).execCommand(target, command, o)),
      ),
    );
  examples(
    exec,
    'berth exec -it deploy/hello -n hello -- sh',
    'berth exec web-1 -- cat /etc/hostname',
    'tar c . | berth exec -i web-1 -- tar x -C /tmp',
  );
}

/** An open terminal as standard input would keep the process: exec ends when its command has ended. */
function finished(exitCode: number): number {
  process.stdin.destroy();
  return exitCode;
}

function addConfigCommands(berth: Command): void {
  const print = (text: string): number => {
    process.stdout.write(text);
    return 0;
  };
  const kubeconfig = berth
    .command('kubeconfig')
    .description("print the cluster's kubeconfig, or put it into your own")
    .option('--instance <id>')
    .option('--home <folder>', 'where the cluster keeps its state')
    .option('--kubeconfig <file>', 'take this one instead')
    .option('--path', 'print its path only')
    .option('--merge', 'put its context into your own kubeconfig')
    .option('--into <file>', 'your own (default: the first of KUBECONFIG, else ~/.kube/config)')
    .option('--set-current', 'with --merge: make it the current context')
    .option('--remove', 'take the context out of your own kubeconfig again')
    .action(exits(async (o) => print(await (await import('./commands/kubeconfig.ts')).kubeconfigCommand(o))));
  examples(
    kubeconfig,
    'export KUBECONFIG=$(berth kubeconfig --path)',
    'berth kubeconfig --merge --set-current',
    'berth kubeconfig --remove',
  );
  const docker = berth
    .command('docker-context')
    .description("create a docker context for this node's Docker-compatible socket")
    .option('--instance <id>')
    .option('--name <name>', 'of the context (default: that of the instance)')
    .option('--use', 'make it the current one')
    .option('--remove', 'remove it again')
    .action(exits(async (o) => print(await (await import('./commands/docker-context.ts')).dockerContextCommand(o))));
  examples(docker, 'berth docker-context --use', 'docker --context berth ps');
}

function addNodeCommands(berth: Command): void {
  const token = berth.command('token').description('join tokens: each lets one machine join, once');
  const create = withAccess(token.command('create').description('make one; it goes to standard output'))
    .option('--ttl <duration>', 'how long it is good', '1h')
    .option('--description <text>', 'shown by token list')
    .option('--server <host:port>', 'of the gateway, as the other machine reaches it; repeatable', collect)
    .action(exits(async (o) => (await import('./commands/token.ts')).tokenCreateCommand(o)));
  examples(create, 'berth token create', 'berth token create --ttl 24h --server 203.0.113.7:6444');
  withAccess(token.command('list').description('print those that are not used yet')).action(
    exits(async (o) => (await import('./commands/token.ts')).tokenListCommand(o)),
  );
  withAccess(token.command('revoke').description('make tokens useless'))
    .argument('<id...>', 'as token list shows them')
    .action(exits(async (ids, o) => (await import('./commands/token.ts')).tokenRevokeCommand(ids, o)));
  const join = berth
    .command('join')
    .description('make this machine a node of a cluster that runs elsewhere')
    .argument('[token]', "what 'berth token create' printed; none = start a node that has joined before")
    .option('--server <host:port>', 'of the gateway, if not the one in the token; repeatable', collect)
    .option('--instance <id>', 'names links, home and sockets on this machine (default "berth")')
    .option('--home <folder>', 'where state is kept (default BERTH_HOME or /var/lib/berth)')
    .option('--node-name <name>', 'default: the host name')
    .option('--node-ip <address>', 'where other nodes reach this one (default: the one toward the gateway)')
    .option('--registry-upstream <host:port>', "default: the gateway's host, by mTLS")
    .option('--network-mode <mode>', 'vxlan, or routes when all nodes share one L2 network')
    .option('--runtime <name>', 'auto, crun, runc or a path')
    .option('--log-folder <folder>', 'pods/ and containers/ are made below it (default /var/log)')
    .option('--max-pods <count>', 'default 250')
    .option('--label <key=value>', 'of the Node; repeatable', collect)
    .option('--taint <key=value:Effect>', 'of the Node when it registers; repeatable', collect)
    .option('--systemd', 'run the agent as berth-agent.service: it survives a reboot')
    .option('--foreground', 'run the agent in this process')
    .action(exits(async (text, o) => (await import('./commands/join.ts')).joinCommand(text, o)));
  examples(
    join,
    'berth join berth1.eyJlIjpb…',
    'berth join berth1.eyJlIjpb… --systemd --label disk=ssd',
    'berth join                    # again, after a reboot',
  );
  berth
    .command('leave')
    .description('undo join: stop the agent and end its pods')
    .option('--instance <id>')
    .option('--home <folder>')
    .option('--purge', 'remove its state and certificate too')
    .action(exits(async (o) => (await import('./commands/join.ts')).leaveCommand(o)));
}

function addHostCommands(berth: Command): void {
  withAccess(berth.command('status').description('print what runs here, its addresses and the nodes'))
    .option('--home <folder>')
    .action(exits(async (o) => (await import('./commands/status.ts')).statusCommand(o)));
  berth
    .command('doctor')
    .description('check whether this host is fit, and say what to do; exit 1 when something must be done first')
    .option('--instance <id>')
    .option('--home <folder>')
    .option('--node', 'of a host that only joins: without etcd, NATS and their ports')
    .action(exits(async (o) => (await import('./commands/doctor.ts')).doctorCommand(o)));
  const completion = berth
    .command('completion')
    .description("print a shell's completion script")
    .argument('<shell>', 'bash, zsh or fish')
    .action(exits(async (shell) => (await import('./commands/completion.ts')).completionCommand(shell)));
  examples(
    completion,
    'source <(berth completion bash)             # or add this line to ~/.bashrc',
    'berth completion fish > ~/.config/fish/completions/berth.fish',
  );
  berth
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .action(exits(async (words) => (await import('./commands/completion.ts')).answerCompletion(berth, words)));
}
