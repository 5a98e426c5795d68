/*
 * What a runtime binds into a container of a user namespace. Its init is nobody on this host, and so passes none of our folders
 * (0700); and runc 1.1 does not know idmapped binds. So in the runtime's own mount namespace each source stands at STAGE/N, in the
 * order of the records in `config`, and the root at STAGE/root: where the namespace ends they are gone, and no other process of the
 * host ever saw them.
 */
#include "supervise.h"
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* As agent/runtime/bundle.ts has it. */
#define STAGE "/run/berth-stage"

static int open_source(const struct staged *s, int userns)
{
	int tree = s->idmapped ? idmapped_tree(s->path, true, userns) : cloned_tree(s->path, true);
	if (tree < 0 && s->idmapped && (errno == EINVAL || errno == EPERM))
		refuse(errno, "failed to set MOUNT_ATTR_IDMAP on %s: maybe the filesystem used doesn't support idmap mounts on this kernel?", s->path);
	if (tree < 0)
		fail("stage: %s", s->path);
	if ((s->read_only && !protect_tree(tree, false)) || (s->recursive_read_only && !protect_tree(tree, true)))
		fail("stage: read-only %s", s->path);
	return tree;
}

static void attach(int tree, const char *target)
{
	struct stat s;
	if (fstat(tree, &s) < 0)
		fail("stage: %s", target);
	if (S_ISDIR(s.st_mode)) {
		/* A device node in an image or a claim would be the node's device, where all of them are allowed (privileged). */
		if (!forbid_devices(tree, false))
			fail("stage: nodev %s", target);
		if (mkdir(target, 0755) < 0)
			fail("stage: %s", target);
	} else {
		int fd = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd < 0)
			fail("stage: %s", target);
		close(fd);
	}
	if (attach_tree(tree, target) < 0)
		fail("stage: %s", target);
	close(tree);
}

void stage_mounts(const struct config *c)
{
	char target[64];
	int trees[STAGED_MAX], userns = open(c->user_namespace, O_RDONLY | O_CLOEXEC);
	if (userns < 0)
		fail("stage: %s", c->user_namespace);
	if (!c->private_cgroups && unshare(CLONE_NEWNS) < 0)
		fail("stage: unshare");
	/* What comes to be mounted on the host still shows below the sources; nothing of ours shows there. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		fail("stage: slave");
	for (int i = 0; i < c->staged_count; i++)
		trees[i] = open_source(&c->staged[i], userns);
	int root = cloned_tree(c->root, true);
	if (root < 0)
		fail("stage: %s", c->root);
	/* STAGE/root also on the host, empty: runc's exec begins in what the bundle calls its root. */
	if ((mkdir(STAGE, 0755) < 0 && errno != EEXIST) || (mkdir(STAGE "/root", 0755) < 0 && errno != EEXIST))
		fail("stage: %s", STAGE);
	if (mount("tmpfs", STAGE, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755") < 0)
		fail("stage: tmpfs");
	for (int i = 0; i < c->staged_count; i++) {
		snprintf(target, sizeof target, "%s/%d", STAGE, i);
		attach(trees[i], target);
	}
	attach(root, STAGE "/root");
	close(userns);
}
