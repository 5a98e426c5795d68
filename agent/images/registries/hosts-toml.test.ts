import { expect, test } from 'vitest';
import { foldersOf } from './certs-folder.ts';
import { parseHostsToml } from './hosts-toml.ts';

test('hosts.toml: mirrors in the order of the file, the server last, all keys (containerd docs/hosts.md)', () => {
  const file = parseHostsToml(`
server = "https://registry.example"
ca = "/etc/ca.pem"

[host."https://z.example:8443"]
  capabilities = ["pull", "resolve"]
  ca = ["a.pem", "b.pem"]
  client = [["c.pem", "c.key"], ["d.pem", ""], "e.pem"]
  skip_verify = true
  dial_timeout = "1m1.5s"
  [host."https://z.example:8443".header]
    X-Team = ["a", "b"]
    x-one = "1"

[host."http://a.example/api"]
[host."https://b.example/whole"]
  override_path = true
[host."c.example/v2/"]
`);
  const base = { ca: [], client: [], skipVerify: false, headers: {}, dialTimeoutMs: undefined, hasScheme: true };
  const all = new Set(['pull', 'resolve', 'push']);
  expect(file.mirrors).toEqual([
    {
      url: 'https://z.example:8443/v2',
      hasScheme: true,
      capabilities: new Set(['pull', 'resolve']),
      ca: ['a.pem', 'b.pem'],
      client: [
        { cert: 'c.pem', key: 'c.key' },
        { cert: 'd.pem', key: undefined },
        { cert: 'e.pem', key: undefined },
      ],
      skipVerify: true,
      headers: { 'x-team': 'a, b', 'x-one': '1' },
      dialTimeoutMs: 61_500,
    },
    { ...base, url: 'http://a.example/api/v2', capabilities: all },
    { ...base, url: 'https://b.example/whole', capabilities: all },
    { ...base, url: 'https://c.example/v2', capabilities: all, hasScheme: false },
  ]);
  expect(file.server).toEqual({ ...base, url: 'https://registry.example/v2', capabilities: all, ca: ['/etc/ca.pem'] });
  expect(file.unknown).toEqual([]);
});

test('hosts.toml: an empty file is the registry itself; keys that mean nothing are told, not refused', () => {
  expect(parseHostsToml('')).toMatchObject({ mirrors: [], server: { url: undefined }, unknown: [] });
  const odd = parseHostsToml('[host."https://m"]\nskip_verfy = true\n[rewrite]\na = "b"');
  expect(odd.unknown).toEqual(['rewrite', 'host."https://m".skip_verfy']);
  expect(odd.mirrors[0]?.skipVerify).toBe(false);
});

test.each([
  ['server = 1', 'server: a text is wanted'],
  ['server = "ftp://x"', 'server: "ftp://x": a registry is spoken to by http or https'],
  ['server = "https://u:p@x"', 'server: https://x: only host, port and path may stand here'],
  ['host = "x"', 'host: a table is wanted'],
  [
    '[host."https://m"]\ncapabilities = ["pul"]',
    'host."https://m".capabilities: unknown capability "pul", there are pull, resolve, push',
  ],
  ['[host."https://m"]\nskip_verify = "yes"', 'host."https://m".skip_verify: true or false is wanted'],
  ['[host."https://m"]\nca = [1]', 'host."https://m".ca: a text is wanted'],
  [
    '[host."https://m"]\nclient = [["a", "b", "c"]]',
    'host."https://m".client: a pair is a list of two paths, certificate and key',
  ],
  [
    '[host."https://m"]\nclient = 3',
    'host."https://m".client: a path, or a list of paths or of pairs of them is wanted',
  ],
  ['[host."https://m"]\ndial_timeout = "3"', 'host."https://m".dial_timeout: "3" is no duration such as "3s"'],
  ['[host."https://m"]\ndial_timeout = "9h"', 'host."https://m".dial_timeout: must be from 1ms to 1h'],
  ['[host."https://m".header]\n"a b" = "x"', 'host."https://m".header.a b: not the name of a header'],
  ['[host."https://m".header]\nx = "a\\nb"', 'host."https://m".header.x: not the value of a header'],
  ['[host."ht tp://m"]', 'host."ht tp://m": "ht tp://m" is no URL'],
  ['server = "a"\nserver = "b"', 'line 2, column'],
  ['[host', 'line 1, column'],
  ['__proto__ = 1', 'line 1, column'],
])('hosts.toml: %j is refused by its key', (text, message) => {
  expect(() => parseHostsToml(text)).toThrow(message);
});

test('hosts.toml: where a registry looks, containerd’s form of a port first', () => {
  expect(foldersOf('r.example')).toEqual(['r.example', '_default']);
  expect(foldersOf('r.example:5000')).toEqual(['r.example_5000_', 'r.example:5000', '_default']);
  expect(foldersOf('[::1]:5000')).toEqual(['[::1]_5000_', '[::1]:5000', '_default']);
  expect(foldersOf('[::1]')).toEqual(['[::1]', '_default']);
});
