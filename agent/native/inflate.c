/*
 * gzip (RFC 1952) and deflate (RFC 1951). The input is hostile: no byte is read outside it, none written outside the window, each
 * turn of a loop takes input or gives output, and a damaged input is told, not guessed at. CRC and length of the trailer are not
 * looked at: who calls compares a digest of all bytes.
 *
 * Output is made in pieces, each behind the 32 KiB that later matches may refer to.
 */
#include "inflate-codes.h"
#include <string.h>

void inflate_open(struct inflate *f, const void *input, size_t size)
{
	memset(f, 0, offsetof(struct inflate, literals));
	f->in = input;
	f->end = f->in + size;
	f->phase = MEMBER;
	f->out = INFLATE_WINDOW;
}

static size_t damaged(struct inflate *f, const char *why)
{
	f->damage = why;
	f->phase = ENDED;
	return 0;
}

/* At least 56 bits, the last of them perhaps from behind the end. */
static inline void refill(struct inflate *f)
{
	if (f->end - f->in >= 8) {
		uint64_t word;
		memcpy(&word, f->in, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		word = __builtin_bswap64(word);
#endif
		f->bits |= word << f->count;
		f->in += (63 - f->count) >> 3;
		f->count |= 56;
		return;
	}
	while (f->count < 56) {
		if (f->in < f->end)
			f->bits |= (uint64_t)*f->in++ << f->count;
		else
			f->beyond++;
		f->count += 8;
	}
}

static inline void drop(struct inflate *f, unsigned n)
{
	f->bits >>= n;
	f->count -= n;
}

static inline uint32_t take(struct inflate *f, unsigned n)
{
	uint32_t v = (uint32_t)(f->bits & ((1ULL << n) - 1));
	drop(f, n);
	return v;
}

/* Bits were used that are not there. */
static inline bool is_short(const struct inflate *f)
{
	return f->beyond * 8 > f->count;
}

/* The entry of the next code, whose bits are dropped; `table` has `bits` bits. */
static inline uint32_t decode(struct inflate *f, const uint32_t *table, unsigned bits)
{
	uint32_t e = table[f->bits & ((1u << bits) - 1)];
	if (KIND(e) == LINK) {
		drop(f, bits);
		e = table[(e >> 16) + (f->bits & ((1u << (CODE_BITS_MAX - bits)) - 1))];
	}
	drop(f, e & 0xff);
	return e;
}

static bool fixed_codes(struct inflate *f)
{
	uint8_t lengths[LITERALS + DISTANCES];
	for (int s = 0; s < LITERALS; s++)
		lengths[s] = s < 144 ? 8 : s < 256 ? 9 : s < 280 ? 7 : 8;
	memset(lengths + LITERALS, 5, DISTANCES);
	return build_code(f->literals, LITERAL_BITS, lengths, LITERALS, literal_entry) &&
	       build_code(f->distances, DISTANCE_BITS, lengths + LITERALS, DISTANCES, distance_entry);
}

static bool dynamic_codes(struct inflate *f)
{
	static const uint8_t order[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
	uint8_t lengths[LITERALS + DISTANCES] = {0}, code_lengths[19] = {0};
	refill(f);
	unsigned literals = take(f, 5) + 257, distances = take(f, 5) + 1, codes = take(f, 4) + 4;
	if (literals > 286 || distances > 30)
		return false;
	for (unsigned i = 0; i < codes; i++) {
		refill(f);
		code_lengths[order[i]] = (uint8_t)take(f, 3);
	}
	if (!build_code(f->distances, DISTANCE_BITS, code_lengths, 19, plain_entry))
		return false;
	for (unsigned i = 0; i < literals + distances;) {
		refill(f);
		uint32_t e = decode(f, f->distances, DISTANCE_BITS);
		unsigned symbol = e >> 16, times = 1, value = symbol;
		if (KIND(e) != LITERAL || is_short(f))
			return false;
		if (symbol == 16) {
			if (!i)
				return false;
			value = lengths[i - 1];
			times = 3 + take(f, 2);
		} else if (symbol > 16) {
			value = 0;
			times = symbol == 17 ? 3 + take(f, 3) : 11 + take(f, 7);
		}
		if (times > literals + distances - i)
			return false;
		memset(lengths + i, (int)value, times);
		i += times;
	}
	/* Without an end the block could have none. */
	return !is_short(f) && lengths[256] && build_code(f->literals, LITERAL_BITS, lengths, literals, literal_entry) &&
	       build_code(f->distances, DISTANCE_BITS, lengths + literals, distances, distance_entry);
}

/* Bytes on a byte's border, those in `bits` first. False when they are not there. */
static bool next_byte(struct inflate *f, uint8_t *out)
{
	if (f->count >= 8) {
		*out = (uint8_t)take(f, 8);
		return !is_short(f);
	}
	if (f->in >= f->end)
		return false;
	/* Left of a refill there may be bits of the byte that is taken now. */
	f->bits = 0;
	*out = *f->in++;
	return true;
}

static bool skip_text(struct inflate *f)
{
	uint8_t b;
	do
		if (!next_byte(f, &b))
			return false;
	while (b);
	return true;
}

/* The header of a member. What follows the first one and is none ends the input, as padding does. */
static void read_member(struct inflate *f, bool is_first)
{
	uint8_t h[10], low, high, b;
	for (int i = 0; i < 10; i++) {
		if (!next_byte(f, h + i) || (i == 0 && h[0] != 0x1f) || (i == 1 && h[1] != 0x8b) || (i == 2 && h[2] != 8)) {
			if (is_first || i > 2)
				damaged(f, "no gzip header");
			f->phase = ENDED;
			return;
		}
	}
	bool whole = true;
	if (h[3] & 4) {
		whole = next_byte(f, &low) && next_byte(f, &high);
		for (unsigned n = whole ? low | (unsigned)high << 8 : 0; whole && n; n--)
			whole = next_byte(f, &b);
	}
	if (whole && h[3] & 8)
		whole = skip_text(f);
	if (whole && h[3] & 16)
		whole = skip_text(f);
	if (whole && h[3] & 2)
		whole = next_byte(f, &low) && next_byte(f, &high);
	/* No match reaches back into the member before. */
	f->oldest = f->out;
	f->phase = BLOCK;
	if (!whole || h[3] & 0xe0)
		damaged(f, "bad gzip header");
}

static void read_block(struct inflate *f)
{
	refill(f);
	f->is_last = take(f, 1);
	unsigned type = take(f, 2);
	if (is_short(f)) {
		damaged(f, "cut short");
	} else if (type == 0) {
		uint8_t b[4] = {0};
		drop(f, f->count % 8);
		bool whole = next_byte(f, b) && next_byte(f, b + 1) && next_byte(f, b + 2) && next_byte(f, b + 3);
		f->stored = b[0] | (size_t)b[1] << 8;
		f->phase = STORED;
		if (!whole || f->stored != (~(b[2] | (size_t)b[3] << 8) & 0xffff))
			damaged(f, "bad stored block");
	} else if (type == 3 || !(type == 1 ? fixed_codes(f) : dynamic_codes(f))) {
		damaged(f, is_short(f) ? "cut short" : "bad block");
	} else {
		f->phase = CODES;
	}
}

static void end_block(struct inflate *f)
{
	f->phase = f->is_last ? TRAILER : BLOCK;
}

static void copy_stored(struct inflate *f, size_t limit)
{
	while (f->stored && f->out < limit) {
		if (f->count >= 8 || f->beyond) {
			if (!next_byte(f, f->window + f->out)) {
				damaged(f, "cut short");
				return;
			}
			f->out++;
			f->stored--;
			continue;
		}
		size_t n = limit - f->out, there = (size_t)(f->end - f->in);
		n = n < f->stored ? n : f->stored;
		if (!there) {
			damaged(f, "cut short");
			return;
		}
		n = n < there ? n : there;
		f->bits = 0;
		memcpy(f->window + f->out, f->in, n);
		f->in += n;
		f->out += n;
		f->stored -= n;
	}
	if (!f->stored)
		end_block(f);
}

/* What lies behind the piece is slack: whole words may be written over its end. */
static inline void copy_match(uint8_t *to, size_t distance, size_t size)
{
	const uint8_t *from = to - distance;
	uint8_t *end = to + size;
	if (distance >= 8) {
		do {
			memcpy(to, from, 8);
			to += 8;
			from += 8;
		} while (to < end);
	} else if (distance == 1) {
		memset(to, *from, size);
	} else {
		while (to < end)
			*to++ = *from++;
	}
}

/* One length and distance; the length's entry was decoded. False when it is damaged. */
static inline bool read_match(struct inflate *f, uint32_t e, size_t valid)
{
	f->match = (e >> 16) + take(f, EXTRA(e));
	refill(f);
	uint32_t d = decode(f, f->distances, DISTANCE_BITS);
	f->distance = (d >> 16) + take(f, EXTRA(d));
	return KIND(d) == LENGTH && f->distance <= valid;
}

static void copy_codes(struct inflate *f, size_t limit)
{
	for (;;) {
		if (f->match) {
			size_t n = f->match < limit - f->out ? f->match : limit - f->out;
			copy_match(f->window + f->out, f->distance, n);
			f->out += n;
			f->match -= n;
		}
		if (f->out >= limit)
			return;
		refill(f);
		uint32_t e = decode(f, f->literals, LITERAL_BITS);
		/* As long as there are literals: three of them use at most 45 bits. */
		for (int i = 0; i < 2 && KIND(e) == LITERAL && f->out + 1 < limit; i++) {
			f->window[f->out++] = (uint8_t)(e >> 16);
			e = decode(f, f->literals, LITERAL_BITS);
		}
		if (KIND(e) == LITERAL) {
			f->window[f->out++] = (uint8_t)(e >> 16);
		} else if (KIND(e) == LENGTH) {
			refill(f);
			if (!read_match(f, e, f->out - f->oldest)) {
				damaged(f, "bad distance");
				return;
			}
		} else if (KIND(e) == END && !is_short(f)) {
			end_block(f);
			return;
		} else {
			damaged(f, is_short(f) ? "cut short" : "bad code");
			return;
		}
		if (f->beyond && is_short(f)) {
			damaged(f, "cut short");
			return;
		}
	}
}

static void read_trailer(struct inflate *f)
{
	uint8_t b;
	drop(f, f->count % 8);
	for (int i = 0; i < 8; i++)
		if (!next_byte(f, &b)) {
			damaged(f, "cut short");
			return;
		}
	read_member(f, false);
}

size_t inflate_next(struct inflate *f, const char **data)
{
	/* What later matches may refer to moves before the piece. */
	static const size_t start = INFLATE_WINDOW, limit = INFLATE_WINDOW + INFLATE_PIECE;
	if (f->out == limit) {
		memcpy(f->window, f->window + INFLATE_PIECE, INFLATE_WINDOW);
		f->out = start;
		f->oldest = f->oldest > INFLATE_PIECE ? f->oldest - INFLATE_PIECE : 0;
	}
	size_t before = f->out;
	while (f->out < limit && f->phase != ENDED) {
		if (f->phase == MEMBER)
			read_member(f, true);
		else if (f->phase == BLOCK)
			read_block(f);
		else if (f->phase == STORED)
			copy_stored(f, limit);
		else if (f->phase == CODES)
			copy_codes(f, limit);
		else
			read_trailer(f);
	}
	*data = (const char *)f->window + before;
	return f->damage ? 0 : f->out - before;
}
