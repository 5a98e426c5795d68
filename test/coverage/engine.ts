/** Docker Engine API: containers, images, networks, volumes, system. */
import { type Line, real, unit } from './clause.ts';

const RUN = 'test/e2e/docker-run.test.ts';
const CONTAINERS = 'test/integration/engine-containers.test.ts';
const STREAMS = 'test/integration/engine-streams.test.ts';
const CLI_STREAMS = 'test/e2e/docker-streams.test.ts';
const HELD = 'test/integration/held-start.test.ts';
const CP = 'test/e2e/docker-cp.test.ts';
const FILES = 'test/integration/container-files.test.ts';
const IMAGES = 'test/integration/engine-images.test.ts';
const CLI_IMAGES = 'test/e2e/docker-images.test.ts';
const NETWORKS = 'test/integration/engine-networks.test.ts';
const CLI_NETWORKS = 'test/e2e/docker-networks.test.ts';
const VOLUMES = 'test/integration/engine-volumes.test.ts';
const SYSTEM = 'test/e2e/docker-system.test.ts';
const DOOR = 'test/integration/engine-door.test.ts';
const ALONE = 'test/e2e/docker-alone.test.ts';
const TESTCONTAINERS = 'test/integration/testcontainers.test.ts';
const KILL = 'test/faults/engine-kill.test.ts';
const UP = 'test/e2e/up.test.ts';

export const ENGINE_CONTAINERS: Line = {
  title: 'Engine: containers',
  clauses: [
    real('create: defaults, names, what is refused', [
      [CONTAINERS, 'fills in what nobody asked for, as inspect shows it'],
      [CONTAINERS, 'names: one for each, bad ones refused'],
    ]),
    real('start, stop, kill, restart, pause, rename, wait, rm', [
      [CONTAINERS, 'start, wait, stop, restart, remove: their answers and their events in order'],
      [CONTAINERS, 'pause freezes, unpause goes on'],
      [RUN, 'docker create, start, ps, rename, pause, stop, restart, kill, wait, rm'],
    ]),
    real('exit codes 125, 126, 127', [
      [CONTAINERS, 'a program that is not there, is none, or is a folder'],
      [CLI_STREAMS, 'run: 127 for what is not there'],
    ]),
    real('ps with filters, inspect', [[CONTAINERS, 'ps: order, filters, limit, size']]),
    real('top, stats', [[CONTAINERS, 'top and stats']]),
    real('update, prune', [
      [CONTAINERS, 'update changes the limits of one that runs'],
      [RUN, 'docker update, top, stats, port, events, container prune'],
    ]),
    real('logs: follow, since, until, tail, timestamps', [
      [STREAMS, 'both streams, one, timestamps, details, tail, since and until'],
      [STREAMS, 'follow: the head at once'],
      [CLI_STREAMS, 'logs: streams apart, tail, timestamps, since'],
    ]),
    real('attach: before the start, hijack, half-close, TTY, resize, detach keys', [
      [STREAMS, 'before the start: 101, the first byte'],
      [STREAMS, 'a terminal: raw bytes, resize, detach by ctrl-p ctrl-q'],
      [CLI_STREAMS, 'run -it: a terminal from the first byte'],
      [HELD, 'pipes: forty clients each get every byte'],
    ]),
    real('attach by WebSocket', [[STREAMS, 'a WebSocket: messages of bytes']]),
    real('exec: TTY, hijack, half-close, resize, codes', [
      [STREAMS, 'streams apart, half close, exit code in inspect'],
      [STREAMS, 'user, groups, environment, folder, privileges'],
      [CLI_STREAMS, 'exec: streams, exit code, -i, -e, -w, -u, -d'],
    ]),
    real('cp both ways', [
      [CP, 'docker cp: into and out of a container that never ran'],
      [CP, 'docker cp: a running container sees it'],
    ]),
    real('diff, export', [[CP, 'docker diff, export: what a container has written']]),
    real('commit', [[CP, 'docker commit: a new layer']]),
    real('healthchecks; restarted when unhealthy if asked', [
      [CONTAINERS, 'a healthcheck: starting, healthy, unhealthy, and its log; started anew by the label'],
      [RUN, 'docker run --restart and --health-cmd'],
    ]),
    real('restart policies', [
      [CONTAINERS, 'on-failure starts again so many times'],
      [CONTAINERS, 'an engine that dies loses nothing'],
    ]),
    real('--init', [[CONTAINERS, 'an init that hands signals on and reaps']]),
    real(
      'ulimits, resources',
      [
        [CONTAINERS, 'user, groups, folder, environment, host name, limits'],
        [CONTAINERS, 'the memory it may not have ends it'],
      ],
      { note: 'limits are clamped where the machine may not raise them; CPU realtime and GPUs are refused' },
    ),
    real(
      'security options',
      [
        [CONTAINERS, 'capabilities, no_new_privs, seccomp, masked paths; and what privileged gives'],
        [CONTAINERS, 'a seccomp profile of its own'],
        [RUN, 'docker run with limits and options of security'],
      ],
      { note: 'AppArmor and SELinux: no machine here has them' },
    ),
    real('tmpfs, shm, read-only, binds, devices', [
      [CONTAINERS, 'tmpfs, shm, a read-only root, binds that are made, devices'],
    ]),
    real('namespaces of the host and of other containers', [
      [CONTAINERS, 'namespaces of another container and of the host'],
    ]),
    real('AutoRemove', [[CONTAINERS, 'that removes itself leaves nothing, also when it could not start']]),
    real('killed at any moment: nothing is lost, nothing is left', [
      [KILL, 'an engine that is killed at any moment'],
      [CONTAINERS, 'many clients at once: of one container, and of many'],
      [HELD, 'an agent that is killed while it holds a start'],
    ]),
    unit(
      'a pure cgroup v2 host',
      [
        ['agent/kernel/linux/freezer.test.ts', 'v2: asked, and waited for'],
        ['agent/kernel/linux/freezer.test.ts', 'what is gone cannot be frozen, and needs no thaw'],
      ],
      {
        note: 'with a kernel: `npm run test:cgroup2` runs the suites of containers and of builds, outside of `npm test`',
      },
    ),
  ],
};

export const ENGINE_IMAGES: Line = {
  title: 'Engine: images',
  clauses: [
    real('pull with progress', [
      [IMAGES, 'pull: the lines of Docker’s progress'],
      [IMAGES, 'pull --all-tags, list by filters, history'],
    ]),
    real('push', [[IMAGES, 'push: gzipped once, known the second time']]),
    real('tag, rm', [
      [IMAGES, 'tag, untag, remove: names go first'],
      [IMAGES, 'remove: what a container uses stays'],
      [CLI_IMAGES, 'what containers use: rmi refuses'],
    ]),
    real('ls, inspect, history', [[IMAGES, 'pull --all-tags, list by filters, history']]),
    real('prune, dangling images', [[IMAGES, 'a name that moves leaves the image dangling until it is pruned']]),
    real(
      'save, load',
      [
        [IMAGES, 'save and load: the same image with the same digests'],
        [IMAGES, 'load: an archive of old'],
        [CLI_IMAGES, 'save | load, import, history'],
      ],
      { note: 'archives by xz and bzip2 are written for, not tried' },
    ),
    real('import, search', [[IMAGES, 'import: a root file system with changes; search']], {
      note: 'import from a URL is refused',
    }),
    real('auth per registry', [[CLI_IMAGES, 'login with a token of the cluster, push, logout, pull elsewhere']]),
  ],
};

export const ENGINE_NETWORKS: Line = {
  title: 'Engine: networks and volumes',
  clauses: [
    real('bridge, host, none', [
      [NETWORKS, 'a container on the bridge: address, gateway, files'],
      [NETWORKS, 'none has a loopback alone'],
      [CLI_NETWORKS, '--network none and host, --link'],
    ]),
    real('user networks with embedded DNS: names, aliases', [
      [NETWORKS, 'names, aliases in turn, short ids, links, PTR'],
    ]),
    real('connect and disconnect on the run', [[NETWORKS, 'fixed addresses, ranges, several networks']]),
    real(
      'published ports: host IP, ranges, ephemeral',
      [
        [NETWORKS, 'from outside, the host, its loopback, other containers and the container itself'],
        [NETWORKS, 'ports that are taken'],
        [NETWORKS, '-P takes a port for each that is exposed'],
      ],
      { note: 'SCTP only as far as nft goes; UDP to ::1 is dropped' },
    ),
    real('internal', [[NETWORKS, 'an internal network has no way out']]),
    real('IPv6', [[NETWORKS, 'IPv6: a unique local block']]),
    real(
      'published ports respect the host firewall',
      [[NETWORKS, 'containers reach out; published ports are open where the host lets strangers in']],
      {
        note: 'firewalld is not tried',
      },
    ),
    real('the agent restarts: names, addresses, ports stay', [
      [NETWORKS, 'killed: containers keep network, published ports'],
      [NETWORKS, 'killed in the midst of starts'],
      [CLI_NETWORKS, 'a restart of the agent: names, addresses and ports of what runs stay'],
    ]),
    real('volumes: create, ls, inspect, rm, prune', [
      [VOLUMES, 'create is idempotent by name'],
      [VOLUMES, 'one in use is not removed'],
      [VOLUMES, 'prune takes anonymous ones'],
      [CLI_NETWORKS, 'volume create, run with it, copy-up'],
    ]),
    real('volumes: copy-up', [[VOLUMES, 'a new volume gets what the image has there']]),
    real(
      'volumes: devices and binds by options',
      [
        [VOLUMES, 'a device is mounted while containers use it'],
        [VOLUMES, 'a bind of a folder of the host'],
      ],
      { note: 'NFS and CIFS: no server here' },
    ),
  ],
};

export const ENGINE_SYSTEM: Line = {
  title: 'Engine: system and clients',
  clauses: [
    real('socket and mTLS', [
      [DOOR, 'TCP: with a certificate of the authority, and with no other'],
      [DOOR, 'one engine of an instance, one of a folder'],
    ]),
    real('API versions 1.24 to 1.51', [
      [SYSTEM, 'an old client is served by its version, one that is too old is told so'],
    ]),
    real('info, version, ping, context', [
      [SYSTEM, 'docker info: truthful'],
      [SYSTEM, 'docker version: client and server agree'],
      [SYSTEM, 'docker context and ping'],
    ]),
    real('df', [[SYSTEM, 'docker system df: images, containers, volumes']]),
    real('events with filters', [[SYSTEM, 'docker events and dockerode: what happened between two instants']]),
    real('auth', [[SYSTEM, 'docker login: the registry itself is asked']], {
      note: 'identity tokens are refused with 501',
    }),
    unit(
      'BuildKit’s session: the user is told what to do',
      [['agent/engine/system/buildkit.test.ts', 'each call is answered with a status']],
      {
        note: 'buildx 0.29 itself was told so by hand: it is not on this machine',
      },
    ),
    real('Swarm is refused and kubectl named', [[SYSTEM, 'swarm, plugins and unknown paths']]),
    real('berth engine alone', [
      [ALONE, 'containers run on when the engine ends or is killed'],
      [ALONE, 'with nothing left it leaves nothing behind'],
    ]),
    real('kept apart from pods, both in berth ps', [
      [UP, 'the node serves the Docker API; berth ps shows the containers of pods, docker does not'],
      [SYSTEM, 'berth ps: what the Docker API has'],
    ]),
    real('docker-compose 1.29', [
      [CLI_NETWORKS, 'up, ps, logs, exec, port'],
      [CLI_NETWORKS, 'scale: the name of the service'],
      [CLI_NETWORKS, 'down -v leaves nothing'],
    ]),
    real(
      'dockerode',
      [
        [CLI_STREAMS, 'attach before the start, demultiplexed'],
        [CLI_STREAMS, 'exec: hijacked, and with a body in chunks'],
        ['test/e2e/docker-build.test.ts', 'dockerode: buildImage and followProgress'],
      ],
      { note: 'bodies in chunks on connections that were taken over: agent/engine/http/server.test.ts' },
    ),
    real(
      'Testcontainers, unmodified, with etcd and nats of our own builder',
      [
        [TESTCONTAINERS, 'NatsBus carries messages through a nats-server in a container'],
        [TESTCONTAINERS, 'exec, files both ways, logs'],
        [TESTCONTAINERS, 'a network of its own'],
      ],
      { note: 'without Ryuk: its image cannot be had here' },
    ),
    real('hostile cp and archives', [
      [FILES, 'cp in: hostile names, links and devices stay in the root'],
      [FILES, 'cp: a folder that is swapped for a link all the time'],
      [IMAGES, 'load: hostile archives are refused'],
      [VOLUMES, 'a link that leads out of the root copies nothing of the host'],
    ]),
  ],
};
