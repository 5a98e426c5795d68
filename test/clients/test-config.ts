/** A kubeconfig of @kubernetes/client-node for a test's API server, as a user of its own. */
import * as k8s from '@kubernetes/client-node';
import { stringify } from 'yaml';
import { newKubeconfig } from '#lib/client';
import type { TestServer } from '../../services/apiserver/testing/server.ts';

export interface TestUser {
  readonly name: string;
  readonly groups: readonly string[];
}

export const ADMIN: TestUser = { name: 'admin', groups: ['system:masters'] };

/** `port`: of something in between. */
export async function configFor(server: TestServer, user: TestUser = ADMIN, port?: number): Promise<k8s.KubeConfig> {
  const pair = await server.issueClient(user.name, [...user.groups]);
  const url = port === undefined ? server.url : `https://127.0.0.1:${port}`;
  const config = new k8s.KubeConfig();
  config.loadFromString(stringify(newKubeconfig({ name: 'test', server: url, caPem: server.ca.certPem, ...pair })));
  return config;
}
