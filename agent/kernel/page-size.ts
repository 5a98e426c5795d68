/** Names of huge page sizes: the kernel's cgroup files say 2MB, the API says hugepages-2Mi. Pure. */

/** Source: kernel mm/hugetlb_cgroup.c (mem_fmt). */
export function pageSizeName(bytes: number): string {
  if (bytes >= 1 << 30) return `${bytes / (1 << 30)}GB`;
  return bytes >= 1 << 20 ? `${bytes / (1 << 20)}MB` : `${bytes / 1024}KB`;
}

/** The resource of a page size, in the form of the API's quantities. */
export function hugePagesResource(bytes: number): string {
  if (bytes >= 1 << 30) return `hugepages-${bytes / (1 << 30)}Gi`;
  return bytes >= 1 << 20 ? `hugepages-${bytes / (1 << 20)}Mi` : `hugepages-${bytes / 1024}Ki`;
}
