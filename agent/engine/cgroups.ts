/** Where containers of the Docker API are counted and limited: never below the pods' parent. Each has `PARENT/ID`. */
export function engineCgroups(instance: string): string {
  return `/${instance}-docker`;
}
