/** Stock kubectl in one namespace of a test's cluster, and the second client that reads its effects back. */
import { expect } from 'vitest';
import type { DeepReadonly, KindRef, KubeObject } from '#lib/api';
import type { CommandResult, TestCluster } from '../harness/cluster.ts';

export interface StockKubectl {
  /** Runs it, whatever becomes of it. */
  k(...args: string[]): Promise<CommandResult>;
  /** It must succeed; what it wrote to standard output. */
  ok(...args: string[]): Promise<string>;
  /** It must fail, and say what `pattern` asks for. */
  refused(pattern: RegExp, ...args: string[]): Promise<void>;
  /** By the second client. */
  read<T extends KubeObject>(kind: KindRef<T>, name: string): Promise<DeepReadonly<T>>;
}

export function stockKubectl(cluster: () => TestCluster, namespace: string): StockKubectl {
  const k = (...args: string[]): Promise<CommandResult> => cluster().kubectl('-n', namespace, ...args);
  return {
    k,
    ok: async (...args) => {
      const r = await k(...args);
      expect(r, `kubectl ${args.join(' ')}`).toMatchObject({ code: 0 });
      return r.stdout;
    },
    refused: async (pattern, ...args) => {
      const r = await k(...args);
      expect(r.stderr, `kubectl ${args.join(' ')}`).toMatch(pattern);
      expect(r.code, `kubectl ${args.join(' ')}`).not.toBe(0);
    },
    read: (kind, name) => {
      const t = cluster();
      return t.client.get(kind, { namespace: kind.namespaced ? namespace : '', name }, t.ctx);
    },
  };
}
