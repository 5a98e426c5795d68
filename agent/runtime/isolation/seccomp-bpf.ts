/**
 * A seccomp profile as the program that the kernel runs: crun takes it ready made, which saves it libseccomp and 14 ms of a
 * start. Pure.
 *
 *   architecture -> number of the call -> (rules on its arguments) -> action
 *
 * The number is found by halving ranges of numbers with one outcome, so a call costs some eight comparisons whatever it is.
 * A number above all that the table knows is a call of a kernel to come and gets ENOSYS: then a libc falls back to what it
 * used before, where EPERM would make it fail. So do x32's numbers. Another architecture kills.
 * Source: seccomp(2), linux/filter.h, linux/seccomp.h, linux/audit.h. The test compares it with libseccomp's.
 */
import { assert } from '#lib/base';
import type { OciSeccomp } from '../oci-spec.ts';
import { SYSCALLS } from './gen/syscalls.ts';

export type Machine = keyof typeof SYSCALLS;
type Rule = NonNullable<OciSeccomp['syscalls']>[number];
type Argument = NonNullable<Rule['args']>[number];
/** code, jt, jf, k of a struct sock_filter; before `assemble` the jumps are distances in instructions. */
type Instruction = readonly [code: number, jt: number, jf: number, k: number];

const LOAD = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP = 0x05; // BPF_JMP | BPF_JA
const JEQ = 0x15;
const JGE = 0x35;
const RETURN = 0x06;

/** Offsets in struct seccomp_data, on little endian. */
const NUMBER = 0;
const ARCHITECTURE = 4;
const argumentLow = (index: number): number => 16 + 8 * index;
const argumentHigh = (index: number): number => 20 + 8 * index;

const KILL_THREAD = 0;
const ERRNO = 0x0005_0000;
const ALLOW = 0x7fff_0000;
const ENOSYS = 38;
const EPERM = 1;
/** From here on arm has calls of its own, far above the others. */
const ARM_PRIVATE = 0xf_0000;
const JUMP_MAX = 255;
const INSTRUCTIONS_MAX = 4096;

/** AUDIT_ARCH_* of each. */
const TOKENS: Readonly<Record<Machine, number>> = {
  amd64: 0xc000_003e,
  i386: 0x4000_0003,
  arm64: 0xc000_00b7,
  arm: 0x4000_0028,
};
const OCI_NAMES: Readonly<Record<string, Machine>> = {
  SCMP_ARCH_X86_64: 'amd64',
  SCMP_ARCH_X86: 'i386',
  SCMP_ARCH_AARCH64: 'arm64',
  SCMP_ARCH_ARM: 'arm',
};

/**
 * The array of struct sock_filter. The profile names its architectures; its actions are ALLOW and ERRNO, its comparisons EQ and
 * MASKED_EQ, and a call has either one rule without arguments or rules of one action with one argument each.
 */
export function compileSeccomp(profile: OciSeccomp): Buffer {
  const fallback = actionOf(profile.defaultAction, profile.defaultErrnoRet);
  const sections = (profile.architectures ?? []).map((name) => {
    const machine = OCI_NAMES[name];
    assert(machine !== undefined, `no table of system calls for ${name}`);
    return { token: TOKENS[machine], code: callsOf(profile.syscalls ?? [], SYSCALLS[machine], fallback) };
  });
  const out: Instruction[] = [[LOAD, 0, 0, ARCHITECTURE]];
  for (const { token, code } of sections) out.push([JEQ, 1, 0, token], [JUMP, 0, 0, code.length], ...code);
  out.push([RETURN, 0, 0, KILL_THREAD]);
  return assemble(out);
}

function callsOf(rules: readonly Rule[], numbers: Readonly<Record<string, number>>, fallback: number): Instruction[] {
  const byNumber = new Map<number, Rule[]>();
  for (const rule of rules)
    for (const name of rule.names) {
      const number = numbers[name];
      if (number !== undefined) byNumber.set(number, [...(byNumber.get(number) ?? []), rule]);
    }
  const known = new Set(Object.values(numbers));
  const bounds = [...known].sort((a, b) => a - b);
  const ends = [bounds.at(-1), bounds.filter((n) => n < ARM_PRIVATE).at(-1)];
  /** Outcome from `from` on, up to the next one's. */
  const ranges: { from: number; code: readonly Instruction[]; key: string }[] = [];
  const add = (from: number, code: readonly Instruction[]): void => {
    const key = code.join(';');
    if (ranges.at(-1)?.key !== key) ranges.push({ from, code, key });
  };
  add(0, [[RETURN, 0, 0, fallback]]);
  for (const number of bounds) {
    add(number, outcomeOf(byNumber.get(number) ?? [], fallback));
    if (!known.has(number + 1)) add(number + 1, [[RETURN, 0, 0, ends.includes(number) ? ERRNO | ENOSYS : fallback]]);
  }
  return [[LOAD, 0, 0, NUMBER], ...search(ranges)];
}

function search(ranges: readonly { from: number; code: readonly Instruction[] }[]): readonly Instruction[] {
  const [only] = ranges;
  if (ranges.length === 1 && only !== undefined) return only.code;
  const middle = ranges.length >> 1;
  const below = search(ranges.slice(0, middle));
  const pivot = ranges[middle]?.from ?? 0;
  const head: Instruction[] =
    below.length <= JUMP_MAX
      ? [[JGE, below.length, 0, pivot]]
      : [
          [JGE, 0, 1, pivot],
          [JUMP, 0, 0, below.length],
        ];
  return [...head, ...below, ...search(ranges.slice(middle))];
}

function outcomeOf(rules: readonly Rule[], fallback: number): Instruction[] {
  const [first] = rules;
  if (first === undefined) return [[RETURN, 0, 0, fallback]];
  const action = actionOf(first.action, first.errnoRet);
  const hit: Instruction = [RETURN, 0, 0, action];
  if (rules.length === 1 && (first.args ?? []).length === 0) return [hit];
  return [
    ...rules.flatMap((rule) => {
      const [argument, ...others] = rule.args ?? [];
      assert(argument !== undefined && others.length === 0, 'one argument in each rule of a call');
      assert(actionOf(rule.action, rule.errnoRet) === action, 'one action in all rules of a call');
      return [...comparison(argument), hit];
    }),
    [RETURN, 0, 0, fallback],
  ];
}

/** Falls through to the one instruction behind it where the argument is as wanted, and jumps over that where it is not. */
function comparison(a: Argument): Instruction[] {
  const isMasked = a.op === 'SCMP_CMP_MASKED_EQ';
  assert(isMasked || a.op === 'SCMP_CMP_EQ', `no comparison ${a.op}`);
  const [mask, wanted] = isMasked
    ? [BigInt(a.value), BigInt(a.valueTwo ?? 0)]
    : [0xffff_ffff_ffff_ffffn, BigInt(a.value)];
  const halves = [
    { at: argumentHigh(a.index), mask: Number(mask >> 32n), wanted: Number(wanted >> 32n) },
    { at: argumentLow(a.index), mask: Number(mask & 0xffff_ffffn), wanted: Number(wanted & 0xffff_ffffn) },
  ].filter((half) => half.mask !== 0);
  const out: Instruction[] = [];
  for (const half of halves.reverse()) {
    const jump = out.length + 1;
    const and: Instruction[] = half.mask === 0xffff_ffff ? [] : [[AND, 0, 0, half.mask]];
    out.unshift([LOAD, 0, 0, half.at], ...and, [JEQ, 0, jump, half.wanted]);
  }
  return out;
}

function actionOf(name: string, errno: number | undefined): number {
  if (name === 'SCMP_ACT_ALLOW') return ALLOW;
  assert(name === 'SCMP_ACT_ERRNO', `no action ${name}`);
  return ERRNO | (errno ?? EPERM);
}

function assemble(program: readonly Instruction[]): Buffer {
  assert(program.length <= INSTRUCTIONS_MAX, 'the kernel takes no longer filter');
  const out = Buffer.alloc(8 * program.length);
  for (const [i, [code, jt, jf, k]] of program.entries()) {
    assert(jt <= JUMP_MAX && jf <= JUMP_MAX, 'a jump is too far');
    out.writeUInt16LE(code, 8 * i);
    out.writeUInt8(jt, 8 * i + 2);
    out.writeUInt8(jf, 8 * i + 3);
    out.writeUInt32LE(k, 8 * i + 4);
  }
  return out;
}
