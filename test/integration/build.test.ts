/** Builds on real parts: overlay roots, containers, the store of images. Needs root and crun or runc. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createReadStream, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realClock, realRandom, sha256, silentLogger } from '#lib/base';
import { DistributionClient, readTar, tarBytes, tarHeader } from '#lib/oci';
import type { FinishedImage } from '../../agent/build/node/finish.ts';
import { writeArchive } from '../../agent/build/output/archive.ts';
import { pushImage } from '../../agent/build/output/push.ts';
import { startRegistry } from '../../services/registry/registry.ts';
import { limitMs } from '../harness/time-limit.ts';
import { BuildHost, context } from './build-host.ts';
import { eventually, processesWith } from './runtime-host.ts';

let host: BuildHost;

beforeAll(async () => {
  host = await BuildHost.open();
  await host.base();
});
afterAll(async () => {
  expect(readdirSync(join(host.folder, 'home/steps'))).toEqual([]);
  expect(await host.builder.images.roots(context)).toEqual([]);
  expect(readdirSync(join(host.folder, 'home/images/snapshots/roots'))).toEqual([]);
  await host[Symbol.asyncDispose]();
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(host.folder);
  expect(processesWith(host.folder)).toEqual([]);
});

/** Paths of one layer's tar, with the text of small files. */
async function contents(image: FinishedImage, layer: number): Promise<Record<string, string>> {
  const path = image.layers.at(layer)?.path ?? '';
  const out: Record<string, string> = {};
  for await (const { header, body } of readTar(createReadStream(path) as AsyncIterable<Buffer>)) {
    const pieces: Buffer[] = [];
    for await (const piece of body) pieces.push(piece);
    out[header.path] = `${header.type} ${header.uid}:${header.gid} ${Buffer.concat(pieces).toString().slice(0, 40)}`;
  }
  return out;
}

test('stages, variables, a cached rebuild, a changed file', async () => {
  host.file('a', 'one');
  const text = `FROM base AS make
ARG V=1
COPY a /src/a
RUN cat /src/a > /out && echo made $V
FROM base
WORKDIR /app
COPY --from=make /out .
RUN cat out
CMD ["cat","out"]
`;
  const first = await host.build(text, { tags: ['app:v1', 'app:v2'] });
  expect(host.printed).toContain('made 1\n');
  expect(host.printed).toContain('one');
  expect(first.references).toEqual(['docker.io/library/app:v1', 'docker.io/library/app:v2']);
  const again = await host.build(text);
  expect(again.id).toBe(first.id);
  expect(host.outcomes.filter((o) => o === 'cached')).toHaveLength(5);
  expect(host.printed).toBe('');
  host.file('a', 'two');
  expect((await host.build(text)).id).not.toBe(first.id);
  expect(host.printed).toContain('two');
  // A variable that a RUN sees: that step anew, and what is the same after it is not.
  await host.build(text, { buildArgs: new Map([['V', '2']]) });
  expect(host.printed).toContain('made 2\n');
  expect(host.outcomes.filter((o) => o === 'cached').length).toBeGreaterThan(0);
});

test('RUN: what it removes and replaces, and no trace of its mounts', async () => {
  const image = await host.build(
    `FROM base
RUN mkdir /d && echo 1 >/d/a && echo 2 >/d/b
RUN rm /d/a /etc/group && rm -r /d && mkdir /d && echo 3 >/d/c
RUN test -e /etc/hosts && test -d /proc/1 && test -w /dev/null && test ! -e /d/b && test ! -e /etc/group
`,
  );
  const layer = await contents(image, -2);
  expect(Object.keys(layer).sort()).toEqual(['d', 'd/.wh..wh..opq', 'd/c', 'etc', 'etc/.wh.group']);
  const last = await contents(image, -1);
  expect(Object.keys(last).filter((p) => p !== 'etc')).toEqual([]);
});

test('mounts of a RUN: bind, cache, tmpfs, secret, here-document; a secret is in no file of the builder', async () => {
  const secret = `hidden-${realRandom.hex(16)}`;
  host.file('src/one', 'from the context');
  host.file('src/left-out', 'x');
  const text = (n: number): string => `FROM base AS other
RUN mkdir /o && echo other >/o/f
FROM base
RUN --mount=type=bind,source=src,target=/src cat /src/one && test ! -e /src/left-out && ! touch /src/two
RUN --mount=type=bind,source=src,target=/src,rw echo n >/src/one
RUN --mount=type=bind,from=other,source=/o,target=/o,rw cat /o/f && rm /o/f
RUN --mount=type=cache,target=/cache,uid=1000,mode=0700 stat -c %u:%a /cache && echo ${n} >>/cache/n && wc -l </cache/n
RUN --mount=type=cache,id=seeded,from=other,source=/o,target=/cache,sharing=locked cat /cache/f
RUN --mount=type=tmpfs,target=/t,size=1m mount | grep " /t " && echo x >/t/x
RUN --mount=type=secret,id=s --mount=type=secret,id=s,target=/x,mode=0444,uid=1000 stat -c %a:%u /run/secrets/s /x && wc -c </x
RUN --mount=type=secret,id=s,env=WORD test -n "$WORD"
RUN <<EOF
echo here
echo document
EOF
`;
  const o = { secrets: new Map([['s', Buffer.from(secret)]]), ignored: 'src/left-out' };
  const image = await host.build(text(1), o);
  expect(host.printed).toContain('from the context');
  expect(host.printed).toContain('other\n');
  expect(host.printed).toContain('1000:700\n1\n');
  expect(host.printed).toContain('400:0\n444:1000\n39\n');
  expect(host.printed).toContain('here\ndocument\n');
  expect(readFileSync(join(host.context, 'src/one'), 'utf8')).toBe('from the context');
  for (let n = -8; n < 0; n++) expect(Object.keys(await contents(image, n)).filter((p) => p !== 'etc')).toEqual([]);
  await host.build(text(2), o);
  expect(host.printed).toContain('1000:700\n2\n');
  const found = spawnSync('grep', ['-rlaF', '--', secret, host.folder, `/run/berth-runtime/${host.instance}-build`]);
  expect([found.status, found.stdout.toString()]).toEqual([1, '']);
});

test('USER, WORKDIR, ownership of COPY, network none', async () => {
  host.file('mine', 'm');
  const image = await host.build(
    `FROM base
USER app
WORKDIR /home/app
RUN id && echo $HOME
COPY --chown=app:more mine /m
COPY --chown=1234 mine /n
USER 4242
RUN id -u && cat /m
USER root
RUN --network=none cat /proc/net/dev
`,
  );
  expect(host.printed).toContain('uid=1000(app) gid=1001(apps) groups=1001(apps),1002(more)');
  expect(host.printed).toContain('4242\nm');
  expect(host.printed).not.toMatch(/eth0|ens|enp/);
  expect(Object.values(await contents(image, -4))).toContain('file 1000:1002 m');
  expect(Object.values(await contents(image, -3))).toContain('file 1234:1234 m');
});

test('a RUN that fails: its output, its code and its lines; nothing of it is kept, what was before it is', async () => {
  const text = `FROM base
RUN echo kept >/kept
RUN echo told; echo also >&2; exit 7
`;
  const failed = host.build(text);
  await expect(failed).rejects.toMatchObject({ exitCode: 7, lines: { start: 3, end: 3 } });
  await expect(failed).rejects.toThrow(/^The command '\/bin\/sh -c echo told/);
  expect(host.printed).toBe('told\nalso\n');
  expect(host.outcomes).toEqual(['done', 'failed']);
  await expect(host.build(text)).rejects.toMatchObject({ exitCode: 7 });
  expect(host.outcomes).toEqual(['cached', 'failed']);
  await expect(host.build('FROM base\nRUN ["/no/such"]\n')).rejects.toThrow(/no\/such/);
});

test('a cancel ends all processes of the step and leaves nothing', async () => {
  const stop = new AbortController();
  const mark = `cancel-${realRandom.hex(6)}`;
  const text = `FROM base\nRUN sh -c 'sleep 987 & sleep 987' ${mark}; echo never\n`;
  const failed = host.build(text, {}, { ...context, signal: stop.signal });
  failed.catch(() => undefined);
  await eventually('the step runs', () => (processesWith(mark).length > 0 ? true : undefined));
  stop.abort(new Error('enough'));
  await expect(failed).rejects.toThrow();
  expect(processesWith(mark)).toEqual([]);
  expect(readdirSync(join(host.folder, 'home/images/snapshots/roots'))).toEqual([]);
  expect(host.printed).not.toContain('never');
});

test('ADD: archives unpacked with their owners, a compressed file that is none, a URL with its checksum', async () => {
  const tar = await tarBytes([
    { header: tarHeader({ type: 'folder', path: 'in', uid: 7, gid: 8 }), data: new Uint8Array() },
    { header: tarHeader({ type: 'file', path: 'in/f', sizeBytes: 2, uid: 7, gid: 8 }), data: Buffer.from('hi') },
  ]);
  const removal = { header: tarHeader({ type: 'file', path: '.wh.f', sizeBytes: 0 }), data: new Uint8Array() };
  writeFileSync(join(host.context, 'removal.tar'), await tarBytes([removal]));
  writeFileSync(join(host.context, 'a.tgz'), gzipSync(tar));
  writeFileSync(join(host.context, 'a.tar'), tar);
  execFileSync('xz', ['-kf', join(host.context, 'a.tar')]);
  writeFileSync(join(host.context, 'text.gz'), gzipSync('no tar'));
  const server = createServer((_, answer) => answer.setHeader('last-modified', new Date(0).toUTCString()).end('net'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/file`;
  try {
    const image = await host.build(
      `FROM base
ADD a.tgz /x
ADD a.tar.xz a.tar /y/
ADD text.gz /z/
ADD --checksum=${sha256('net')} ${url} /n/
`,
    );
    expect(await contents(image, -4)).toMatchObject({ 'x/in': 'folder 7:8 ', 'x/in/f': 'file 7:8 hi' });
    expect(await contents(image, -3)).toMatchObject({ 'y/in/f': 'file 7:8 hi' });
    expect(Object.keys(await contents(image, -2))).toEqual(['z', 'z/text.gz']);
    expect(await contents(image, -1)).toMatchObject({ 'n/file': 'file 0:0 net' });
    await expect(host.build(`FROM base\nADD --checksum=${sha256('x')} ${url} /n/\n`)).rejects.toThrow(
      'digest mismatch',
    );
    await expect(host.build('FROM base\nADD removal.tar /x\n')).rejects.toThrow('names that begin with .wh.');
  } finally {
    server.close();
  }
});

test('more than 120 layers', { timeout: limitMs(120_000) }, async () => {
  const runs = Array.from({ length: 118 }, (_, n) => `COPY a /many/${n}\n`).join('');
  const image = await host.build(`FROM base\n${runs}RUN ls /many | wc -l && echo x >/many/last\n`);
  expect(host.printed).toBe('118\n');
  expect(image.layers.length).toBeGreaterThan(120);
});

test('the same image in another home, at another time: SOURCE_DATE_EPOCH', async () => {
  const text = 'FROM base\nCOPY a /a\nRUN echo 1 >/r && mkdir /w && rm /etc/group\nWORKDIR /new\n';
  const o = { latestMs: 1_000_000_000_000, noCache: true };
  await using other = await BuildHost.open();
  for (const h of [host, other]) {
    h.file('a', 'same');
    const { id } = await h.base();
    expect(id).toMatch(/^sha256:/);
  }
  const base = `${(await import('./build-host.ts')).BASE}`.replace('FROM scratch', 'FROM scratch AS base');
  const ids = [];
  for (const h of [host, other]) ids.push((await h.build(`${base}${text}`, o)).id);
  expect(ids[0]).toBe(ids[1]);
});

test('archives that other tools read; a push and a pull; nothing is sent twice', async () => {
  const image = await host.build('FROM base\nRUN echo out >/out\nCMD ["cat","/out"]\n', { tags: ['app:out'] });
  const write = (type: 'oci' | 'docker', dest: string, tar = true): Promise<void> =>
    writeArchive(image, { type, dest: join(host.folder, dest), tar }, context);
  await write('oci', 'a.tar');
  await write('oci', 'b.tar');
  await write('docker', 'd.tar');
  await write('oci', 'layout', false);
  expect(readFileSync(join(host.folder, 'a.tar')).equals(readFileSync(join(host.folder, 'b.tar')))).toBe(true);
  for (const source of ['oci-archive:a.tar', 'docker-archive:d.tar', 'oci:layout']) {
    if (!existsSync('/usr/bin/skopeo')) break;
    const shown = execFileSync('skopeo', ['inspect', '--config', source], { cwd: host.folder }).toString();
    expect(JSON.parse(shown)).toMatchObject({ config: { Cmd: ['cat', '/out'] } });
  }
  await using registry = await startRegistry({
    listen: { host: '127.0.0.1', port: 0 },
    folder: join(host.folder, 'registry'),
    ...{ log: silentLogger, clock: realClock, random: realRandom },
  });
  await using client = new DistributionClient({ random: realRandom });
  const push = { to: client.repository(registry.host, 'app'), folder: join(host.folder, 'pushed'), random: realRandom };
  const first = await pushImage(image, { ...push, tag: 'a' }, context);
  expect(await pushImage(image, { ...push, tag: 'b' }, context)).toEqual(first);
  const pulled = await host.builder.images.pull(`${registry.host}/app@${first.digest}`, {}, context);
  expect(pulled.id).toBe(image.id);
});

test('the file tree is that of buildah', { timeout: limitMs(120_000) }, async () => {
  if (!existsSync('/usr/bin/buildah')) return;
  mkdirSync(join(host.context, 'tree/sub'), { recursive: true });
  host.file('tree/sub/f', 'f');
  host.file('tree/g', 'g');
  const text = `FROM base
COPY tree /t1/
COPY tree/* /t2/
COPY --chmod=0640 tree/g /t3/new/g
WORKDIR /w/x
COPY tree/g .
RUN echo 1 >/r && rm /t1/g && chown 1000:1001 /t1 && chmod 1777 /w
`;
  const base = (await import('./build-host.ts')).BASE.replace('FROM scratch', 'FROM scratch AS base');
  const listing =
    'find / -xdev ! -path "/proc*" ! -path "/sys*" ! -path "/dev*" | sort | while read -r f; do stat -c "%n %F %a %u %g" "$f"; done';
  await host.build(`${base}${text}RUN ${listing.replace('sort', 'cat')}\n`);
  const ours = linesOf(host.printed);
  const storage = ['--root', join(host.folder, 'buildah/root'), '--runroot', join(host.folder, 'buildah/run')];
  host.file('Dockerfile.tree', `${base}${text}RUN ${listing.replace('sort', 'cat')}\n`);
  const bud = ['bud', '--isolation', 'chroot', '-f', join(host.context, 'Dockerfile.tree'), host.context];
  const out = execFileSync('buildah', [...storage, '--storage-driver', 'vfs', ...bud], { stdio: 'pipe' }).toString();
  expect(ours).toEqual(linesOf(out));
});

/** Of files that images have; what builders put into /etc and /run for a step is theirs. */
function linesOf(text: string): string[] {
  const lines = text.split('\n').filter((l) => /^\/\S* (directory|regular|symbolic)/.test(l));
  // The root itself is no entry of a layer.
  return lines.filter((l) => !/^\/( |(etc\/(hosts|resolv.conf|hostname)|run|proc|sys|dev)\b)/.test(l)).sort();
}
