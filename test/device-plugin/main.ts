/**
 * A device plugin for tests, as a process that can be killed: `main.ts FOLDER COUNT`. It has COUNT devices `d0`, `d1`, ... of
 * resource test.berth.dev/zero, each /dev/zero under another name, and /dev/fuse beside it, which containers may not have by
 * themselves and here only read; registers when it starts and whenever kubelet.sock is made
 * anew; a file FOLDER.sick holds the ids of those that are not healthy. Says "ready" when it has registered.
 */
import { watch } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Server, ServerCredentials, type ServerWritableStream, type ServiceDefinition } from '@grpc/grpc-js';
import { realClock, silentLogger } from '#lib/base';
import { deviceServices } from '../../agent/devices/protocol.ts';
import { type Method, PluginClient } from '../../agent/plugins/client.ts';

const [folder = '', count = '1'] = process.argv.slice(2);
const RESOURCE = 'test.berth.dev/zero';
const ENDPOINT = 'zero.sock';
const services = deviceServices();
const streams = new Set<ServerWritableStream<object, object>>();
const ids = Array.from({ length: Number(count) }, (_, i) => `d${i}`);

async function devices(): Promise<object> {
  const sick = (await readFile(`${folder}.sick`, 'utf8').catch(() => '')).split(/\s+/);
  return { devices: ids.map((ID) => ({ ID, health: sick.includes(ID) ? 'Unhealthy' : 'Healthy' })) };
}

interface Allocate {
  readonly request: { readonly container_requests: readonly { readonly devices_ids: readonly string[] }[] };
}

async function serve(): Promise<void> {
  const server = new Server();
  server.addService(services['v1beta1.DevicePlugin'] as unknown as ServiceDefinition, {
    ListAndWatch: (call: ServerWritableStream<object, object>) => {
      streams.add(call);
      call.on('cancelled', () => streams.delete(call));
      void devices().then((d) => call.write(d));
    },
    Allocate: (({ request }: Allocate, done: (e: unknown, r: object) => void) => {
      const container_responses = request.container_requests.map(({ devices_ids: own }) => ({
        envs: { ZERO_DEVICES: own.join(','), GREETING: 'of the plugin' },
        devices: own.flatMap((id) => [
          { host_path: '/dev/zero', container_path: `/dev/zero-${id}`, permissions: 'rw' },
          { host_path: '/dev/fuse', container_path: `/dev/pipe-${id}`, permissions: 'r' },
        ]),
        mounts: [{ host_path: '/etc/hostname', container_path: '/etc/of-the-host', read_only: true }],
        annotations: { 'test.berth.dev/devices': own.join(',') },
      }));
      done(null, { container_responses });
    }) as never,
  });
  await rm(join(folder, ENDPOINT), { force: true });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${join(folder, ENDPOINT)}`, ServerCredentials.createInsecure(), (e) =>
      e === null ? resolve() : reject(e),
    );
  });
  using kubelet = new PluginClient(join(folder, 'kubelet.sock'));
  const { Register } = services['v1beta1.Registration'] as { Register: Method<object, object> };
  const c = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
  await kubelet.call(Register, { version: 'v1beta1', endpoint: ENDPOINT, resource_name: RESOURCE }, 5_000, c);
  process.stdout.write('ready\n');
}

watch(folder, (_event, name) => {
  /* The agent was started anew: it has removed our socket, and waits for us. */
  if (name === 'kubelet.sock') void serve().catch(() => undefined);
});
watch(dirname(folder), (_event, name) => {
  if (name === `${basename(folder)}.sick`) void devices().then((d) => streams.forEach((s) => void s.write(d)));
});
await serve();
