/*
 * wiped_memory.c - the memory of bank calls: an arena for request bodies, and libcurl's allocator
 *
 * Owns: the slabs of the arena (mapped once, never unmapped, out of core dumps and locked where
 * permitted), the functions that libcurl allocates with, and the environment that it finds.
 * Invariant: nothing that may have held a card number or a key is given back without being wiped.
 */
#include <stdlib.h>

#include "core/base/mutant.h"
#include "http/http_internal.h"

#define MAX_SLABS 256    /* 32 MB of bodies in flight at most */
#define STACK_USED 16384 /* by libcurl, below our own frames */

/* A mapping of the body arena, never unmapped. */
typedef struct Slab
{
	char *base;
	uint64_t used; /* bit i: chunk i is taken */
} Slab;

static Slab slabs[MAX_SLABS];
static int nslabs = 0;

/*
 * libcurl's memory functions.  It copies request bodies and headers into
 * buffers that it frees without wiping.
 */
static void
wiping_free(void *p)
{
	if (p == NULL)
		return;
	explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

static void *
wiping_realloc(void *p, size_t size)
{
	void *fresh;
	size_t old;

	if (p == NULL)
		return malloc(size);
	old = malloc_usable_size(p);
	if (size != 0 && size <= old && size >= old / 2)
		return p;
	fresh = malloc(size);
	if (fresh == NULL)
		return NULL;
	memcpy(fresh, p, old < size ? old : size);
	wiping_free(p);
	return fresh;
}

static void *
plain_malloc(size_t size)
{
	return malloc(size);
}

static void *
plain_calloc(size_t n, size_t size)
{
	return calloc(n, size);
}

static char *
plain_strdup(const char *s)
{
	size_t len = strlen(s) + 1;
	char *copy = malloc(len);

	if (copy != NULL)
		memcpy(copy, s, len);
	return copy;
}

/* Chunks that hold len bytes; an empty body takes one, too. */
static int
chunks_for(size_t len)
{
	return len == 0 ? 1 : (int) ((len + CHUNK_SIZE - 1) / CHUNK_SIZE);
}

static uint64_t
chunk_mask(int n)
{
	return n == SLAB_CHUNKS ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

bool
pgw_http_arena_add_slab(void)
{
	size_t size = (size_t) CHUNK_SIZE * SLAB_CHUNKS;
	void *base;

	if (nslabs == MAX_SLABS)
		return false;
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return false;

	/* Both are extra protection: go on without where it is not permitted. */
	(void) madvise(base, size, MADV_DONTDUMP);
	(void) mlock(base, size);

	slabs[nslabs].base = base;
	slabs[nslabs].used = 0;
	nslabs++;
	return true;
}

/* Contiguous, zeroed room for len bytes, or NULL. */
char *
pgw_http_arena_alloc(size_t len)
{
	int n;
	uint64_t mask;

	if (len > (size_t) CHUNK_SIZE * SLAB_CHUNKS)
		return NULL;
	n = chunks_for(len);
	mask = chunk_mask(n);

	for (int s = 0; s < nslabs || pgw_http_arena_add_slab(); s++)
	{
		for (int i = 0; i + n <= SLAB_CHUNKS; i++)
		{
			if ((slabs[s].used & (mask << i)) == 0)
			{
				slabs[s].used |= mask << i;
				return slabs[s].base + (size_t) i * CHUNK_SIZE;
			}
		}
	}
	return NULL;
}

void
pgw_http_arena_free(char *p, size_t len)
{
	explicit_bzero(p, len);
	for (int s = 0; s < nslabs; s++)
	{
		if (p >= slabs[s].base && p < slabs[s].base + (size_t) CHUNK_SIZE * SLAB_CHUNKS)
		{
			int i = (int) ((p - slabs[s].base) / CHUNK_SIZE);

			slabs[s].used &= ~(chunk_mask(chunks_for(len)) << i);
			return;
		}
	}
}

/*
 * libcurl takes addresses apart in buffers on the stack, where they stay until something else comes
 * to lie there.
 */
__attribute__((noinline)) void
pgw_http_wipe_stack(void)
{
	char used[STACK_USED];

	explicit_bzero(used, sizeof(used));
}

CURLcode
pgw_http_global_init(void)
{
	/*
	 * Exactly what is configured in SQL, whatever the server's environment says.  SSLKEYLOGFILE
	 * would write the secrets of each connection to a disk, the others would trust somebody else or
	 * load code.  (Proxies and .netrc are switched off by options.)  OPENSSL_CONF is not among
	 * them: the server itself has had it read before, when it asked OpenSSL for random numbers.
	 */
	static const char *const unwanted[] = {
		"SSLKEYLOGFILE",    "SSL_CERT_FILE",   "SSL_CERT_DIR",    "CURL_CA_BUNDLE",
		"CURL_SSL_BACKEND", "OPENSSL_MODULES", "OPENSSL_ENGINES", "http_proxy",
		"https_proxy",      "HTTPS_PROXY",     "all_proxy",       "ALL_PROXY",
		"no_proxy",         "NO_PROXY",        "CURL_HOME",       "NETRC"};

	for (size_t i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++)
	{
		if (!PGW_MUTATED(ENVIRONMENT))
			unsetenv(unwanted[i]);
	}
	return curl_global_init_mem(CURL_GLOBAL_DEFAULT, plain_malloc, wiping_free, wiping_realloc,
								plain_strdup, plain_calloc);
}
