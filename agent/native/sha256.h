/* SHA-256 (FIPS 180-4): sha256.c. */
#ifndef BERTH_SHA256_H
#define BERTH_SHA256_H
#include <stddef.h>
#include <stdint.h>

struct sha256 {
	uint32_t state[8];
	uint64_t size;
	uint8_t block[64];
};
void sha256_open(struct sha256 *h);
void sha256_add(struct sha256 *h, const void *data, size_t size);
/* 64 hex digits and a NUL. */
void sha256_hex(struct sha256 *h, char out[65]);

#endif
