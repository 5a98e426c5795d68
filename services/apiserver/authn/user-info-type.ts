/** A user as expressions see it. Source: k8s.io/apiserver/pkg/cel/library, authentication/v1 UserInfo. */
import { listOf, mapOf, type ObjectType, objectType, STRING } from '#lib/cel';

export const USER_INFO_TYPE: ObjectType = objectType('kubernetes.UserInfo', {
  username: STRING,
  uid: STRING,
  groups: listOf(STRING),
  extra: mapOf(STRING, listOf(STRING)),
});
