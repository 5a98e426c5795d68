/* The uncompressed bytes of a layer, in pieces: layer-source.c. */
#ifndef BERTH_LAYER_SOURCE_H
#define BERTH_LAYER_SOURCE_H
#include <stddef.h>
#include <stdint.h>

struct layer_source;
/* A tar as it comes from a pipe or socket. */
struct layer_source *source_of_stream(int fd, int64_t bytes_max);
/* A stored blob, plain or gzip by its first bytes, hashed as it is read. More than `bytes_max` bytes are refused as a full disk. */
struct layer_source *source_of_blob(const char *path, int64_t bytes_max);
/* The next bytes, valid until the next call; 0 at the end. */
size_t source_next(struct layer_source *s, const char **data);
/* Hex digest of all bytes of a blob: 64 digits and a NUL. */
void source_digest(struct layer_source *s, char out[65]);

#endif
