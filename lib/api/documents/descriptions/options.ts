/** Descriptions of options, which requests bear in their query, and of the figures of the metrics group. */
import type { TypeDescriptions } from './types.ts';

const writing = {
  dryRun: 'With `All` everything is checked and nothing is stored.',
  fieldManager:
    'Name of whoever writes, for managed fields; made of the user agent if empty. At most 128 printable characters.',
  fieldValidation:
    'What happens to unknown and doubled fields: `Ignore`, `Warn` (default; a Warning header) or `Strict` (the request is refused).',
};

export const metaOptions = (): TypeDescriptions => ({
  GetOptions: { '': 'How an object is read.', resourceVersion: 'State that the answer must show at least.' },
  ListOptions: {
    '': 'Which objects are listed or watched, and how.',
    labelSelector: 'Only objects with such labels.',
    fieldSelector: 'Only objects with such fields; each kind knows certain fields.',
    watch: 'Report changes as they happen, from `resourceVersion` on.',
    allowWatchBookmarks: 'Send bookmarks now and then, which say how far the watch has come.',
    resourceVersion: 'State that the list shows, or that the watch begins at.',
    resourceVersionMatch: 'How `resourceVersion` is meant for a list: `NotOlderThan` or `Exact`.',
    timeoutSeconds: 'Seconds after which a list fails or a watch ends.',
    limit: 'The most objects in one answer; further ones by `continue`.',
    continue: 'Token from the page before, with the same other parameters. An old one answers 410.',
    sendInitialEvents:
      'A watch begins with all objects as added, then a bookmark. Needs `resourceVersionMatch=NotOlderThan`.',
    shardSelector: 'Only objects of one shard.',
  },
  CreateOptions: { '': 'How an object is made.', ...writing },
  UpdateOptions: { '': 'How an object is replaced.', ...writing },
  PatchOptions: {
    '': 'How an object is patched.',
    ...writing,
    force: 'Take over fields that other managers own. Only for server-side apply.',
  },
});

const stdin = 'Pass the input of the request on to the container.';
const stdout = 'Send the output of the container.';
const stderr = 'Send the error output of the container.';
const tty = 'Use a terminal.';
const ofContainer = 'The container; may be left out if there is only one.';
const proxyPath = 'Path that is asked for.';

export const podOptions = (): TypeDescriptions => ({
  PodLogOptions: {
    '': 'Which part of the log of a container is read, and how.',
    container: ofContainer,
    follow: 'Go on with what is written later.',
    previous: 'The run before the present one.',
    sinceSeconds: 'Only lines of the last seconds. Not together with `sinceTime`.',
    sinceTime: 'Only lines since that time.',
    timestamps: 'Begin each line with its time.',
    tailLines: 'Only the last lines, this many.',
    limitBytes: 'The most bytes.',
    insecureSkipTLSVerifyBackend: 'Do not check the certificate of the node.',
    stream: '`All` (default), `Stdout` or `Stderr`.',
  },
  PodExecOptions: {
    '': 'What is run in a container.',
    stdin,
    stdout,
    stderr,
    tty,
    container: ofContainer,
    command: 'Program and arguments, one parameter each. No shell is involved.',
  },
  PodAttachOptions: {
    '': 'What of a running container is attached to.',
    stdin,
    stdout,
    stderr,
    tty,
    container: ofContainer,
  },
  PodPortForwardOptions: { '': 'Which ports are forwarded.', ports: 'Ports of the pod. Needed with WebSocket.' },
  PodProxyOptions: { '': 'What of a pod is asked for.', path: proxyPath },
  ServiceProxyOptions: { '': 'What of a service is asked for.', path: proxyPath },
  NodeProxyOptions: { '': 'What of a node is asked for.', path: proxyPath },
});

const timestamp = 'End of the time that was measured.';
const window = 'Length of the time that was measured.';

export const metrics = (): TypeDescriptions => ({
  NodeMetrics: { '': 'What a node uses.', timestamp, window, usage: 'How much of each resource.' },
  PodMetrics: { '': 'What the containers of a pod use.', timestamp, window, containers: 'What each container uses.' },
  ContainerMetrics: {
    '': 'What a container uses.',
    name: 'Name of the container.',
    usage: 'How much of each resource.',
  },
});
