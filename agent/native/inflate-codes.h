/*
 * Tables of Huffman codes: inflate-codes.c. Codes are looked up by LITERAL_BITS (DISTANCE_BITS) low bits of the input, longer ones in
 * a second table:
 *
 *   entry  bits 0..7 bits of the code (of a link: of the first table's index), 8..11 kind, 12..15 extra bits, 16.. value
 */
#ifndef BERTH_INFLATE_CODES_H
#define BERTH_INFLATE_CODES_H
#include "inflate.h"

enum { NONE = 0, LITERAL = 1, LENGTH = 2, END = 3, LINK = 4 };
#define ENTRY(kind, extra, value) ((uint32_t)(kind) << 8 | (uint32_t)(extra) << 12 | (uint32_t)(value) << 16)
#define KIND(e) ((e) >> 8 & 15)
#define EXTRA(e) ((e) >> 12 & 15)

/*
 * Tables of a canonical code. False when too many codes are given, or too few: only a code of a single symbol may leave
 * values unused, as in zlib. `symbol_entry` makes the entry of a symbol, without its bits.
 */
bool build_code(uint32_t *table, unsigned table_bits, const uint8_t *lengths, unsigned symbols, uint32_t (*symbol_entry)(unsigned));
uint32_t literal_entry(unsigned symbol);
uint32_t distance_entry(unsigned symbol);
/* Of the code of code lengths. */
uint32_t plain_entry(unsigned symbol);

#endif
