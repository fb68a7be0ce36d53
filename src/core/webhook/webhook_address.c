/*
 * webhook_address.c - to which addresses a webhook may be sent
 *
 * What is public is what IANA's registries of special-purpose addresses (IPv4: RFC 6890 and its
 * updates; IPv6: likewise) leave over.  Of IPv6 that is what is allocated at all, 2000::/3, without
 * the special parts of it; and of what embeds an address of IPv4, the translated ones whose own
 * address is public.
 */
#include "core/webhook/webhook_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

typedef struct Range4
{
	uint32_t first;
	int bits;
} Range4;

#define IP(a, b, c, d) \
	((uint32_t) (a) << 24 | (uint32_t) (b) << 16 | (uint32_t) (c) << 8 | (uint32_t) (d))

static const Range4 special4[] = {
	{IP(0, 0, 0, 0), 8},       /* this network: 0.0.0.0 is this machine */
	{IP(10, 0, 0, 0), 8},      /* private */
	{IP(100, 64, 0, 0), 10},   /* shared by a provider's customers */
	{IP(127, 0, 0, 0), 8},     /* loopback */
	{IP(169, 254, 0, 0), 16},  /* link-local: metadata of clouds */
	{IP(172, 16, 0, 0), 12},   /* private */
	{IP(192, 0, 0, 0), 24},    /* protocols */
	{IP(192, 0, 2, 0), 24},    /* documents */
	{IP(192, 88, 99, 0), 24},  /* relays of 6to4, given up */
	{IP(192, 168, 0, 0), 16},  /* private */
	{IP(198, 18, 0, 0), 15},   /* benchmarks */
	{IP(198, 51, 100, 0), 24}, /* documents */
	{IP(203, 0, 113, 0), 24},  /* documents */
	{IP(224, 0, 0, 0), 4},     /* multicast */
	{IP(240, 0, 0, 0), 4},     /* reserved, broadcast */
};

typedef struct Range6
{
	unsigned char first[8];
	int bits;
} Range6;

/* within 2000::/3 */
static const Range6 special6[] = {
	{{0x20, 0x01, 0x00}, 23},       /* protocols, Teredo */
	{{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documents */
	{{0x20, 0x02}, 16},             /* 6to4 */
	{{0x3f, 0xff, 0x00}, 20},       /* documents */
};

static bool
is_special4(uint32_t address)
{
	for (size_t i = 0; i < sizeof(special4) / sizeof(special4[0]); i++)
	{
		if ((address ^ special4[i].first) >> (32 - special4[i].bits) == 0)
			return true;
	}
	return false;
}

static bool
begins_with(const unsigned char *address, const unsigned char *first, int bits)
{
	int whole = bits / 8;
	int rest = bits % 8;

	return memcmp(address, first, (size_t) whole) == 0 &&
		   (rest == 0 || (address[whole] ^ first[whole]) >> (8 - rest) == 0);
}

static uint32_t
last_four(const unsigned char *address)
{
	return IP(address[12], address[13], address[14], address[15]);
}

static bool
is_public6(const unsigned char *a)
{
	/* ::ffff:0:0/96 is IPv4 itself; 64:ff9b::/96 is how it is reached from networks without it */
	static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	static const unsigned char translated[12] = {0, 0x64, 0xff, 0x9b};
	static const unsigned char allocated[1] = {0x20};

	if (begins_with(a, mapped, 96) || begins_with(a, translated, 96))
		return !is_special4(last_four(a));
	if (!begins_with(a, allocated, 3))
		return false;
	for (size_t i = 0; i < sizeof(special6) / sizeof(special6[0]); i++)
	{
		if (begins_with(a, special6[i].first, special6[i].bits))
			return false;
	}
	return true;
}

bool
pgw_address_is_loopback(const struct sockaddr *address, size_t len)
{
	if (address->sa_family == AF_INET && len >= sizeof(struct sockaddr_in))
		return ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr) >> 24 == 127;
	if (address->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6))
	{
		const struct in6_addr *a = &((const struct sockaddr_in6 *) address)->sin6_addr;

		return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
	}
	return false;
}

bool
pgw_address_is_public(const struct sockaddr *address, size_t len)
{
	if (address->sa_family == AF_INET && len >= sizeof(struct sockaddr_in))
		return !is_special4(ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr));
	if (address->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6))
		return is_public6(((const struct sockaddr_in6 *) address)->sin6_addr.s6_addr);
	return false;
}
