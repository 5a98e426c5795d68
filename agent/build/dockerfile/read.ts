/** Instructions of a Dockerfile by their keyword. Source: Dockerfile reference. Pure. */
import { parseGoDuration } from '#lib/base';
import { invalid } from './error.ts';
import { readFlags } from './flags.ts';
import type { BuildInstruction, CommandLine, FromInstruction, Healthcheck, KeyValue } from './instructions.ts';
import { blankSeparated, type Instruction, secondWord } from './lines.ts';
import { parseMount } from './mount.ts';
import { readAdd, readCopy } from './read-copy.ts';
import { didYouMean } from './suggest.ts';
import type { EscapeToken } from './words.ts';

type Reader = (i: Instruction, escapeToken: EscapeToken) => BuildInstruction | FromInstruction;

const READERS: Readonly<Record<string, Reader>> = {
  ADD: readAdd,
  ARG: readArg,
  CMD: readCommand,
  COPY: readCopy,
  ENTRYPOINT: readCommand,
  ENV: readPairs,
  EXPOSE: readWords,
  FROM: readFrom,
  HEALTHCHECK: readHealthcheck,
  LABEL: readPairs,
  MAINTAINER: readWord,
  ONBUILD: readOnbuild,
  RUN: readRun,
  SHELL: readShell,
  STOPSIGNAL: readWord,
  USER: readWord,
  VOLUME: readWords,
  WORKDIR: readWord,
};
const STAGE_NAME = /^[a-z][a-z0-9-_.]*$/;

/** Throws Invalid. */
export function readByKeyword(i: Instruction, escapeToken: EscapeToken): BuildInstruction | FromInstruction {
  const read = Object.hasOwn(READERS, i.keyword) ? READERS[i.keyword] : undefined;
  if (read === undefined)
    throw invalid(`unknown instruction: ${i.keyword}${didYouMean(i.keyword, Object.keys(READERS))}`);
  return read(i, escapeToken);
}

function base(i: Instruction): Pick<Instruction, 'original' | 'lines'> {
  return { original: i.original, lines: i.lines };
}

function readFrom(i: Instruction): FromInstruction {
  const words = blankSeparated(i.rest);
  const [image = '', as = '', written = ''] = words;
  const { platform } = readFlags(i.flags, { platform: 'text' });
  if (words.length === 1) return { ...base(i), kind: 'FROM', base: image, name: undefined, platform };
  if (words.length !== 3 || as.toUpperCase() !== 'AS') throw invalid('FROM requires either one or three arguments');
  const name = written.toLowerCase();
  if (!STAGE_NAME.test(name))
    throw invalid(`invalid name for build stage: "${written}", name can't start with a number or contain symbols`);
  return { ...base(i), kind: 'FROM', base: image, name, platform };
}

function readArg(i: Instruction, escapeToken: EscapeToken): BuildInstruction {
  readFlags(i.flags, {});
  const args = quotedWords(i.rest, escapeToken).map((word) => {
    const at = word.indexOf('=');
    if (at === 0) throw invalid('ARG names can not be blank');
    return at < 0 ? { key: word, value: undefined } : { key: word.slice(0, at), value: word.slice(at + 1) };
  });
  if (args.length === 0) throw invalid('ARG requires at least one argument');
  return { ...base(i), kind: 'ARG', args };
}

/** `k=v k="v w"`, or the old `k the rest of the line`. Quotes stay: they are taken when variables are put in. */
function readPairs(i: Instruction, escapeToken: EscapeToken): BuildInstruction {
  readFlags(i.flags, {});
  const kind = i.keyword === 'ENV' ? 'ENV' : 'LABEL';
  const words = quotedWords(i.rest, escapeToken);
  const [first] = words;
  if (first === undefined) throw invalid(`${kind} requires at least one argument`);
  if (first.includes('=')) return { ...base(i), kind, pairs: words.map((w) => pairOf(w, kind)) };
  const [, key = '', value = ''] = /^([^\t\v\f\r ]+)[\t\v\f\r ]+([\s\S]+)$/.exec(i.rest) ?? [];
  if (value === '') throw invalid(`${kind} must have two arguments`);
  return { ...base(i), kind, pairs: [{ key, value }] };
}

function pairOf(word: string, kind: string): KeyValue {
  const at = word.indexOf('=');
  if (at < 0) throw invalid(`Syntax error - can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`);
  if (at === 0) throw invalid(`${kind} names can not be blank`);
  return { key: word.slice(0, at), value: word.slice(at + 1) };
}

function readCommand(i: Instruction): BuildInstruction {
  readFlags(i.flags, {});
  return { ...base(i), kind: i.keyword === 'CMD' ? 'CMD' : 'ENTRYPOINT', command: commandOf(i.rest, i.json) };
}

function commandOf(rest: string, json: readonly string[] | undefined): CommandLine {
  return { words: json ?? (rest === '' ? [] : [rest]), isShell: json === undefined };
}

function readRun(i: Instruction): BuildInstruction {
  const f = readFlags(i.flags, { mount: 'texts', network: 'text', security: 'text', device: 'texts' });
  if (f.device.length > 0) throw invalid('RUN --device: no devices are given to builds here');
  const command = commandOf(i.rest, i.json);
  if (command.words.length === 0) throw invalid('RUN requires at least one argument');
  // What holds variables is read when they are known.
  for (const mount of f.mount) if (!mount.includes('$')) parseMount(mount, (text) => text);
  return {
    ...base(i),
    kind: 'RUN',
    command,
    heredocs: i.heredocs,
    mounts: f.mount,
    network: choice('network', f.network, ['default', 'none', 'host']),
    security: choice('security', f.security, ['sandbox', 'insecure']),
  };
}

function choice<T extends string>(name: string, given: string | undefined, allowed: readonly [T, ...T[]]): T {
  if (given === undefined) return allowed[0];
  const found = allowed.find((a) => a === given);
  if (found === undefined) throw invalid(`unsupported ${name} mode "${given}"${didYouMean(given, allowed)}`);
  return found;
}

function readWords(i: Instruction): BuildInstruction {
  readFlags(i.flags, {});
  const kind = i.keyword === 'EXPOSE' ? 'EXPOSE' : 'VOLUME';
  const words = (i.json ?? blankSeparated(i.rest)).map((w) => w.trim());
  if (words.length === 0) throw invalid(`${kind} requires at least one argument`);
  if (words.includes('')) throw invalid(`${kind} specified can not be an empty string`);
  return { ...base(i), kind, words };
}

function readWord(i: Instruction): BuildInstruction {
  readFlags(i.flags, {});
  const kind = (['USER', 'WORKDIR', 'STOPSIGNAL'] as const).find((k) => k === i.keyword) ?? 'MAINTAINER';
  if (i.rest === '') throw invalid(`${kind} requires exactly one argument`);
  return { ...base(i), kind, word: i.rest };
}

function readShell(i: Instruction): BuildInstruction {
  readFlags(i.flags, {});
  if (i.rest === '' || i.json?.length === 0) throw invalid('SHELL requires at least one argument');
  if (i.json === undefined) throw invalid(`SHELL requires the arguments to be in JSON form`);
  return { ...base(i), kind: 'SHELL', words: i.json };
}

function readHealthcheck(i: Instruction): BuildInstruction {
  const [type, ...more] = blankSeparated(i.rest);
  if (type === undefined) throw invalid('HEALTHCHECK requires at least one argument');
  const none = { intervalMs: 0, timeoutMs: 0, startPeriodMs: 0, startIntervalMs: 0, retries: 0 };
  if (type.toUpperCase() === 'NONE') {
    if (more.length > 0) throw invalid('HEALTHCHECK NONE takes no arguments');
    readFlags(i.flags, {});
    return { ...base(i), kind: 'HEALTHCHECK', check: { test: ['NONE'], ...none } };
  }
  const f = readFlags(i.flags, {
    interval: 'text',
    timeout: 'text',
    'start-period': 'text',
    'start-interval': 'text',
    retries: 'text',
  });
  if (type.toUpperCase() !== 'CMD') throw invalid(`Unknown type "${type}" in HEALTHCHECK (try CMD)`);
  const command = commandOf(secondWord(i.rest), i.json);
  if (command.words.length === 0) throw invalid('Missing command after HEALTHCHECK CMD');
  const check: Healthcheck = {
    test: [command.isShell ? 'CMD-SHELL' : 'CMD', ...command.words],
    intervalMs: interval('interval', f.interval),
    timeoutMs: interval('timeout', f.timeout),
    startPeriodMs: interval('start-period', f['start-period']),
    startIntervalMs: interval('start-interval', f['start-interval']),
    retries: retriesOf(f.retries),
  };
  return { ...base(i), kind: 'HEALTHCHECK', check };
}

function interval(name: string, text: string | undefined): number {
  if (text === undefined || text === '') return 0;
  const ms = parseGoDuration(text);
  if (ms === undefined) throw invalid(`--${name}: "${text}" is no duration like 30s or 1m30s`);
  if (ms !== 0 && ms < 1) throw invalid(`Interval "${name}" cannot be less than 1ms`);
  return ms;
}

function retriesOf(text: string | undefined): number {
  if (text === undefined || text === '') return 0;
  if (!/^-?\d{1,9}$/.test(text)) throw invalid(`--retries: "${text}" is no number`);
  if (Number(text) < 0) throw invalid(`--retries cannot be negative (${text})`);
  return Number(text);
}

function readOnbuild(i: Instruction): BuildInstruction {
  readFlags(i.flags, {});
  const [word] = blankSeparated(i.rest);
  if (word === undefined) throw invalid('ONBUILD requires at least one argument');
  const trigger = word.toUpperCase();
  if (trigger === 'ONBUILD') throw invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (trigger === 'MAINTAINER' || trigger === 'FROM') throw invalid(`${trigger} isn't allowed as an ONBUILD trigger`);
  if (!Object.hasOwn(READERS, trigger))
    throw invalid(`unknown instruction: ${trigger}${didYouMean(trigger, Object.keys(READERS))}`);
  const text = i.original.replace(/^\s*ONBUILD\s+/i, '');
  const bodies = i.heredocs.map((h) => `\n${h.raw}${h.name}`);
  return { ...base(i), kind: 'ONBUILD', trigger: text + bodies.join('') };
}

/** Words with their quotes and escapes as they are written. */
function quotedWords(text: string, escapeToken: EscapeToken): readonly string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  const add = (piece: string): void => {
    word = (word ?? '') + piece;
  };
  for (let at = 0; at < text.length; at++) {
    const ch = text.charAt(at);
    if (quote === undefined && /\s/.test(ch)) {
      if (word !== undefined) words.push(word);
      word = undefined;
      continue;
    }
    if (ch === escapeToken && quote !== "'") {
      // One at the very end escapes nothing.
      if (at + 1 < text.length) add(ch + text.charAt(++at));
      continue;
    }
    if (ch === quote) quote = undefined;
    else if (quote === undefined && (ch === "'" || ch === '"')) quote = ch;
    add(ch);
  }
  if (word !== undefined) words.push(word);
  return words;
}
