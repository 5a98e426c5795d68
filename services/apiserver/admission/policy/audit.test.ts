import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { MemoryBus } from '#lib/bus';
import type { AuditEvent } from '../../http/audit/event.ts';
import { parseAuditPolicy } from '../../http/audit/policy.ts';
import { testContext as c, MASTER, startTestServer } from '../../testing/server.ts';
import { addValidating, configMap, refusalOf } from './testing/policies.ts';

const POLICY = 'apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]';

test('auditAnnotations and failures with the action Audit are in the audit event', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'audit-'));
  const bus = new MemoryBus();
  const path = join(folder, 'audit.log');
  const server = await startTestServer({
    listen: true,
    audit: { policy: await parseAuditPolicy(POLICY), file: { path }, bus },
  });
  try {
    const spec = {
      validations: [{ expression: "object.metadata.name == 'x'", message: 'only x' }],
      auditAnnotations: [
        { key: 'name', valueExpression: "' is ' + object.metadata.name" },
        { key: 'none', valueExpression: 'null' },
        { key: 'empty', valueExpression: "object.metadata.name == 'x' ? 'x' : ' '" },
      ],
    };
    await addValidating(server, 'told', spec, { validationActions: ['Audit', 'Warn'] });
    const admin = await server.http(MASTER);
    // The policy acts once this server has seen what it wrote itself.
    await addValidating(server, 'stop', { validations: [{ expression: "object.metadata.name != 'stop'" }] });
    await refusalOf(() => admin.create(Kinds.configmaps, configMap('stop'), c));
    await admin.create(Kinds.configmaps, configMap('last'), c);
    await server[Symbol.asyncDispose]();
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
    const events = lines.map((line) => JSON.parse(line) as AuditEvent);
    const last = events.findLast((e) => e.objectRef?.name === 'last');
    expect(last?.annotations).toMatchObject({
      'authorization.k8s.io/decision': 'allow',
      'told/name': 'is last',
      'validation.policy.admission.k8s.io/validation_failure': JSON.stringify([
        {
          message: 'only x',
          policy: 'told',
          binding: 'told-b',
          expressionIndex: 0,
          validationActions: ['Audit', 'Warn'],
        },
      ]),
    });
    expect(Object.keys(last?.annotations ?? {})).toHaveLength(3);
  } finally {
    await server[Symbol.asyncDispose]();
    await bus[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  }
});
