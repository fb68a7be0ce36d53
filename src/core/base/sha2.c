/*
 * sha2.c - SHA-256, SHA-512 (FIPS 180-4) and HMAC over them (RFC 2104)
 *
 * One code for both: they differ in the word's width, the number of rounds and the rotations.  The
 * constants are the first bits of the fractional parts of the cube roots of the first 80 primes,
 * and of the square roots of the first 8; SHA-256 takes the upper half of each.
 */
#include "core/base/sha2.h"

#include <string.h>

static const uint64_t round_constants[80] = {
	UINT64_C(0x428a2f98d728ae22), UINT64_C(0x7137449123ef65cd), UINT64_C(0xb5c0fbcfec4d3b2f),
	UINT64_C(0xe9b5dba58189dbbc), UINT64_C(0x3956c25bf348b538), UINT64_C(0x59f111f1b605d019),
	UINT64_C(0x923f82a4af194f9b), UINT64_C(0xab1c5ed5da6d8118), UINT64_C(0xd807aa98a3030242),
	UINT64_C(0x12835b0145706fbe), UINT64_C(0x243185be4ee4b28c), UINT64_C(0x550c7dc3d5ffb4e2),
	UINT64_C(0x72be5d74f27b896f), UINT64_C(0x80deb1fe3b1696b1), UINT64_C(0x9bdc06a725c71235),
	UINT64_C(0xc19bf174cf692694), UINT64_C(0xe49b69c19ef14ad2), UINT64_C(0xefbe4786384f25e3),
	UINT64_C(0x0fc19dc68b8cd5b5), UINT64_C(0x240ca1cc77ac9c65), UINT64_C(0x2de92c6f592b0275),
	UINT64_C(0x4a7484aa6ea6e483), UINT64_C(0x5cb0a9dcbd41fbd4), UINT64_C(0x76f988da831153b5),
	UINT64_C(0x983e5152ee66dfab), UINT64_C(0xa831c66d2db43210), UINT64_C(0xb00327c898fb213f),
	UINT64_C(0xbf597fc7beef0ee4), UINT64_C(0xc6e00bf33da88fc2), UINT64_C(0xd5a79147930aa725),
	UINT64_C(0x06ca6351e003826f), UINT64_C(0x142929670a0e6e70), UINT64_C(0x27b70a8546d22ffc),
	UINT64_C(0x2e1b21385c26c926), UINT64_C(0x4d2c6dfc5ac42aed), UINT64_C(0x53380d139d95b3df),
	UINT64_C(0x650a73548baf63de), UINT64_C(0x766a0abb3c77b2a8), UINT64_C(0x81c2c92e47edaee6),
	UINT64_C(0x92722c851482353b), UINT64_C(0xa2bfe8a14cf10364), UINT64_C(0xa81a664bbc423001),
	UINT64_C(0xc24b8b70d0f89791), UINT64_C(0xc76c51a30654be30), UINT64_C(0xd192e819d6ef5218),
	UINT64_C(0xd69906245565a910), UINT64_C(0xf40e35855771202a), UINT64_C(0x106aa07032bbd1b8),
	UINT64_C(0x19a4c116b8d2d0c8), UINT64_C(0x1e376c085141ab53), UINT64_C(0x2748774cdf8eeb99),
	UINT64_C(0x34b0bcb5e19b48a8), UINT64_C(0x391c0cb3c5c95a63), UINT64_C(0x4ed8aa4ae3418acb),
	UINT64_C(0x5b9cca4f7763e373), UINT64_C(0x682e6ff3d6b2b8a3), UINT64_C(0x748f82ee5defb2fc),
	UINT64_C(0x78a5636f43172f60), UINT64_C(0x84c87814a1f0ab72), UINT64_C(0x8cc702081a6439ec),
	UINT64_C(0x90befffa23631e28), UINT64_C(0xa4506cebde82bde9), UINT64_C(0xbef9a3f7b2c67915),
	UINT64_C(0xc67178f2e372532b), UINT64_C(0xca273eceea26619c), UINT64_C(0xd186b8c721c0c207),
	UINT64_C(0xeada7dd6cde0eb1e), UINT64_C(0xf57d4f7fee6ed178), UINT64_C(0x06f067aa72176fba),
	UINT64_C(0x0a637dc5a2c898a6), UINT64_C(0x113f9804bef90dae), UINT64_C(0x1b710b35131c471b),
	UINT64_C(0x28db77f523047d84), UINT64_C(0x32caab7b40c72493), UINT64_C(0x3c9ebe0a15c9bebc),
	UINT64_C(0x431d67c49c100d4c), UINT64_C(0x4cc5d4becb3e42b6), UINT64_C(0x597f299cfc657e2a),
	UINT64_C(0x5fcb6fab3ad6faec), UINT64_C(0x6c44198c4a475817),
};

static const uint64_t first_state[8] = {
	UINT64_C(0x6a09e667f3bcc908), UINT64_C(0xbb67ae8584caa73b), UINT64_C(0x3c6ef372fe94f82b),
	UINT64_C(0xa54ff53a5f1d36f1), UINT64_C(0x510e527fade682d1), UINT64_C(0x9b05688c2b3e6c1f),
	UINT64_C(0x1f83d9abfb41bd6b), UINT64_C(0x5be0cd19137e2179),
};

typedef struct Shape
{
	size_t word; /* bytes; a block has 16 of them */
	int rounds;
	size_t digest;
	/* rotations of the four functions; the third of the small ones is a shift */
	int big0[3];
	int big1[3];
	int small0[3];
	int small1[3];
} Shape;

static const Shape shapes[] = {
	[PGW_SHA256] = {4, 64, 32, {2, 13, 22}, {6, 11, 25}, {7, 18, 3}, {17, 19, 10}},
	[PGW_SHA512] = {8, 80, 64, {28, 34, 39}, {14, 18, 41}, {1, 8, 7}, {19, 61, 6}},
};

static uint64_t
mask(const Shape *shape)
{
	return shape->word == 8 ? UINT64_MAX : UINT32_MAX;
}

static uint64_t
rotate(const Shape *shape, uint64_t x, int n)
{
	uint32_t half = (uint32_t) x;

	return shape->word == 8 ? x >> n | x << (64 - n) : (half >> n | half << (32 - n));
}

static uint64_t
big(const Shape *shape, uint64_t x, const int *by)
{
	return rotate(shape, x, by[0]) ^ rotate(shape, x, by[1]) ^ rotate(shape, x, by[2]);
}

static uint64_t
small(const Shape *shape, uint64_t x, const int *by)
{
	return rotate(shape, x, by[0]) ^ rotate(shape, x, by[1]) ^ (x >> by[2]);
}

static uint64_t
read_word(const unsigned char *at, size_t word)
{
	uint64_t x = 0;

	for (size_t i = 0; i < word; i++)
		x = x << 8 | at[i];
	return x;
}

static void
write_word(unsigned char *at, size_t word, uint64_t x)
{
	for (size_t i = word; i-- > 0; x >>= 8)
		at[i] = (unsigned char) x;
}

/* Compiled for each shape by itself: its rotations are constants there, a third of the work. */
static inline __attribute__((always_inline)) void
take_block_of(PgwSha2 *s, const Shape *shape)
{
	uint64_t m = mask(shape);
	uint64_t w[80];
	uint64_t v[8];

	for (size_t t = 0; t < 16; t++)
		w[t] = read_word(s->block + t * shape->word, shape->word);
	for (int t = 16; t < shape->rounds; t++)
		w[t] = (small(shape, w[t - 2], shape->small1) + w[t - 7] +
				small(shape, w[t - 15], shape->small0) + w[t - 16]) &
			   m;
	memcpy(v, s->state, sizeof(v));
	for (int t = 0; t < shape->rounds; t += 8)
	{
		/* each value moves on by one place a round, and is where it was after eight */
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++)
		{
			uint64_t k = shape->word == 8 ? round_constants[t + i] : round_constants[t + i] >> 32;
			uint64_t a = v[(8 - i) % 8], b = v[(9 - i) % 8], c = v[(10 - i) % 8];
			uint64_t e = v[(12 - i) % 8], f = v[(13 - i) % 8], g = v[(14 - i) % 8];
			uint64_t choice = (e & f) ^ (~e & g);
			uint64_t majority = (a & b) ^ (a & c) ^ (b & c);
			uint64_t one = v[(15 - i) % 8] + big(shape, e, shape->big1) + choice + k + w[t + i];

			v[(11 - i) % 8] = (v[(11 - i) % 8] + one) & m;
			v[(15 - i) % 8] = (one + big(shape, a, shape->big0) + majority) & m;
		}
	}
	for (int i = 0; i < 8; i++)
		s->state[i] = (s->state[i] + v[i]) & m;
	explicit_bzero(w, sizeof(w));
	explicit_bzero(v, sizeof(v));
}

static void
take_block(PgwSha2 *s)
{
	if (s->kind == PGW_SHA512)
		take_block_of(s, &shapes[PGW_SHA512]);
	else
		take_block_of(s, &shapes[PGW_SHA256]);
}

void
pgw_sha2_begin(PgwSha2 *s, PgwSha2Kind kind)
{
	memset(s, 0, sizeof(*s));
	s->kind = kind;
	for (int i = 0; i < 8; i++)
		s->state[i] = kind == PGW_SHA512 ? first_state[i] : first_state[i] >> 32;
}

void
pgw_sha2_add(PgwSha2 *s, const void *data, size_t len)
{
	const unsigned char *from = data;
	size_t block = 16 * shapes[s->kind].word;

	while (len > 0)
	{
		size_t at = (size_t) (s->bytes % block);
		size_t n = len < block - at ? len : block - at;

		memcpy(s->block + at, from, n);
		s->bytes += n;
		from += n;
		len -= n;
		if (at + n == block)
			take_block(s);
	}
}

/* A bit, zeros, and the length in bits at the end of the last block. */
size_t
pgw_sha2_end(PgwSha2 *s, unsigned char digest[PGW_SHA2_MAX])
{
	const Shape *shape = &shapes[s->kind];
	size_t block = 16 * shape->word;
	uint64_t bits = s->bytes * 8;
	size_t at = (size_t) (s->bytes % block);

	s->block[at++] = 0x80;
	if (at > block - 2 * shape->word)
	{
		memset(s->block + at, 0, block - at);
		take_block(s);
		at = 0;
	}
	memset(s->block + at, 0, block - at);
	write_word(s->block + block - 8, 8, bits);
	take_block(s);
	for (size_t i = 0; i < shape->digest / shape->word; i++)
		write_word(digest + i * shape->word, shape->word, s->state[i]);
	explicit_bzero(s, sizeof(*s));
	return shape->digest;
}

size_t
pgw_sha2(PgwSha2Kind kind, const void *data, size_t len, unsigned char digest[PGW_SHA2_MAX])
{
	PgwSha2 s;

	pgw_sha2_begin(&s, kind);
	pgw_sha2_add(&s, data, len);
	return pgw_sha2_end(&s, digest);
}

size_t
pgw_hmac(PgwSha2Kind kind, const void *key, size_t key_len, const void *data, size_t len,
		 unsigned char mac[PGW_SHA2_MAX])
{
	size_t block = 16 * shapes[kind].word;
	unsigned char pad[128] = {0};
	PgwSha2 s;
	size_t n;

	if (key_len > block)
		(void) pgw_sha2(kind, key, key_len, pad);
	else if (key_len > 0)
		memcpy(pad, key, key_len);
	for (size_t i = 0; i < block; i++)
		pad[i] ^= 0x36;
	pgw_sha2_begin(&s, kind);
	pgw_sha2_add(&s, pad, block);
	pgw_sha2_add(&s, data, len);
	n = pgw_sha2_end(&s, mac);
	for (size_t i = 0; i < block; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	pgw_sha2_begin(&s, kind);
	pgw_sha2_add(&s, pad, block);
	pgw_sha2_add(&s, mac, n);
	explicit_bzero(pad, sizeof(pad));
	return pgw_sha2_end(&s, mac);
}
