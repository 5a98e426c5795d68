/*
 * Where a layer's tar comes from: a stream that the agent feeds, or the stored blob itself, which is then decompressed and hashed
 * here, beside the agent's event loop. The hash is of the uncompressed bytes, to be compared with the image config's diff id
 * (image-spec config.md).
 */
#include "helper.h"
#include "layer-source.h"
#include "inflate.h"
#include "sha256.h"
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 256 << 10 };

struct layer_source {
	enum { STREAM, PLAIN, GZIP } kind;
	int fd;
	char *buffer;
	struct inflate *inflate;
	struct sha256 hash;
	int64_t bytes, bytes_max;
};

struct layer_source *source_of_stream(int fd, int64_t bytes_max)
{
	struct layer_source *s = must_alloc(sizeof *s);
	s->kind = STREAM;
	s->fd = fd;
	s->bytes_max = bytes_max;
	s->buffer = must_alloc(PIECE);
	return s;
}

struct layer_source *source_of_blob(const char *path, int64_t bytes_max)
{
	struct layer_source *s = must_alloc(sizeof *s);
	struct stat info;
	s->bytes_max = bytes_max;
	s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (s->fd < 0 || fstat(s->fd, &info) < 0)
		fail("unpack: %s", path);
	/* The download has just been written: on its way to the disk. */
	sync_file_range(s->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	sha256_open(&s->hash);
	unsigned char head[2] = {0};
	if (pread(s->fd, head, 2, 0) < 0)
		fail("unpack: read %s", path);
	if (head[0] != 0x1f || head[1] != 0x8b) {
		s->kind = PLAIN;
		s->buffer = must_alloc(PIECE);
		return s;
	}
	s->kind = GZIP;
	/* Whole blobs do not change: nobody cuts the file short under the mapping. */
	void *input = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, s->fd, 0);
	if (input == MAP_FAILED)
		fail("unpack: map %s", path);
	madvise(input, (size_t)info.st_size, MADV_SEQUENTIAL);
	s->inflate = must_alloc(sizeof *s->inflate);
	inflate_open(s->inflate, input, (size_t)info.st_size);
	return s;
}

static size_t read_piece(struct layer_source *s, const char **data)
{
	ssize_t n;
	do
		n = read(s->fd, s->buffer, PIECE);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		fail("unpack: read");
	*data = s->buffer;
	return (size_t)n;
}

size_t source_next(struct layer_source *s, const char **data)
{
	size_t n = s->kind == GZIP ? inflate_next(s->inflate, data) : read_piece(s, data);
	if (s->inflate && s->inflate->damage)
		refuse(EPROTO, "unpack: the layer is damaged: gzip: %s", s->inflate->damage);
	s->bytes += (int64_t)n;
	if (s->bytes > s->bytes_max)
		refuse(ENOSPC, "unpack: No space left on device: the layer unpacks to more than the %lld bytes that are free",
		       (long long)s->bytes_max);
	if (s->kind != STREAM)
		sha256_add(&s->hash, *data, n);
	return n;
}

void source_digest(struct layer_source *s, char out[65])
{
	sha256_hex(&s->hash, out);
}
