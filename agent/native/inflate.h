/* Decompression of gzip in pieces: inflate.c. */
#ifndef BERTH_INFLATE_H
#define BERTH_INFLATE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	INFLATE_WINDOW = 32 << 10,
	INFLATE_PIECE = 128 << 10,
	/* A match may be copied in whole words, and is up to 258 bytes long. */
	INFLATE_SLACK = 512,
	LITERAL_BITS = 11,
	DISTANCE_BITS = 8,
	CODE_BITS_MAX = 15,
	LITERALS = 288,
	DISTANCES = 32,
	/* The first level, and at most one second level for each symbol. */
	LITERAL_ENTRIES = (1 << LITERAL_BITS) + LITERALS * (1 << (CODE_BITS_MAX - LITERAL_BITS)),
	DISTANCE_ENTRIES = (1 << DISTANCE_BITS) + DISTANCES * (1 << (CODE_BITS_MAX - DISTANCE_BITS)),
};

struct inflate {
	const uint8_t *in, *end;
	uint64_t bits;
	unsigned count;
	/* Zero bytes given behind the end of the input, to be never really used. */
	unsigned beyond;
	enum { MEMBER, BLOCK, STORED, CODES, TRAILER, ENDED } phase;
	bool is_last;
	size_t stored, match, distance;
	/* Offsets in the window: of the next byte, and of the first that a match may refer to. */
	size_t out, oldest;
	/* What is wrong with the input; NULL while nothing is. */
	const char *damage;
	uint32_t literals[LITERAL_ENTRIES], distances[DISTANCE_ENTRIES];
	uint8_t window[INFLATE_WINDOW + INFLATE_PIECE + INFLATE_SLACK];
};

/* The input stays where it is until the end. */
void inflate_open(struct inflate *f, const void *input, size_t size);
/* The next bytes, at most INFLATE_PIECE, valid until the next call; 0 at the end, or when the input is damaged. */
size_t inflate_next(struct inflate *f, const char **data);

#endif
