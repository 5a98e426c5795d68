import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { htmlRewriter, rewriteLink } from './links.ts';

const PREFIX = '/api/v1/namespaces/x/services/y/proxy';
const R = { prefix: PREFIX, targetHost: '10.42.0.5:80', clientHost: 'api.test:6443' };

async function page(html: string, pieceLength = html.length): Promise<string> {
  const pieces: Buffer[] = [];
  const bytes = Buffer.from(html);
  for (let i = 0; i < bytes.length; i += Math.max(1, pieceLength)) pieces.push(bytes.subarray(i, i + pieceLength));
  return await text(Readable.from(pieces).pipe(htmlRewriter(R)));
}

describe('rewriteLink: as apimachinery rewriteURL', () => {
  test.each([
    ['/style.css', `${PREFIX}/style.css`],
    ['/', `${PREFIX}/`],
    ['/a/b/?q=1#f', `${PREFIX}/a/b/?q=1#f`],
    ['http://10.42.0.5:80/login', `${PREFIX}/login`],
    ['//10.42.0.5:80/login', `${PREFIX}/login`],
    ['https://api.test:6443/x', `https://api.test:6443${PREFIX}/x`],
    [`https://api.test:6443${PREFIX}/x`, `https://api.test:6443${PREFIX}/x`],
    [`${PREFIX}/x`, `${PREFIX}/x`],
    [`${PREFIX}x`, `${PREFIX}${PREFIX}x`],
    ['/../../../secrets', `${PREFIX}/secrets`],
    ['relative/x', 'relative/x'],
    ['?q=/x', '?q=/x'],
    ['#top', '#top'],
    ['', ''],
    ['http://elsewhere.test/x', 'http://elsewhere.test/x'],
    ['//elsewhere.test/x', '//elsewhere.test/x'],
    ['http://10.42.0.5/x', 'http://10.42.0.5/x'],
    ['mailto:a@b', 'mailto:a@b'],
    ['javascript:alert(1)', 'javascript:alert(1)'],
    ['data:text/html,/x', 'data:text/html,/x'],
    ['http://user@10.42.0.5:80/x', 'http://user@10.42.0.5:80/x'],
  ])('%s -> %s', (link, expected) => {
    expect(rewriteLink(link, R)).toBe(expected);
  });
});

describe('htmlRewriter', () => {
  test.each([
    ['<a href="/x">/x</a>', `<a href="${PREFIX}/x">/x</a>`],
    ["<A class=k HREF = '/x' >t</A>", `<A class=k HREF = '${PREFIX}/x' >t</A>`],
    ['<img src=/i.png alt="/a">', `<img src=${PREFIX}/i.png alt="/a">`],
    ['<script src="/s.js"></script><a href="/y">', `<script src="${PREFIX}/s.js"></script><a href="${PREFIX}/y">`],
    ['<script>x = "<a href=\'/x\'>"</script>', '<script>x = "<a href=\'/x\'>"</script>'],
    ['<!-- <a href="/x"> --><a href="/y">', `<!-- <a href="/x"> --><a href="${PREFIX}/y">`],
    ['<!doctype html><p title="/x">1 < 2 <a href="/z">', `<!doctype html><p title="/x">1 < 2 <a href="${PREFIX}/z">`],
    ['<a title="a > b" href="/x">', `<a title="a > b" href="${PREFIX}/x">`],
    ['<a disabled href="/x"/>', `<a disabled href="${PREFIX}/x"/>`],
    ['<a data-href="/x" href>', '<a data-href="/x" href>'],
    ['<constructor href="/x">', '<constructor href="/x">'],
    ['<form action="/f"><button formaction="/g">', `<form action="${PREFIX}/f"><button formaction="${PREFIX}/g">`],
    ['<a href="/x', '<a href="/x'],
    ['<p>é ü 漢</p>', '<p>é ü 漢</p>'],
  ])('%s', async (html, expected) => {
    for (const length of [1, 2, 3, 7, html.length]) expect(await page(html, length)).toBe(expected);
  });

  test('how a page is cut into pieces makes no difference, and without links every byte stays', async () => {
    const part = fc.constantFrom('<', '>', 'a', ' ', 'href', '=', '"', "'", '/x', '<a href="/q">', '<!--', '-->', '</');
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 30 }), fc.integer({ min: 1, max: 9 }), async (parts, length) => {
        const html = parts.join('');
        const whole = await page(html);
        expect(await page(html, length)).toBe(whole);
        expect(whole.replaceAll(`${PREFIX}/`, '/')).toBe(html);
      }),
    );
  });

  test('hostile pages cost time in proportion to their size', async () => {
    const hostile = [
      '<a '.repeat(100_000),
      `<a ${'x '.repeat(100_000)}>`,
      `<a ${'=" '.repeat(100_000)}`,
      '<'.repeat(300_000),
    ];
    for (const html of hostile) expect((await page(html, 16_384)).length).toBe(html.length);
  });
});
