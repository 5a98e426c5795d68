/** `docker build` by the stock CLI (classic builder) on a real engine: what users see, and what is in the image. Needs root. */
import {
  createReadStream,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import Docker from 'dockerode';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseDigest } from '#lib/base';
import { readTar, tarBytes, tarHeader } from '#lib/oci';
import { type Run, TestEngine } from '../harness/engine.ts';

let engine: TestEngine;
beforeAll(async () => {
  engine = await TestEngine.open();
});
afterAll(() => engine.close());

function folder(files: Readonly<Record<string, string>>): string {
  const at = mkdtempSync(join(engine.home, 'context-'));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(at, name)), { recursive: true });
    writeFileSync(join(at, name), text);
  }
  return at;
}

const build = (at: string, ...more: readonly string[]): Promise<Run> => engine.docker('build', ...more, at);
const idOf = (out: string): string => /Successfully built ([0-9a-f]{12})/.exec(out)?.[1] ?? '';

async function imageOf(name: string) {
  const image = await engine.images.find(name, engine.c);
  if (image === undefined) throw new Error(`no image ${name}`);
  return image;
}

/** Runs in the image, by a build that is thrown away. */
async function inside(image: string, command: string): Promise<string> {
  const { stdout, stderr } = await build(folder({ Dockerfile: `FROM ${image}\nRUN ${command}\n` }), '--no-cache');
  expect(stderr).not.toContain('returned a non-zero code');
  return / ---> Running in [0-9a-f]{12}\n(.*) ---> Removed intermediate/s.exec(stdout)?.[1] ?? '';
}

test('docker build: several stages, their steps numbered as the classic builder does, tags, labels, target', async () => {
  const at = folder({
    Dockerfile: [
      'ARG BASE=busybox',
      'FROM $BASE AS make',
      'WORKDIR /src',
      'COPY a.txt .',
      'RUN cat a.txt > made; echo made it',
      'FROM scratch AS unused',
      'COPY nowhere /',
      'FROM busybox',
      'COPY --from=make /src/made /made',
      'ENV WORDS="two words"',
      'LABEL kind=test',
      'CMD ["cat", "/made"]',
    ].join('\n'),
    'a.txt': 'hello\n',
  });
  const { code, stdout, stderr } = await build(at, '-t', 'app:v1', '-t', 'reg.test/x/app', '--label', 'by=cli');
  expect({ code, stderr: stderr.replace(/^DEPRECATED.*variable\.\n+/s, '') }).toEqual({ code: 0, stderr: '' });
  const lines = stdout.replaceAll(/[0-9a-f]{12}/g, 'ID').split('\n');
  expect(lines.filter((l) => l !== ' ---> ID').slice(1)).toEqual([
    'Step 1/10 : ARG BASE=busybox',
    'Step 2/10 : FROM $BASE AS make',
    'Step 3/10 : WORKDIR /src',
    'Step 4/10 : COPY a.txt .',
    'Step 5/10 : RUN cat a.txt > made; echo made it',
    ' ---> Running in ID',
    'made it',
    ' ---> Removed intermediate container ID',
    'Step 6/10 : FROM busybox',
    'Step 7/10 : COPY --from=make /src/made /made',
    'Step 8/10 : ENV WORDS="two words"',
    'Step 9/10 : LABEL kind=test',
    'Step 10/10 : CMD ["cat", "/made"]',
    'Successfully built ID',
    'Successfully tagged app:v1',
    'Successfully tagged reg.test/x/app:latest',
    '',
  ]);
  const image = await imageOf('app:v1');
  expect(image.id).toMatch(`sha256:${idOf(stdout)}`);
  expect((await imageOf('reg.test/x/app')).id).toBe(image.id);
  expect(image.config).toMatchObject({ cmd: ['cat', '/made'], labels: { kind: 'test', by: 'cli' } });
  expect(image.config.env).toContain('WORDS=two words');
  expect(await inside('app:v1', 'cat /made')).toBe('hello\n');
  const byId = await build(folder({ Dockerfile: `FROM ${idOf(stdout)}\nRUN cat /made\n` }));
  expect(byId.stdout).toContain('Successfully built');
  const target = await build(at, '--target', 'make', '-t', 'target');
  expect(target.stdout).toContain('Step 5/5 : RUN cat a.txt');
  expect((await build(at, '--target', 'nope')).stderr).toContain('target stage "nope" could not be found');
});

test('docker build: a second one is all from the cache and the same image; a changed file is built from there on', async () => {
  const files = { Dockerfile: 'FROM busybox\nRUN echo one > /one\nCOPY f /f\nRUN cat /f\n', f: '1' };
  const at = folder(files);
  const first = await build(at, '-t', 'cached');
  const second = await build(at, '-t', 'cached');
  expect(second.stdout.match(/ ---> Using cache/g)).toHaveLength(3);
  expect(idOf(second.stdout)).toBe(idOf(first.stdout));
  writeFileSync(join(at, 'f'), '2');
  const third = await build(at, '-t', 'cached');
  expect(third.stdout.match(/ ---> Using cache/g)).toHaveLength(1);
  expect(idOf(third.stdout)).not.toBe(idOf(first.stdout));
  expect((await build(at, '--no-cache')).stdout).not.toContain('Using cache');
  await engine.restart();
  expect((await build(at)).stdout.match(/ ---> Using cache/g)).toHaveLength(3);
});

test('docker build: build args, those without a value, and those that nobody asked for', async () => {
  const at = folder({ Dockerfile: 'FROM busybox\nARG A=default\nARG B=default\nARG C\nRUN echo "[$A] [$B] [$C]"\n' });
  const { stdout } = await build(at, '--build-arg', 'A=given', '--build-arg', 'NOPE=1', '--build-arg', 'UNSET');
  expect(stdout).toContain('\n[given] [default] []\n');
  expect(stdout).toContain('[Warning] One or more build-args [NOPE UNSET] were not consumed\n');
});

test('docker build: what .dockerignore names is not there, nor are it and the Dockerfile when it names them', async () => {
  const at = folder({
    Dockerfile: 'FROM busybox\nCOPY . /all\nRUN find /all -type f | sort\n',
    '.dockerignore': '*.log\nDockerfile\n.dockerignore\n!keep.log\n',
    'a.log': '',
    'keep.log': '',
    'sub/b.log': '',
  });
  expect((await build(at)).stdout).toContain('\n/all/keep.log\n/all/sub/b.log\n ---> Removed');
});

test('docker build: a step that fails ends the CLI with its code; what was before it stays in the cache', async () => {
  const at = folder({ Dockerfile: 'FROM busybox\nRUN echo before > /b\nRUN echo so; exit 7\n' });
  const failed = await build(at);
  expect(failed).toMatchObject({ code: 7 });
  expect(failed.stdout).toMatch(/ ---> Running in [0-9a-f]{12}\nso\n$/);
  expect(failed.stderr).toContain("The command '/bin/sh -c echo so; exit 7' returned a non-zero code: 7");
  expect((await build(at)).stdout).toContain(' ---> Using cache');
  const quiet = await build(at, '-q');
  expect(quiet).toMatchObject({ code: 7 });
  expect(quiet.stderr).toContain('returned a non-zero code: 7');
});

test('docker build: mistakes are told before anything is built', async () => {
  const wrong = await build(folder({ Dockerfile: 'FROM busybox\nRUM true\n' }));
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toContain(
    'Error response from daemon: dockerfile parse error on line 2: unknown instruction: RUM',
  );
  const at = folder({ Dockerfile: 'FROM busybox\nCOPY gone /\n' });
  expect((await build(at)).stderr).toMatch(/^failed to calculate checksum: "\/gone": not found$/m);
  expect((await build(at, '-f', join(at, 'Nope'))).code).toBe(1);
  const absent = await engine.ask('POST', '/build?dockerfile=Nope', {
    body: await context({ Dockerfile: 'FROM busybox\n' }),
  });
  expect(absent).toMatchObject({ status: 400, json: { message: 'Cannot locate specified Dockerfile: Nope' } });
  expect((await engine.ask('POST', '/build', { body: Buffer.from('no tar at all') })).status).toBe(400);
  const named = await engine.ask('POST', '/build?t=Upper', { body: await context({ Dockerfile: 'FROM busybox\n' }) });
  expect(named.json.message).toMatch(/Error parsing reference: "Upper" .*must be lowercase/);
});

test('docker build: --iidfile, -q, a Dockerfile or an archive on stdin, -f in a sub folder', async () => {
  const at = folder({ 'sub/My.Dockerfile': 'FROM busybox\nCOPY sub/x /x\n', 'sub/x': 'x' });
  const iid = join(at, 'iid');
  const { stdout } = await build(at, '-q', '--iidfile', iid, '-f', join(at, 'sub/My.Dockerfile'));
  expect(stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
  const loud = await build(at, '--iidfile', iid, '-f', join(at, 'sub/My.Dockerfile'));
  expect(readFileSync(iid, 'utf8')).toBe(stdout.trim());
  expect(loud.stdout).toContain(`Successfully built ${stdout.slice(7, 19)}`);
  const piped = await engine.program('docker', ['build', '-'], { stdin: 'FROM busybox\nRUN echo piped\n' });
  expect(piped.stdout).toContain('\npiped\n');
  const tar = await context({ Dockerfile: 'FROM busybox\nCOPY f /f\nRUN cat /f\n', f: 'in a tar\n' });
  const packed = await engine.program('docker', ['build', '-'], { stdin: gzipSync(tar) });
  expect(packed.stdout).toContain('\nin a tar\n');
  writeFileSync(join(at, 'plain.tar'), tar);
  for (const program of ['xz', 'zstd', 'bzip2']) {
    const { code } = await engine.program(program, ['-qkf', join(at, 'plain.tar')]);
    expect(code).toBe(0);
  }
  for (const name of ['plain.tar.xz', 'plain.tar.zst', 'plain.tar.bz2']) {
    const body = readFileSync(join(at, name));
    expect((await engine.ask('POST', '/build?q=1', { body })).text).toMatch(/"stream":"sha256:/);
  }
});

test('docker build: --shm-size, --ulimit, --add-host, --memory, --network none are what a RUN has', async () => {
  const limit =
    '(cat /sys/fs/cgroup/memory.max || cat /sys/fs/cgroup/memory/memory.limit_in_bytes) 2>/dev/null || true';
  const at = folder({
    Dockerfile: `FROM busybox\nRUN df -k /dev/shm | tail -1; grep files /proc/self/limits; cat /etc/hosts; ${limit}; ls /sys/class/net\n`,
  });
  const limits = ['--shm-size', '96m', '--ulimit', 'nofile=321:654', '--memory', '64m'];
  const { stdout } = await build(at, ...limits, '--add-host', 'db.test:10.1.2.3', '--network', 'none');
  expect(stdout).toMatch(/shm +98304 /);
  expect(stdout).toMatch(/Max open files +321 +654/);
  expect(stdout).toContain('10.1.2.3\tdb.test\n');
  expect(stdout).toMatch(/\nlo\n ---> Removed/);
  expect((await build(at, '--memory', '1m')).stderr).toContain('Minimum memory limit allowed is 6MB');
});

test('build: what needs BuildKit, another system or git is refused with what to do instead', async () => {
  const refused = async (query: string): Promise<string> => {
    const answer = await engine.ask('POST', `/build?${query}`, {
      body: await context({ Dockerfile: 'FROM busybox\n' }),
    });
    expect(answer.status).toBe(400);
    return answer.json.message;
  };
  for (const query of ['version=2', 'session=abc', 'outputs=[{"Type":"local"}]', 'remote=client-session'])
    expect(await refused(query)).toMatch(/DOCKER_BUILDKIT=0.*berth build/);
  expect(await refused('platform=windows/amd64')).toContain('images for linux alone');
  expect(await refused('remote=https://git.test/x.git')).toContain('git repositories are no contexts');
  expect(await refused('squash=1')).toBe('squash is only supported with experimental mode');
  expect(await refused('buildargs=[1')).toContain('error reading build args');
});

test('build: a client that goes away, or cancels, ends its step; nothing of it is left running', async () => {
  const body = await context({ Dockerfile: 'FROM busybox\nRUN echo begun; sleep 4243\n' });
  const sleeping = async (): Promise<boolean> => (await engine.program('pgrep', ['-f', '^sleep 4243'])).code === 0;
  const cli = engine.program('timeout', ['-s', 'INT', '3', 'docker', 'build', '-'], { stdin: body });
  await engine.until('the step runs', async () => ((await sleeping()) ? true : undefined));
  await cli;
  await engine.until('the step has ended', async () => ((await sleeping()) ? undefined : true));
  const asked = engine.ask('POST', '/build?buildid=b1', { body });
  await engine.until('the step runs', async () => ((await sleeping()) ? true : undefined));
  expect((await engine.post('/build/cancel?id=b1')).status).toBe(200);
  expect((await asked).text).toContain('Build cancelled');
  await engine.until('the step has ended', async () => ((await sleeping()) ? undefined : true));
  expect((await engine.post('/build/cancel')).status).toBe(400);
});

test('build: an archive that leads out of itself reads and writes nothing of the host', async () => {
  const entry = (type: 'symlink' | 'file', path: string, text: string) => ({
    header: tarHeader({ type, path, ...(type === 'symlink' ? { linkPath: text } : { sizeBytes: text.length }) }),
    data: Buffer.from(type === 'symlink' ? '' : text),
  });
  const linked = await tarBytes([entry('symlink', 'Dockerfile', '/etc/passwd')]);
  expect((await engine.ask('POST', '/build', { body: linked })).json.message).toContain(
    'Cannot locate specified Dockerfile',
  );
  const body = await tarBytes([
    entry('file', 'Dockerfile', 'FROM busybox\nCOPY . /all/\nRUN ls -l /all; cat /all/up\n'),
    entry('file', '../../up', 'inside\n'),
    entry('symlink', 'out', '/etc'),
    entry('file', 'out/shadow2', 'x'),
  ]);
  const { text } = await engine.ask('POST', '/build', { body });
  expect(text).toContain('inside');
  expect(text).toContain('Successfully built');
  symlinkSync('/etc', join(engine.home, 'link'));
  expect(() => readFileSync('/etc/shadow2')).toThrow('ENOENT');
});

test('dockerode: buildImage and followProgress, as Testcontainers does it', async () => {
  const docker = new Docker({ socketPath: engine.socket });
  const body = await context({ Dockerfile: 'FROM busybox\nARG V\nRUN echo v=$V; exit $V\n' });
  const follow = async (V: string): Promise<{ stream?: string; error?: string; aux?: { ID: string } }[]> => {
    const options = { t: 'by-dockerode', buildargs: { V }, pull: false, rm: true, forcerm: true };
    const stream = await docker.buildImage(Readable.from([body]), options);
    return new Promise((resolve, reject) => {
      docker.modem.followProgress(stream, (e, out) => (e ? reject(e) : resolve(out)));
    });
  };
  const lines = await follow('0');
  expect(lines.map((l) => l.stream ?? '').join('')).toContain('v=0\n');
  expect(lines.find((l) => l.aux)?.aux?.ID).toBe((await imageOf('by-dockerode')).id);
  const [last] = (await follow('9')).slice(-1);
  expect(last?.error).toContain('returned a non-zero code: 9');
});

test('COPY --from keeps the capabilities of a file, as a RUN does', async () => {
  const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex'); // cap_net_raw=ep, revision 2
  using session = engine.images.builds.session();
  const { layers, config } = await session.image('busybox', { pull: false }, engine.c);
  const header = tarHeader({ type: 'file', path: 'bin/ping2', mode: 0o755, sizeBytes: 2 });
  const tar = await tarBytes([
    { header: { ...header, xattrs: new Map([['security.capability', capability]]) }, data: Buffer.from('#!') },
  ]);
  const layer = await session.addLayer(layers, Readable.from([tar]), engine.c);
  const document = JSON.parse(config.toString());
  document.rootfs.diff_ids.push(layer.diffId);
  const image = { references: ['capable'], config: Buffer.from(JSON.stringify(document)), layers: [...layers, layer] };
  await session.putImage(image, engine.c);
  await build(folder({ Dockerfile: 'FROM busybox\nCOPY --from=capable /bin/ping2 /bin/copied\n' }), '-t', 'copied');
  const newest = (await session.image('copied', { pull: false }, engine.c)).layers.at(-1);
  const entries = readTar(createReadStream(session.blobPath(parseDigest(newest?.diffId ?? ''))));
  for await (const e of entries)
    if (e.header.path === 'bin/copied') expect(e.header.xattrs.get('security.capability')).toEqual(capability);
  expect(newest?.bytes).toBeGreaterThan(0);
  expect.assertions(2);
});

test('build prune: steps that no image needs go, with all also the others; an image stays', async () => {
  const at = folder({ Dockerfile: 'FROM busybox AS a\nRUN echo pruned > /p\nFROM busybox\nCOPY --from=a /p /q\n' });
  await build(at, '-t', 'pruned');
  const used = (await engine.get('/system/df?type=build-cache')).json.BuildCache;
  const step = used.find((b: { Description: string }) => b.Description === 'RUN echo pruned > /p');
  expect(step).toMatchObject({ Type: 'regular', Shared: false, InUse: false, Parents: [] });
  expect(step.Size).toBeGreaterThan(0);
  const first = await engine.docker('builder', 'prune', '-f');
  expect(first.stdout).toMatch(/Total reclaimed space: [1-9]/);
  expect((await build(at, '-t', 'pruned')).stdout.match(/ ---> Using cache/g)).toHaveLength(1);
  const all = (await engine.post('/build/prune?all=1')).json;
  expect(all.CachesDeleted.length).toBeGreaterThan(1);
  expect((await engine.post('/build/prune?all=1')).json).toMatchObject({ CachesDeleted: [] });
  expect(await inside('pruned', 'cat /q')).toBe('pruned\n');
  expect((await engine.post('/build/prune?filters={"nope":["1"]}')).status).toBe(400);
});

test('cache mounts: kept between builds, measured, and gone with a prune', async () => {
  const run = (n: number): string => `FROM busybox\nRUN --mount=type=cache,target=/c echo ${n} >> /c/log; cat /c/log\n`;
  await build(folder({ Dockerfile: run(1) }));
  await engine.restart();
  expect((await build(folder({ Dockerfile: run(2) }))).stdout).toContain('\n1\n2\n');
  const mounts = join(engine.folder, 'build/mounts');
  const [folderName] = readdirSync(mounts).filter((n) => !n.includes('.'));
  await engine.until('it is measured', () => {
    const { bytes } = JSON.parse(readFileSync(join(mounts, `${folderName}.json`), 'utf8'));
    return bytes > 0 ? true : undefined;
  });
  expect((await engine.post('/build/prune?keep-storage=999999999999')).json.CachesDeleted).toEqual([]);
  const gone = (await engine.post('/build/prune')).json;
  expect(gone.CachesDeleted).toContain(folderName);
  expect(readdirSync(mounts)).toEqual([]);
  expect((await build(folder({ Dockerfile: run(3) }))).stdout).toContain('\n3\n ---> Removed');
});

function context(files: Readonly<Record<string, string>>): Promise<Buffer> {
  return tarBytes(
    Object.entries(files).map(([path, text]) => ({
      header: tarHeader({ type: 'file', path, sizeBytes: Buffer.byteLength(text) }),
      data: Buffer.from(text),
    })),
  );
}
