/** Where containers of the Docker API are counted and limited: never below the pods' parent. Each has `PARENT/ID`. */
export function engineCgroups(instance: string): string {
  return `/${instance}-docker`;
}

/** Of the steps of its builds. */
export function buildCgroups(instance: string): string {
  return `${engineCgroups(instance)}-build`;
}
