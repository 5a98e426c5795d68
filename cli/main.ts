/** `berth`: one verb a file in cli/commands, loaded only when it is asked for. Errors say the next step; exit 2 = wrong use. */
import { Command, CommanderError } from 'commander';
import { messageOf, StatusError } from '#lib/base';
import { hintOf } from './client/hints.ts';
import { addClientCommands } from './client-commands.ts';
import { VERSION } from './version.ts';

const collect = (value: string, before: string[] = []): string[] => [...before, value];

function program(): Command {
  const berth = new Command('berth')
    .description(
      'A container platform: orchestrator with the Kubernetes API, nodes that run the containers, and a registry',
    )
    .version(VERSION)
    .showHelpAfterError()
    .exitOverride();
  addClusterCommands(berth);
  addServiceCommands(berth);
  addEngineCommands(berth);
  addRegistryCommands(berth);
  addBuildCommand(berth);
  addSecretsCommands(berth);
  addClientCommands(berth);
  return berth;
}

function addClusterCommands(berth: Command): void {
  berth
    .command('up')
    .description('start a cluster on this machine, deploy the sample and show it answering')
    .option('--instance <id>', 'name of the cluster; moves home, ports, links and CIDRs (default "berth")')
    .option('--nodes <count>', 'hosts to run, each in a network namespace of its own (default: one node, this machine)')
    .option('--home <folder>', 'where state is kept (default BERTH_HOME or /var/lib/berth)')
    .option('--api-port <port>', 'of the Kubernetes API (default 6443)')
    .option('--registry-port <port>', 'of the registry on every node (default 5000)')
    .option(
      '--server-ip <address>',
      'where nodes and pods reach the control plane (default: the address of the default route)',
    )
    .option('--etcd-endpoints <urls>', 'comma-separated; use this etcd instead of a managed one')
    .option('--etcd-ca <file>', 'PEM, with --etcd-cert and --etcd-key: mTLS to that etcd')
    .option('--etcd-cert <file>')
    .option('--etcd-key <file>')
    .option('--nats <url>', 'use this NATS instead of a managed one')
    .option('--certs-dir <folder>', 'settings of registries: REGISTRY/hosts.toml', '/etc/berth/certs.d')
    .option('--log-folder <folder>', 'pods/ and containers/ are made below it (default /var/log)')
    .option('--no-sample', 'start the cluster only')
    .action(async (o) => process.exit(await (await import('./commands/up.ts')).up(o)));
  berth
    .command('down')
    .description('stop the cluster; pods are ended')
    .option('--instance <id>')
    .option('--home <folder>')
    .option('--purge', 'remove all state too')
    .action(async (o) => process.exit(await (await import('./commands/down.ts')).down(o)));
}

function addServiceCommands(berth: Command): void {
  const server = berth
    .command('server')
    .description('run the control plane in this process (started by up or systemd)')
    .option('--instance <id>')
    .option('--home <folder>')
    .option('--log-level <level>', 'debug, info, warn or error', 'info')
    .action(async (o) => (await import('./commands/server.ts')).serverCommand(o));
  server
    .command('export <file>')
    .description('write what a further server of this cluster needs to know; the file opens all that the cluster holds')
    .option('--instance <id>')
    .option('--home <folder>')
    .action(async (file, _o, self) =>
      process.exit(await (await import('./commands/server-join.ts')).serverExport(file, self.optsWithGlobals())),
    );
  server
    .command('join <file>')
    .description('run a further server of the cluster that wrote the file, on this host')
    .option('--instance <id>')
    .option('--home <folder>')
    .option('--server-ip <address>', 'where nodes and other servers reach this one (default: of the default route)')
    .action(async (file, _o, self) =>
      process.exit(await (await import('./commands/server-join.ts')).serverJoin(file, self.optsWithGlobals())),
    );
  berth
    .command('agent')
    .description('run this machine as a node (started by up, join or systemd)')
    .requiredOption('--gateway <host:port>', 'of a control plane; repeatable', collect)
    .option('--instance <id>')
    .option('--home <folder>', 'state of this node')
    .option('--node-name <name>')
    .option('--node-ip <address>')
    .option('--runtime <name>', 'auto, crun, runc or a path', 'auto')
    .option('--network-mode <mode>', 'vxlan, or routes when all nodes share one L2 network', 'vxlan')
    .option('--registry-port <port>', 'where pods find the registry on localhost', '5000')
    .option('--registry-upstream <host:port>', 'where the registry really is')
    .option('--certs-dir <folder>', 'settings of registries: REGISTRY/hosts.toml', '/etc/berth/certs.d')
    .option('--log-folder <folder>', 'pods/ and containers/ are made below it', '/var/log')
    .option('--root-dir <folder>', 'what drivers know as /var/lib/kubelet; default: kubelet below the home')
    .option('--static-pod-path <folder>', 'manifests of static pods; default: manifests below the home')
    .option('--max-pods <count>', '', '250')
    .option('--config <file>', 'KubeletConfiguration (default kubelet.yaml in the home, where it is there)')
    .option('--label <key=value>', 'of the Node; repeatable', collect)
    .option('--taint <key=value:Effect>', 'of the Node when it registers; repeatable', collect)
    .option('--no-docker', 'do not serve the Docker Engine API')
    .option('--docker-socket <path>', 'where it is served (default: docker.sock in /run/berth, or /run/berth-INSTANCE)')
    .option('--docker-tcp <host:port>', 'serve it there too, to clients with a certificate')
    .option('--docker-tlscacert <file>', 'PEM; with --docker-tcp: the authority of its clients')
    .option('--docker-tlscert <file>')
    .option('--docker-tlskey <file>')
    .option('--log-level <level>', 'debug, info, warn or error', 'info')
    .action(async (o) => (await import('./commands/agent.ts')).runAgent(o));
}

function addEngineCommands(berth: Command): void {
  berth
    .command('engine')
    .description('serve the Docker Engine API on this machine, without a cluster')
    .option('--instance <id>', 'what is its own on this machine: cgroups, links, socket (default "berth")')
    .option('--home <folder>', 'images, containers and volumes (default: engine in BERTH_HOME or /var/lib/berth)')
    .option('--runtime <name>', 'auto, crun, runc or a path', 'auto')
    .option('--certs-dir <folder>', 'settings of registries: REGISTRY/hosts.toml', '/etc/berth/certs.d')
    .option('--socket <path>', 'default: docker.sock in /run/berth, or /run/berth-INSTANCE')
    .option('--tcp <host:port>', 'listen there too, for clients with a certificate')
    .option('--tlscacert <file>', 'PEM; with --tcp: the authority of its clients')
    .option('--tlscert <file>')
    .option('--tlskey <file>')
    .option('--log-level <level>', 'debug, info, warn or error', 'warn')
    .action(async (o) => (await import('./commands/engine.ts')).engineCommand(o));
  berth
    .command('ps')
    .description("list this node's containers: those of pods and those of the Docker API")
    .option('-a, --all', 'also those that do not run')
    .option('-q, --quiet', 'print ids alone')
    .option('--no-trunc', 'whole ids')
    .option('--format <format>', 'table or json', 'table')
    .option('--instance <id>')
    .option('--socket <path>', 'of the node’s Docker API')
    .action(async (o) => {
      process.exitCode = await (await import('./commands/ps.ts')).psCommand(o);
    });
}

function addRegistryCommands(berth: Command): void {
  berth
    .command('registry')
    .description('the built-in registry (on its host: the first server)')
    .command('collect-garbage')
    .description('apply the retention rules and remove what no manifest names, while the registry serves')
    .option('--instance <id>')
    .option('--home <folder>')
    .option(
      '--grace <duration>',
      'spare what was used so lately (default: as server.yaml says; 0: only when nobody pushes)',
    )
    .action(async (o) => {
      process.exitCode = await (await import('./commands/registry.ts')).collectGarbageCommand(o);
    });
}

function addBuildCommand(berth: Command): void {
  berth
    .command('build <folder>')
    .description('build an image from a Dockerfile and the files of a folder')
    .option('-t, --tag <name>', 'NAME[:TAG] of the image; repeatable', collect)
    .option('-f, --file <path>', 'the Dockerfile, - is the standard input (default FOLDER/Dockerfile)')
    .option('--target <stage>', 'the stage to build (default: the last)')
    .option('--build-arg <key=value>', 'a value for ARG; without a value that of the environment; repeatable', collect)
    .option('--label <key=value>', 'of the image; repeatable', collect)
    .option('--no-cache', 'run every step, whatever was built before')
    .option('--cache-from <ref>', 'REF or type=registry,ref=REF: steps of builds of elsewhere; repeatable', collect)
    .option('--cache-to <ref>', 'REF or type=registry,ref=REF[,mode=min|max], or type=inline; repeatable', collect)
    .option('--pull', 'ask registries for base images that are here already')
    .option('--secret <id=,src=>', 'id=ID,src=FILE or id=ID,env=NAME, for RUN --mount=type=secret; repeatable', collect)
    .option('--ssh <id>', 'default or ID[=SOCKET|KEY]: an agent for RUN --mount=type=ssh; repeatable', collect)
    .option('--platform <list>', "OS/ARCHITECTURE, or several with --push, by commas (default: this machine's)")
    .option('--network <mode>', 'of RUNs: default, none or host', 'default')
    .option('-o, --output <type=,dest=>', 'type=oci or docker, dest=FILE; tar=false for a folder; repeatable', collect)
    .option('--push', 'push every tag to its registry')
    .option('-q, --quiet', 'print the id of the image alone')
    .option('--instance <id>')
    .option('--home <folder>', 'where images and the cache of builds are kept (default: build below the home)')
    .option('--runtime <name>', 'auto, crun, runc or a path', 'auto')
    .option('--certs-dir <folder>', 'settings of registries: REGISTRY/hosts.toml', '/etc/berth/certs.d')
    .action(async (folder, o) => {
      process.exitCode = await (await import('./commands/build.ts')).buildCommand(folder, o);
    });
}

function addSecretsCommands(berth: Command): void {
  const secrets = berth
    .command('secrets')
    .description('the keys that seal Secrets in etcd (on a host of the control plane)');
  secrets
    .command('status')
    .description('print the keys, and how many values each seals')
    .option('--instance <id>')
    .option('--home <folder>')
    .action(async (o) => {
      process.exitCode = await (await import('./commands/secrets.ts')).secretsStatusCommand(o);
    });
  secrets
    .command('rotate')
    .description('make a new key and seal every value with it, while the servers serve')
    .option('--instance <id>')
    .option('--home <folder>')
    .option('--timeout <seconds>', 'how long to wait for the end; the servers go on after it', '600')
    .action(async (o) => {
      process.exitCode = await (await import('./commands/secrets.ts')).secretsRotateCommand(o);
    });
  secrets
    .command('rotate-token-keys')
    .description('make a new key for service account tokens; the old one stays good for what it signed')
    .option('--instance <id>')
    .option('--home <folder>')
    .option('--timeout <seconds>', 'how long to wait for a server to make it', '60')
    .action(async (o) => {
      process.exitCode = await (await import('./commands/token-keys.ts')).rotateTokenKeysCommand(o);
    });
  secrets
    .command('use-kms <endpoint>')
    .description('seal with a KMS v2 plugin, at unix:///path/of/its.sock, from the next start of the servers on')
    .option('--instance <id>')
    .option('--home <folder>')
    .action(async (endpoint, o) => {
      process.exitCode = await (await import('./commands/secrets.ts')).secretsUseKmsCommand(endpoint, o);
    });
}

/** What they began is not left half-made because nobody reads on. */
const GO_ON = ['up', 'down', 'join', 'leave', 'apply', 'delete', 'server', 'agent', 'engine', 'build'];

/** `berth get pods | head -1`: the reader has gone, which is no error. */
function allowClosedOutput(): void {
  const goesOn = process.argv.slice(2).some((word) => GO_ON.includes(word));
  const closed = (e: NodeJS.ErrnoException): void => {
    if (e.code !== 'EPIPE' && e.code !== 'EBADF') throw e;
    if (!goesOn) process.exit(0);
  };
  process.stdout.on('error', closed);
  process.stderr.on('error', closed);
}

async function main(): Promise<void> {
  allowClosedOutput();
  try {
    await program().parseAsync(process.argv);
  } catch (e) {
    if (e instanceof CommanderError) {
      process.exitCode = e.exitCode === 0 ? 0 : 2;
      return;
    }
    const hint = hintOf(e);
    process.stderr.write(`berth: ${messageOf(e)}\n${hint === undefined ? '' : `${hint}\n`}`);
    if (!(e instanceof StatusError) && e instanceof Error && e.stack !== undefined)
      process.stderr.write(`${e.stack}\n`);
    process.exitCode = e instanceof StatusError && (e.kind === 'Invalid' || e.kind === 'BadRequest') ? 2 : 1;
  }
}

await main();
