import { describe, expect, test } from 'vitest';
import { isKind } from '#lib/base';
import { formatReference, isRepositoryName, manifestReference, parseReference } from './reference.ts';

const HEX = 'a'.repeat(64);

describe('reference: normalisation', () => {
  test.each([
    ['busybox', 'docker.io/library/busybox:latest'],
    ['busybox:1.36', 'docker.io/library/busybox:1.36'],
    ['library/busybox', 'docker.io/library/busybox:latest'],
    ['index.docker.io/busybox', 'docker.io/library/busybox:latest'],
    ['user/app', 'docker.io/user/app:latest'],
    ['localhost/app', 'localhost/app:latest'],
    ['localhost:5000/app:v1', 'localhost:5000/app:v1'],
    ['127.0.0.1:5000/a/b/c', '127.0.0.1:5000/a/b/c:latest'],
    ['[::1]:5000/app', '[::1]:5000/app:latest'],
    ['quay.io/a/b_c/d__e/f-g--h:T_1.x-Y', 'quay.io/a/b_c/d__e/f-g--h:T_1.x-Y'],
    [`app@sha256:${HEX}`, `docker.io/library/app@sha256:${HEX}`],
    [`r.io/app:v1@sha256:${HEX}`, `r.io/app:v1@sha256:${HEX}`],
    [`r.io:80/app@sha512:${HEX}${HEX}`, `r.io:80/app@sha512:${HEX}${HEX}`],
    ['Upper/app', 'Upper/app:latest'],
  ])('%s', (text, normal) => {
    expect(formatReference(parseReference(text))).toBe(normal);
    expect(formatReference(parseReference(normal))).toBe(normal);
  });

  test('the manifest is asked for by digest when there is one', () => {
    expect(manifestReference(parseReference(`app:v1@sha256:${HEX}`))).toBe(`sha256:${HEX}`);
    expect(manifestReference(parseReference('app:v1'))).toBe('v1');
  });
});

describe('reference: refused', () => {
  test.each([
    '',
    ' app',
    'app:',
    'app:-x',
    `app:${'t'.repeat(129)}`,
    'App',
    'a//b',
    '/app',
    'app/',
    'a..b',
    'a___b',
    'app@sha256:abc',
    `app@sha256:${'A'.repeat(64)}`,
    `app@md5:${'a'.repeat(32)}`,
    'https://r.io/app',
    'r.io:port/app',
    '-r.io/app',
    HEX,
    `r.io/${'a'.repeat(256)}`,
    'app:v1:v2',
    'a b',
    'app\n',
  ])('"%s"', (text) => {
    try {
      parseReference(text);
      expect.unreachable();
    } catch (e) {
      expect(isKind(e, 'BadRequest') && e.reason).toBe('InvalidImageName');
    }
  });

  test('an upper-case repository is named as the fault', () => {
    expect(() => parseReference('r.io/App')).toThrow('repository name (App) must be lowercase');
  });
});

test('reference: repository names of the distribution spec', () => {
  for (const name of ['a', 'a/b', 'blobs/uploads', 'a.b/c_d/e__f/g---h']) expect(isRepositoryName(name)).toBe(true);
  for (const name of ['', 'A', '_a', 'a/', 'a/../b', 'a/.', 'a_', 'a.-b']) expect(isRepositoryName(name)).toBe(false);
});
