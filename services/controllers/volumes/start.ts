/** The controllers of claims and volumes; their protection is beside this (storage-protection). */
import { Scope } from '#lib/base';
import type { Deps } from '../deps.ts';
import { startVolumeBinder } from './binder.ts';
import { startEphemeralVolumes } from './ephemeral.ts';
import { startVolumeExpansion } from './expansion.ts';
import { startLocalProvisioner } from './provisioner.ts';

export function startVolumeControllers(deps: Deps): AsyncDisposable {
  const scope = new Scope('volume controllers');
  scope.own(startVolumeBinder(deps));
  scope.own(startLocalProvisioner(deps));
  scope.own(startVolumeExpansion(deps));
  scope.own(startEphemeralVolumes(deps));
  return scope;
}
