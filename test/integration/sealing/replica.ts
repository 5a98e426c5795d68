/** One server's sealing in a process of its own, to be killed: `replica.ts ETCD_ENDPOINT KEY_FILE`. Says `ready` when it is. */
import { createLogger, realClock, Scope } from '#lib/base';
import { EtcdStore } from '#lib/store';
import { openSealing } from '../../../cli/secrets-sealing.ts';

const [, , endpoint = '', keyPath = ''] = process.argv;
const scope = new Scope('replica');
const c = { signal: scope.signal, clock: realClock, log: createLogger({ component: 'replica', level: 'warn', fd: 2 }) };
const store = await EtcdStore.open({ endpoints: [endpoint] }, c);
const { store: sealed } = await openSealing({ store, keyPath, leaseSeconds: 2 }, scope, c);
process.stdout.write('ready\n');
// As the watch cache does: it is how changes of keys are heard of at once.
for await (const _ of sealed.watch(await sealed.currentRevision(c), c));
