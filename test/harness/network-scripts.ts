/** Small programs that tests run inside namespaces with `node -e`. Plain JavaScript, since they run without a loader. */

import { limitMs } from './time-limit.ts';

/** argv: name, ports…  Answers each TCP connection with `name client-address`, and datagrams likewise. */
export const ECHO_SERVER = `
const net = require('net'), dgram = require('dgram');
const [name, ...ports] = process.argv.slice(1);
let open = ports.length * 2;
const ready = () => { if (--open === 0) console.log('ready'); };
for (const port of ports) {
  net.createServer((s) => {
    s.on('error', () => {});
    s.write(name + ' ' + s.remoteAddress.replace('::ffff:', '') + '\\n');
    s.on('data', (d) => s.write(d));
    s.on('end', () => s.end());
  }).listen(Number(port), '0.0.0.0', ready);
  const u = dgram.createSocket('udp4');
  u.on('message', (m, from) => u.send(name + ' ' + from.address, from.port, from.address));
  u.bind(Number(port), ready);
}`;

/** argv: host, port, count, timeout ms. Prints JSON {answers: {text: count}, failures: {code: count}}: one connection after the other. */
export const TCP_CLIENT = `
const net = require('net');
const [host, port, count, timeout] = process.argv.slice(1);
const answers = {}, failures = {};
const one = () => new Promise((resolve) => {
  const s = net.connect({ host, port: Number(port) });
  const fail = (code) => { failures[code] = (failures[code] || 0) + 1; s.destroy(); resolve(); };
  s.setTimeout(Number(timeout), () => fail('ETIMEDOUT'));
  s.on('error', (e) => fail(e.code));
  let text = '';
  s.on('data', (d) => { text += d; if (!text.endsWith('\\n')) return; answers[text.trim()] = (answers[text.trim()] || 0) + 1; s.destroy(); resolve(); });
});
(async () => { for (let i = 0; i < Number(count); i++) await one(); console.log(JSON.stringify({ answers, failures })); })();`;

/** argv: host, port, parallel. New connections without pause until stdin ends; then JSON {answers, failures, connections, ms}. */
export const TCP_STORM = `
const net = require('net');
const [host, port, parallel] = process.argv.slice(1);
const answers = {}, failures = {};
let stop = false, connections = 0;
const one = () => new Promise((resolve) => {
  connections++;
  const s = net.connect({ host, port: Number(port) });
  const fail = (code) => { failures[code] = (failures[code] || 0) + 1; s.destroy(); resolve(); };
  s.setTimeout(${limitMs(3000)}, () => fail('ETIMEDOUT'));
  s.on('error', (e) => fail(e.code));
  let text = '';
  s.on('data', (d) => { text += d; if (!text.endsWith('\\n')) return; const n = text.split(' ')[0]; answers[n] = (answers[n] || 0) + 1; s.resetAndDestroy(); resolve(); });
});
const started = Date.now();
process.stdin.resume().on('end', () => { stop = true; });
console.log('ready');
Promise.all(Array.from({ length: Number(parallel) }, async () => { while (!stop) await one(); }))
  .then(() => console.log(JSON.stringify({ answers, failures, connections, ms: Date.now() - started })));`;

/** argv: host, port. Keeps one connection: prints the greeting, then echoes each line of stdin through it. */
export const TCP_KEEP = `
const net = require('net');
const [host, port] = process.argv.slice(1);
const s = net.connect({ host, port: Number(port) });
s.on('data', (d) => process.stdout.write(d));
s.on('error', (e) => { console.log('error ' + e.code); process.exit(1); });
s.on('close', () => { console.log('closed'); process.exit(1); });
process.stdin.on('data', (d) => s.write(d));`;

/** argv: host, port, size. One datagram (never fragmented by the sender's path MTU); prints the answer or 'timeout'. */
export const UDP_CLIENT = `
const u = require('dgram').createSocket('udp4');
const [host, port, size] = process.argv.slice(1);
u.on('message', (m) => { console.log(String(m)); process.exit(); });
u.on('error', (e) => { console.log('error ' + e.code); process.exit(); });
u.connect(Number(port), host, () => u.send('x'.repeat(Number(size || 1))));
setTimeout(() => { console.log('timeout'); process.exit(); }, ${limitMs(2000)});`;

/** argv: server, name, type. Prints JSON of the answer data, or {code}. */
export const DNS_CLIENT = `
const { Resolver } = require('dns').promises;
const [server, name, type] = process.argv.slice(1);
const r = new Resolver({ timeout: ${limitMs(1000)}, tries: 2 });
r.setServers([server]);
r.resolve(name, type).then((a) => console.log(JSON.stringify(a)), (e) => console.log(JSON.stringify({ code: e.code })));`;

/** argv: host, port. Sends a datagram from one and the same port for each line of stdin; prints each answer's first word. */
export const UDP_KEEP = `
const u = require('dgram').createSocket('udp4');
const [host, port] = process.argv.slice(1);
u.on('message', (m) => console.log(String(m).split(' ')[0]));
u.on('error', () => {});
u.bind(0, () => u.send('x', Number(port), host));
process.stdin.on('data', () => u.send('x', Number(port), host));`;
