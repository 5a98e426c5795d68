/*
 * SHA-256, FIPS 180-4 section 6.2. On x86-64 by the processor's own instructions where it has them (Intel SHA Extensions), else
 * with AVX2, where two blocks' schedules are made at once.
 */
#include "sha256.h"
#include <stdbool.h>
#include <string.h>
#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#endif

static const uint32_t K[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
	0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
	0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
	0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))
#define CHOOSE(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define MAJORITY(x, y, z) (((x) & (y)) | ((z) & ((x) | (y))))
#define BIG0(x) (ROTATE(x, 2) ^ ROTATE(x, 13) ^ ROTATE(x, 22))
#define BIG1(x) (ROTATE(x, 6) ^ ROTATE(x, 11) ^ ROTATE(x, 25))
#define SMALL0(x) (ROTATE(x, 7) ^ ROTATE(x, 18) ^ (x) >> 3)
#define SMALL1(x) (ROTATE(x, 17) ^ ROTATE(x, 19) ^ (x) >> 10)
#define ROUND(a, b, c, d, e, f, g, h, wk)                                                                                      \
	do {                                                                                                                   \
		uint32_t t = (h) + BIG1(e) + CHOOSE(e, f, g) + (wk);                                                           \
		(d) += t;                                                                                                      \
		(h) = t + BIG0(a) + MAJORITY(a, b, c);                                                                         \
	} while (0)

#define INLINE static inline __attribute__((always_inline))

/* The 64 rounds; `wk` holds the words of the schedule with their constants added, four of each `stride`. */
INLINE void take_rounds(uint32_t s[8], const uint32_t *wk, size_t stride)
{
	uint32_t a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
#pragma GCC unroll 8
	for (int i = 0; i < 8; i++, wk += 2 * stride) {
		ROUND(a, b, c, d, e, f, g, h, wk[0]);
		ROUND(h, a, b, c, d, e, f, g, wk[1]);
		ROUND(g, h, a, b, c, d, e, f, wk[2]);
		ROUND(f, g, h, a, b, c, d, e, wk[3]);
		ROUND(e, f, g, h, a, b, c, d, wk[stride]);
		ROUND(d, e, f, g, h, a, b, c, wk[stride + 1]);
		ROUND(c, d, e, f, g, h, a, b, wk[stride + 2]);
		ROUND(b, c, d, e, f, g, h, a, wk[stride + 3]);
	}
	s[0] += a, s[1] += b, s[2] += c, s[3] += d, s[4] += e, s[5] += f, s[6] += g, s[7] += h;
}

static uint32_t get_word(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void take_block(uint32_t s[8], const uint8_t *p)
{
	uint32_t w[64];
	for (int i = 0; i < 16; i++)
		w[i] = get_word(p + i * 4);
	for (int i = 16; i < 64; i++)
		w[i] = w[i - 16] + SMALL0(w[i - 15]) + w[i - 7] + SMALL1(w[i - 2]);
	for (int i = 0; i < 64; i++)
		w[i] += K[i];
	take_rounds(s, w, 4);
}

#ifdef __x86_64__
/* Four words of the schedule of one block, and the same four of the block behind it. */
typedef uint32_t words __attribute__((vector_size(32)));

/*
 * Two blocks at a time: their schedules are made side by side in vectors, since only the last term of a word depends on the
 * words just made: of four, the second two on the first two.
 */
static __attribute__((target("avx2,bmi,bmi2"))) void take_pairs(uint32_t s[8], const uint8_t *p, size_t pairs)
{
	static const words next = {1, 2, 3, 8, 5, 6, 7, 12}, low = {2, 3, 2, 3, 6, 7, 6, 7};
	static const words first = {~0u, ~0u, 0, 0, ~0u, ~0u, 0, 0};
	for (; pairs; pairs--, p += 128) {
		words w[4], wk[16];
		for (int i = 0; i < 4; i++)
			for (int j = 0; j < 4; j++) {
				w[i][j] = get_word(p + i * 16 + j * 4);
				w[i][j + 4] = get_word(p + 64 + i * 16 + j * 4);
			}
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++) {
			const uint32_t *k = K + i * 4;
			wk[i] = w[i % 4] + (words){k[0], k[1], k[2], k[3], k[0], k[1], k[2], k[3]};
			words before = __builtin_shuffle(w[i % 4], w[(i + 1) % 4], next);
			words middle = __builtin_shuffle(w[(i + 2) % 4], w[(i + 3) % 4], next);
			words made = w[i % 4] + SMALL0(before) + middle, last = __builtin_shuffle(w[(i + 3) % 4], low);
			made += SMALL1(last) & first;
			last = __builtin_shuffle(made, (words){0, 1, 0, 1, 4, 5, 4, 5});
			w[i % 4] = made + (SMALL1(last) & ~first);
		}
		take_rounds(s, (const uint32_t *)wk, 8);
		take_rounds(s, (const uint32_t *)wk + 4, 8);
	}
}
#endif

#ifdef __x86_64__
/* CPUID leaf 7, EBX bit 29; the shuffles beside them are SSSE3 and SSE4.1, which every such processor has. */
static bool has_sha(void)
{
	static int known;
	unsigned a, b = 0, c, d;
	if (!known)
		known = __get_cpuid_count(7, 0, &a, &b, &c, &d) && b >> 29 & 1 ? 1 : -1;
	return known > 0;
}

/* The instructions hold the state as {f e b a} and {h g d c}, lowest word first, and do two rounds each. */
static __attribute__((target("sha,sse4.1"))) void take_by_instructions(uint32_t s[8], const uint8_t *p, size_t blocks)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	__m128i badc = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)s), 0xb1);
	__m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(s + 4)), 0x1b);
	__m128i abef = _mm_alignr_epi8(badc, hgfe, 8), cdgh = _mm_blend_epi16(hgfe, badc, 0xf0);
	for (; blocks; blocks--, p += 64) {
		__m128i w[4], abef_before = abef, cdgh_before = cdgh;
		for (int i = 0; i < 4; i++)
			w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + i * 16)), swap);
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++) {
			__m128i wk = _mm_add_epi32(w[i % 4], _mm_loadu_si128((const __m128i *)(K + i * 4)));
			cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
			abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0e));
			/* The words of four groups later; those of the last four groups are not used. */
			__m128i middle = _mm_alignr_epi8(w[(i + 3) % 4], w[(i + 2) % 4], 4);
			__m128i made = _mm_add_epi32(_mm_sha256msg1_epu32(w[i % 4], w[(i + 1) % 4]), middle);
			w[i % 4] = _mm_sha256msg2_epu32(made, w[(i + 3) % 4]);
		}
		abef = _mm_add_epi32(abef, abef_before);
		cdgh = _mm_add_epi32(cdgh, cdgh_before);
	}
	__m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
	_mm_storeu_si128((__m128i *)s, _mm_blend_epi16(feba, dchg, 0xf0));
	_mm_storeu_si128((__m128i *)(s + 4), _mm_alignr_epi8(dchg, feba, 8));
}
#endif

static void take_blocks(uint32_t s[8], const uint8_t *p, size_t blocks)
{
#ifdef __x86_64__
	if (has_sha()) {
		take_by_instructions(s, p, blocks);
		return;
	}
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) {
		take_pairs(s, p, blocks / 2);
		p += blocks / 2 * 128;
		blocks %= 2;
	}
#endif
	for (; blocks; blocks--, p += 64)
		take_block(s, p);
}

void sha256_open(struct sha256 *h)
{
	*h = (struct sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void sha256_add(struct sha256 *h, const void *data, size_t size)
{
	const uint8_t *p = data;
	size_t held = h->size % 64;
	h->size += size;
	if (held) {
		size_t n = size < 64 - held ? size : 64 - held;
		memcpy(h->block + held, p, n);
		p += n;
		size -= n;
		if (held + n < 64)
			return;
		take_blocks(h->state, h->block, 1);
	}
	take_blocks(h->state, p, size / 64);
	memcpy(h->block, p + size / 64 * 64, size % 64);
}

void sha256_hex(struct sha256 *h, char out[65])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t end[72] = {0x80};
	uint64_t bits = h->size * 8;
	size_t pad = (119 - h->size % 64) % 64 + 1;
	for (int i = 0; i < 8; i++)
		end[pad + (size_t)i] = (uint8_t)(bits >> (56 - 8 * i));
	sha256_add(h, end, pad + 8);
	for (int i = 0; i < 64; i++)
		out[i] = digits[h->state[i / 8] >> (28 - i % 8 * 4) & 15];
	out[64] = 0;
}
