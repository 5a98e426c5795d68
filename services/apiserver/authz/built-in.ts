/**
 * The rules that hold without any RBAC object. Members of system:masters may do everything: that is how the default roles
 * themselves come to be, before anybody else may do anything.
 * Source: apiserver/pkg/authorization/authorizerfactory (NewPrivilegedGroups).
 */
import type { Attributes, Authorizer, Decision } from './authorizer.ts';

const ALLOWED: Decision = { isAllowed: true, reason: '' };
const NO_OPINION: Decision = { isAllowed: false, reason: '' };

export class Superusers implements Authorizer {
  authorize(a: Attributes): Decision {
    return a.user.groups.includes('system:masters') ? ALLOWED : NO_OPINION;
  }
}
