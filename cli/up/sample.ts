/**
 * The sample image: the host's static busybox serving a page, packed as a real OCI image by lib/oci and pushed to the
 * built-in registry by the distribution protocol, then deploy/examples/hello.yaml applied through the API.
 */
import { readFile } from 'node:fs/promises';
import { type Ctx, realRandom, StatusError } from '#lib/base';
import { DistributionClient, type PackEntry, packImage, parseReference, pushPacked } from '#lib/oci';

const APPLETS = [
  'sh',
  'cat',
  'echo',
  'env',
  'head',
  'hostname',
  'httpd',
  'id',
  'ip',
  'kill',
  'ls',
  'mkdir',
  'nc',
  'nslookup',
  'ping',
  'ps',
  'rm',
  'sleep',
  'stty',
  'tail',
  'tar',
  'test',
  'touch',
  'true',
  'false',
  'wc',
  'wget',
];

/** PID 1 must end at SIGTERM by itself: a process without a handler is deaf to it there. */
const SERVE = `#!/bin/sh
echo "serving /www on port 8080"
httpd -f -p 8080 -h /www &
trap 'kill $!; exit 0' TERM INT
wait
`;

/** Returns the image's digest. */
export async function pushSample(reference: string, c: Ctx): Promise<string> {
  const busybox = await readFile('/bin/busybox').catch((e: unknown) => {
    throw new StatusError('NotFound', '/bin/busybox is missing: apt-get install busybox-static', { cause: e });
  });
  const entries: PackEntry[] = [
    { type: 'file', path: 'bin/busybox', data: busybox, mode: 0o755 },
    ...APPLETS.map((a): PackEntry => ({ type: 'symlink', path: `bin/${a}`, target: 'busybox' })),
    { type: 'file', path: 'bin/serve', data: Buffer.from(SERVE), mode: 0o755 },
    {
      type: 'file',
      path: 'etc/passwd',
      data: Buffer.from('root:x:0:0:root:/:/bin/sh\nweb:x:1000:1000:web:/www:/bin/sh\n'),
    },
    { type: 'file', path: 'etc/group', data: Buffer.from('root:x:0:\nweb:x:1000:\n') },
    { type: 'folder', path: 'tmp', mode: 0o1777 },
    { type: 'folder', path: 'www' },
  ];
  const image = await packImage({
    entries,
    config: { cmd: ['/bin/serve'], env: ['PATH=/bin'], workingDir: '/', exposedPorts: ['8080/tcp'] },
  });
  const { host, repository, tag } = parseReference(reference);
  await using client = new DistributionClient({ random: realRandom });
  await pushPacked(client.repository(host, repository), tag ?? 'latest', image, c);
  return image.manifestDigest;
}
