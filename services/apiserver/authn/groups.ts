/** The groups that say whether a user is known at all. Source: apiserver/pkg/authentication/user/user.go. */
export const AUTHENTICATED = 'system:authenticated';
export const UNAUTHENTICATED = 'system:unauthenticated';
