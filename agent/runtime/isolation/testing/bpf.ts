/** Runs a seccomp filter as the kernel does: what it answers to a call. Source: linux/filter.h, networking/filter.rst. */
export interface Call {
  readonly architecture: number;
  readonly number: number;
  readonly args?: readonly bigint[];
}

export function runFilter(program: Buffer, call: Call): number {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(call.number >>> 0, 0);
  data.writeUInt32LE(call.architecture, 4);
  for (const [i, a] of (call.args ?? []).entries()) data.writeBigUInt64LE(BigInt.asUintN(64, a), 16 + 8 * i);
  let accumulator = 0;
  for (let at = 0; ; at++) {
    const code = program.readUInt16LE(8 * at);
    const k = program.readUInt32LE(8 * at + 4);
    const jump = (isTaken: boolean): number => program.readUInt8(8 * at + (isTaken ? 2 : 3));
    if (code === 0x20) accumulator = data.readUInt32LE(k);
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0;
    else if (code === 0x05) at += k;
    else if (code === 0x15) at += jump(accumulator === k);
    else if (code === 0x25) at += jump(accumulator > k);
    else if (code === 0x35) at += jump(accumulator >= k);
    else if (code === 0x45) at += jump((accumulator & k) !== 0);
    else if (code === 0x06) return k;
    else throw new Error(`instruction ${at}: code ${code}`);
  }
}

/** allow | errno N | kill */
export function answerText(action: number): string {
  if (action === 0x7fff_0000) return 'allow';
  if ((action & 0xffff_0000) === 0x0005_0000) return `errno ${action & 0xffff}`;
  return action === 0 ? 'kill' : `action ${action}`;
}
