/** Makes the volumes of claims that ask for node-local storage. The node's agent makes the folder at its first use. */
import {
  classOfClaim,
  type DeepReadonly,
  Kinds,
  LOCAL_PROVISIONER,
  type PersistentVolumeClaim,
  StorageAnnotations,
} from '#lib/api';
import { isKind, messageOf } from '#lib/base';
import type { Controller, Outcome } from '#lib/controller';
import { changesOf, DONE, objectsOf, parseKeyText, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';
import { isAsked, planProvisioning, volumeNameOf } from './provision-plan.ts';

const WORKERS = 4;
const RETRY_MS = 15_000;

export function startLocalProvisioner(deps: Deps): Controller {
  const { client, informers } = deps;
  const claims = informers.informer(Kinds.persistentvolumeclaims);
  const classes = informers.informer(Kinds.storageclasses);
  const nodes = informers.informer(Kinds.nodes);
  const events = deps.recorder(LOCAL_PROVISIONER);
  return startController({
    ...deps,
    name: 'local-provisioner',
    workers: WORKERS,
    sources: [objectsOf(claims), changesOf(nodes, () => []), changesOf(classes, () => [])],
    reconciler: {
      async reconcile(key, c): Promise<Outcome> {
        const claim = claims.get(parseKeyText(key));
        if (claim === undefined || !isAsked(claim)) return DONE;
        const className = classOfClaim(claim);
        const found = classes.get({ namespace: '', name: className });
        if (found === undefined || found.provisioner !== LOCAL_PROVISIONER) return DONE;
        const nodeName = claim.metadata.annotations?.[StorageAnnotations.selectedNode];
        const node = nodeName === undefined ? undefined : nodes.get({ namespace: '', name: nodeName });
        const plan = planProvisioning({ claim, class: found, nodeName, node });
        const failed = (message: string): void =>
          events.event(
            claim,
            'Warning',
            'ProvisioningFailed',
            `failed to provision volume with StorageClass "${className}": ${message}`,
          );
        if (plan.do === 'refuse') {
          failed(plan.message);
          // The class may be made anew with what the claim needs.
          return { afterMs: RETRY_MS };
        }
        if (plan.do === 'reschedule') {
          failed(plan.message);
          await client.update(Kinds.persistentvolumeclaims, withoutNode(claim), c);
          return DONE;
        }
        const name = volumeNameOf(claim);
        try {
          await client.create(Kinds.persistentvolumes, plan.volume, c);
        } catch (e) {
          if (isKind(e, 'AlreadyExists')) return DONE;
          failed(messageOf(e));
          throw e;
        }
        events.event(claim, 'Normal', 'ProvisioningSucceeded', `Successfully provisioned volume ${name}`);
        return DONE;
      },
    },
  });
}

function withoutNode(claim: DeepReadonly<PersistentVolumeClaim>): DeepReadonly<PersistentVolumeClaim> {
  const { [StorageAnnotations.selectedNode]: _, ...annotations } = claim.metadata.annotations ?? {};
  return { ...claim, metadata: { ...claim.metadata, annotations } };
}
