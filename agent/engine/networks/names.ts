/** Names of what the engine has in the kernel, of the instance and of the network's or endpoint's id; links: 15 bytes. Pure. */
import { hexOf, sha256 } from '#lib/base';
import { networkNames } from '../../network/names.ts';

export interface EngineNames {
  /** All links of the instance's engine begin with it. */
  readonly prefix: string;
  readonly table: string;
  /** Begins the comments of rules in others' chains. */
  readonly comment: string;
}

const LINK_HEX = 7;

export function engineNames(instance: string): EngineNames {
  const { table, comment } = networkNames(instance);
  const id = hexOf(sha256(`berth-instance:${instance}`)).slice(0, 6);
  return { prefix: `d${id}`, table: `${table}-docker`, comment: `${comment}-docker` };
}

export function bridgeName(names: EngineNames, networkId: string): string {
  return `${names.prefix}b${networkId.slice(0, LINK_HEX)}`;
}

export function vethName(names: EngineNames, endpointId: string): string {
  return `${names.prefix}v${endpointId.slice(0, LINK_HEX)}`;
}

/** Ids of the predefined networks are always the same. */
export function predefinedId(instance: string, name: string): string {
  return hexOf(sha256(`berth-docker-network:${instance}:${name}`));
}
