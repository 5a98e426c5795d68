/** Programs of the tests of the engine's networks, for `node -e` inside of a namespace. */

/** PORT TEXT: answers over TCP and UDP with the text and who asked; prints ready. */
export const SERVER = `
const net = require('node:net'), dgram = require('node:dgram');
const [port, text] = process.argv.slice(1);
net.createServer((s) => { s.on('error', () => {}); s.end(text + ' ' + s.remoteAddress); }).listen(Number(port), '::', () => {
  const u = dgram.createSocket('udp6');
  u.on('message', (m, from) => u.send(text + ' ' + from.address, from.port, from.address));
  u.bind(Number(port), '::', () => console.log('ready'));
});`;

/** tcp|udp HOST PORT [MS]: prints what it is told, timeout, or an error's code. */
export const CLIENT = `
const net = require('node:net'), dgram = require('node:dgram');
const [l4, host, port] = process.argv.slice(1);
const say = (t) => { console.log(t); process.exit(0); };
setTimeout(() => say('timeout'), Number(process.argv[4] ?? 800));
if (l4 === 'udp') {
  const u = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4');
  u.on('message', (m) => say(String(m)));
  u.send('?', Number(port), host);
} else {
  let text = '';
  net.connect({ host, port: Number(port) }).on('data', (d) => text += d).on('end', () => say(text)).on('error', (e) => say(e.code));
}`;

/** Questions `A name` to 127.0.0.11: prints the answers or codes as JSON. */
export const RESOLVE = `
const dns = require('node:dns'), { Resolver } = dns.promises;
const r = new Resolver({ timeout: 1500, tries: 1 });
r.setServers(['127.0.0.11']);
(async () => {
  const out = [];
  for (const q of process.argv.slice(1)) {
    const [type, name] = q.split(' ');
    try { out.push(type === 'PTR' ? await r.reverse(name) : await r.resolve(name, type)); } catch (e) { out.push(e.code); }
  }
  console.log(JSON.stringify(out));
})();`;

/** A DNS server on 127.0.0.53 as systemd-resolved is, to which every name is 9.9.9.9; prints ready. */
export const UPSTREAM = `
const u = require('node:dgram').createSocket('udp4');
u.on('message', (m, from) => {
  const head = Buffer.from(m); head[2] |= 0x80; head[3] = 0x80; head.writeUInt16BE(1, 6);
  u.send(Buffer.concat([head, Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 9, 9, 9, 9])]), from.port, from.address);
});
u.bind(53, '127.0.0.53', () => console.log('ready'));`;
