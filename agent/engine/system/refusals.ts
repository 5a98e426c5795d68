/**
 * What Docker has and Berth does by other means, said so that the user knows which. Statuses are those that clients take for
 * "not here": 503 for a node that is in no swarm, 404 for a plugin that is not there. Source: moby daemon/cluster/errors.go,
 * daemon/server/router/{swarm,plugin}.
 */
import { EngineError, type EngineRoute, notFound } from '../http/contract.ts';

const METHODS = ['GET', 'POST', 'DELETE'] as const;
const KINDS: Readonly<Record<string, string>> = {
  services: "services are Kubernetes Deployments and Services here: 'kubectl create deployment', 'kubectl expose'",
  nodes: "nodes are the cluster's: 'kubectl get nodes'",
  tasks: "tasks are pods here: 'kubectl get pods'",
  secrets: "secrets are the cluster's: 'kubectl create secret', and for one container -v or --env-file",
  configs: "configs are ConfigMaps here: 'kubectl create configmap', and for one container -v or --env-file",
  swarm: "clusters are made by 'berth up' and 'berth join' and used by 'kubectl'",
};

export function refusalRoutes(): readonly EngineRoute[] {
  return [...Object.entries(KINDS).flatMap(([kind, words]) => swarmRoutes(kind, words)), ...pluginRoutes()];
}

function swarmRoutes(kind: string, words: string): readonly EngineRoute[] {
  const refuse = async (): Promise<void> => {
    throw new EngineError(503, `This node is not a swarm manager. Berth has no swarm mode: ${words}.`);
  };
  return METHODS.flatMap((method) => [
    { method, path: `/${kind}`, handle: refuse },
    { method, path: `/${kind}/{rest*}`, handle: refuse },
  ]);
}

function pluginRoutes(): readonly EngineRoute[] {
  const unknown: EngineRoute['handle'] = async (r) => {
    throw notFound(`plugin ${JSON.stringify(r.params['name'])} not found`);
  };
  const refuse: EngineRoute['handle'] = async () => {
    throw new EngineError(
      501,
      "Berth has no managed plugins: drivers of volumes and devices are the cluster's (CSI, device plugins)",
    );
  };
  return [
    { method: 'GET', path: '/plugins', handle: async (_, reply) => reply.json(200, []) },
    { method: 'GET', path: '/plugins/privileges', handle: refuse },
    { method: 'GET', path: '/plugins/{name*}/json', handle: unknown },
    { method: 'DELETE', path: '/plugins/{name*}', handle: unknown },
    { method: 'POST', path: '/plugins/pull', handle: refuse },
    { method: 'POST', path: '/plugins/create', handle: refuse },
    ...['enable', 'disable', 'push', 'upgrade', 'set'].map(
      (verb): EngineRoute => ({ method: 'POST', path: `/plugins/{name*}/${verb}`, handle: unknown }),
    ),
  ];
}
