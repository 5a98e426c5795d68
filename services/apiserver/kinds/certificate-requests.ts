/**
 * A certificate signing request says who made it, and nobody says so but the server: approvers rely on it.
 * Source: kubernetes pkg/registry/certificates/certificates/strategy.go PrepareForCreate.
 */
import type { CertificateSigningRequest, KubeObject } from '#lib/api';
import type { HookRequest, ResourceHooks } from '../hooks.ts';

export const certificateRequestHooks: ResourceHooks = {
  async beginCreate(draft: KubeObject, { user }: HookRequest): Promise<undefined> {
    const request = draft as CertificateSigningRequest;
    const { request: csr, signerName, usages, expirationSeconds } = request.spec;
    request.spec = {
      request: csr,
      signerName,
      ...(usages === undefined ? {} : { usages }),
      ...(expirationSeconds === undefined ? {} : { expirationSeconds }),
      username: user.name,
      ...(user.uid === undefined ? {} : { uid: user.uid }),
      groups: [...user.groups],
      ...(user.extra === undefined
        ? {}
        : { extra: Object.fromEntries(Object.entries(user.extra).map(([k, v]) => [k, [...v]])) }),
    };
    request.status = {};
    return undefined;
  },
};
