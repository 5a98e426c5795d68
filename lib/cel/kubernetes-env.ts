/** The environment of Kubernetes 1.36 (apiserver/pkg/cel/environment/base.go), without variables. */
import { Env } from './env.ts';
import { AUTHORIZATION } from './library/authorizer.ts';
import { FORMAT, QUANTITY, REGEX, SEMVER } from './library/kubernetes.ts';
import { EXT_LISTS, KUBERNETES_LISTS, SETS } from './library/lists.ts';
import { CIDR, IP, URLS } from './library/network.ts';
import { OPTIONAL, TWO_VARIABLES } from './library/optional.ts';
import { STANDARD } from './library/standard.ts';
import { STRINGS } from './library/strings.ts';

export function kubernetesEnv(): Env {
  return Env.create({
    libraries: [
      STANDARD,
      OPTIONAL,
      TWO_VARIABLES,
      STRINGS,
      SETS,
      KUBERNETES_LISTS,
      EXT_LISTS,
      REGEX,
      URLS,
      QUANTITY,
      SEMVER,
      IP,
      CIDR,
      FORMAT,
      AUTHORIZATION,
    ],
  });
}
