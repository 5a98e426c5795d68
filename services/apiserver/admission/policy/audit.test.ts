import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { MemoryBus } from '#lib/bus';
import type { AuditEvent } from '../../http/audit/event.ts';
import { parseAuditPolicy } from '../../http/audit/policy.ts';
import { eventually, MASTER, startTestServer, testContext as c } from '../../testing/server.ts';
import { addValidating, configMap } from './testing/policies.ts';

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
        { key: 'none', valueExpression: "object.metadata.name == 'x' ? 'x' : null" },
      ],
    };
    await addValidating(server, 'told', spec, { validationActions: ['Audit', 'Warn'] });
    const admin = await server.http(MASTER);
    let count = 0;
    await eventually(async () => {
      const warned = await admin.create(Kinds.configmaps, configMap(`c${++count}`), c);
      expect(warned.metadata.name).toBe(`c${count}`);
      await server.client.get(Kinds.validatingadmissionpolicies, { namespace: '', name: 'told' }, c);
    });
    await admin.create(Kinds.configmaps, configMap('last'), c);
    await server[Symbol.asyncDispose]();
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
    const events = lines.map((line) => JSON.parse(line) as AuditEvent);
    const last = events.findLast((e) => e.objectRef?.name === 'last');
    expect(last?.annotations).toMatchObject({
      'authorization.k8s.io/decision': 'allow',
      'told/name': 'is last',
      'validation.policy.admission.k8s.io/validation_failure': JSON.stringify([
        { message: 'only x', policy: 'told', binding: 'told-b', expressionIndex: 0, validationActions: ['Audit', 'Warn'] },
      ]),
    });
    expect(last?.annotations).not.toHaveProperty('told/none');
  } finally {
    await server[Symbol.asyncDispose]();
    await bus[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  }
});
