/** The test's driver as a process that can be killed: `main.ts NAME NODE_ID ROOT STORE`. Says "ready" when it is announced. */
import { startDriver } from './driver.ts';

const [name = '', nodeId = '', root = '', store = ''] = process.argv.slice(2);
const driver = await startDriver({ name, nodeId, root, store });
process.stdout.write('ready\n');
process.on('SIGTERM', () => void driver.stop().then(() => process.exit(0)));
