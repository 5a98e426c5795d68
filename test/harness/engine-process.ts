/** An engine in a process of its own, to be killed: `node --import tsx engine-process.ts HOME INSTANCE SOCKET`. Says `open` when it serves. */
import { join, resolve } from 'node:path';
import { type Ctx, createLogger, realClock, realRandom } from '#lib/base';
import { listenUnix } from '../../agent/engine/http/listen.ts';
import { openEngine } from '../../agent/engine/open.ts';
import { openImages } from '../../agent/images/open.ts';
import { openKernel } from '../../agent/kernel/linux/open.ts';
import { defaultNodeConfiguration } from '../../agent/node-configuration.ts';

const [home = '', instance = '', socket = ''] = process.argv.slice(2);
const log = createLogger({ component: 'engine', level: 'error' });
const c: Ctx = { signal: new AbortController().signal, clock: realClock, log };
const shared = { clock: realClock, random: realRandom, log };
const registries = { certsFolder: join(home, 'certs.d') };
const helperPath = resolve('dist/berth-helper');
const kernel = await openKernel({ helperPath, environment: process.env, random: realRandom });
const images = await openImages({ kernel, folder: join(home, 'images'), ...registries, ...shared }, c);
const { isolation, runtimeHandlers } = await defaultNodeConfiguration(home);
const engine = await openEngine(
  {
    ...{ kernel, images, folder: join(home, 'engine'), instance, runtime: 'auto', runtimeHandlers, isolation },
    ...{ registries, version: '0.0.0-test', ...shared },
  },
  c,
);
await listenUnix(socket, (s) => engine.accept(s, { isTls: false }));
process.stdout.write('open\n');
