/* Tables of Huffman codes for inflate.c: RFC 1951, 3.2.2 and 3.2.5. */
#include "inflate-codes.h"
#include <string.h>

static const uint16_t length_base[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
				       31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t length_extra[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const uint16_t distance_base[] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
					 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
static const uint8_t distance_extra[] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
					 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};

static unsigned reversed(unsigned code, unsigned bits)
{
	unsigned out = 0;
	for (; bits; bits--, code >>= 1)
		out = out << 1 | (code & 1);
	return out;
}

bool build_code(uint32_t *table, unsigned table_bits, const uint8_t *lengths, unsigned symbols, uint32_t (*symbol_entry)(unsigned))
{
	unsigned counts[CODE_BITS_MAX + 1] = {0}, next[CODE_BITS_MAX + 1], code = 0, used = 0;
	for (unsigned s = 0; s < symbols; s++)
		counts[lengths[s]]++;
	counts[0] = 0;
	int left = 1;
	for (unsigned n = 1; n <= CODE_BITS_MAX; n++) {
		left = left * 2 - (int)counts[n];
		if (left < 0)
			return false;
		code = (code + counts[n - 1]) << 1;
		next[n] = code;
		used += counts[n];
	}
	if (left > 0 && (used > 1 || (used == 1 && counts[1] != 1)))
		return false;
	unsigned link_bits = CODE_BITS_MAX - table_bits, end = 1u << table_bits;
	memset(table, 0, sizeof *table << table_bits);
	for (unsigned s = 0; s < symbols; s++) {
		unsigned n = lengths[s];
		if (!n)
			continue;
		unsigned r = reversed(next[n]++, n);
		uint32_t *at = table, entry = symbol_entry(s) | n;
		unsigned width = table_bits, step = n;
		if (n > table_bits) {
			uint32_t *link = table + (r & ((1u << table_bits) - 1));
			if (!*link) {
				*link = ENTRY(LINK, 0, end) | table_bits;
				memset(table + end, 0, sizeof *table << link_bits);
				end += 1u << link_bits;
			}
			at = table + (*link >> 16);
			r >>= table_bits;
			width = link_bits;
			step = n - table_bits;
			entry = symbol_entry(s) | step;
		}
		for (; r < 1u << width; r += 1u << step)
			at[r] = entry;
	}
	return true;
}

uint32_t literal_entry(unsigned s)
{
	if (s < 256)
		return ENTRY(LITERAL, 0, s);
	if (s == 256)
		return ENTRY(END, 0, 0);
	return s < 286 ? ENTRY(LENGTH, length_extra[s - 257], length_base[s - 257]) : ENTRY(NONE, 0, 0);
}

uint32_t distance_entry(unsigned s)
{
	return s < 30 ? ENTRY(LENGTH, distance_extra[s], distance_base[s]) : ENTRY(NONE, 0, 0);
}

uint32_t plain_entry(unsigned s)
{
	return ENTRY(LITERAL, 0, s);
}
