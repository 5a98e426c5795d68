import { expect, test } from 'vitest';
import { proxiesOf } from './proxy.ts';

const PROXY = 'http://proxy.example:3128/';

test.each([
  ['https by HTTPS_PROXY', { HTTPS_PROXY: PROXY }, 'https://a.example/v2', PROXY],
  ['http not by HTTPS_PROXY', { HTTPS_PROXY: PROXY }, 'http://a.example/v2', undefined],
  ['http by HTTP_PROXY', { HTTP_PROXY: PROXY }, 'http://a.example/v2', PROXY],
  ['lower case', { https_proxy: PROXY }, 'https://a.example/', PROXY],
  ['upper case wins', { HTTPS_PROXY: PROXY, https_proxy: 'http://other:1' }, 'https://a.example/', PROXY],
  ['without a scheme', { HTTPS_PROXY: 'proxy.example:3128' }, 'https://a.example/', PROXY],
  ['with a user', { HTTPS_PROXY: 'http://u:p@proxy:1' }, 'https://a.example/', 'http://u:p@proxy:1/'],
  ['loopback', { HTTPS_PROXY: PROXY }, 'https://127.0.0.1:5000/', undefined],
  ['localhost', { HTTP_PROXY: PROXY }, 'http://localhost:5000/', undefined],
  ['star', { HTTPS_PROXY: PROXY, NO_PROXY: '*' }, 'https://a.example/', undefined],
  ['a domain means itself', { HTTPS_PROXY: PROXY, NO_PROXY: 'b,a.example' }, 'https://a.example/', undefined],
  ['and what is below it', { HTTPS_PROXY: PROXY, NO_PROXY: 'example' }, 'https://a.example/', undefined],
  ['a dot means what is below', { HTTPS_PROXY: PROXY, NO_PROXY: '.a.example' }, 'https://a.example/', PROXY],
  ['below it', { HTTPS_PROXY: PROXY, NO_PROXY: '.a.example' }, 'https://x.a.example/', undefined],
  ['not by the end of a word', { HTTPS_PROXY: PROXY, NO_PROXY: 'ample' }, 'https://a.example/', PROXY],
  ['in upper case', { HTTPS_PROXY: PROXY, NO_PROXY: 'A.Example' }, 'https://a.example/', undefined],
  ['with that port', { HTTPS_PROXY: PROXY, NO_PROXY: 'a.example:5000' }, 'https://a.example:5000/', undefined],
  ['with another port', { HTTPS_PROXY: PROXY, NO_PROXY: 'a.example:5000' }, 'https://a.example/', PROXY],
  ['with the usual port', { HTTPS_PROXY: PROXY, NO_PROXY: 'a.example:443' }, 'https://a.example/', undefined],
  ['an address', { HTTP_PROXY: PROXY, NO_PROXY: '10.0.0.7' }, 'http://10.0.0.7:5000/', undefined],
  ['a network', { HTTP_PROXY: PROXY, NO_PROXY: ' 10.0.0.0/8 , x' }, 'http://10.200.0.7:5000/', undefined],
  ['outside the network', { HTTP_PROXY: PROXY, NO_PROXY: '10.0.0.0/8' }, 'http://11.0.0.7:5000/', PROXY],
  ['a network of v6', { HTTP_PROXY: PROXY, NO_PROXY: 'fd00::/8' }, 'http://[fd00::7]:5000/', undefined],
  ['an address of v6', { HTTP_PROXY: PROXY, NO_PROXY: '[fd00::7]:5000' }, 'http://[fd00::7]:5000/', undefined],
])('proxy: %s', (_name, environment, url, proxy) => {
  expect(proxiesOf(environment)(new URL(url))).toBe(proxy);
});

test.each([
  ['socks5://proxy:1080', /^HTTPS_PROXY: /],
  ['http://', /^HTTPS_PROXY: /],
])('proxy: %s is refused, without showing it', (value, message) => {
  expect(() => proxiesOf({ HTTPS_PROXY: value })).toThrow(message);
  expect(() => proxiesOf({ HTTPS_PROXY: value })).not.toThrow(/proxy:1080/);
});
