/** Builds on real parts: overlay roots, containers, the store of images. Needs root and crun or runc. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BuildHost } from './build-host.ts';

let host: BuildHost;

beforeAll(async () => {
  host = await BuildHost.open();
  await host.base();
}, 60_000);
afterAll(async () => {
  await host[Symbol.asyncDispose]();
});

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
});
