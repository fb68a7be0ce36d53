/*
 * trusted_certificates.c - files of trusted certificates: are they still what open connections and
 * libcurl's memory were made with?
 *
 * libcurl reads such a file once and trusts what it has read for a day, and a connection that
 * stands is asked for no certificate again.  So the file is looked at before it is used, at most
 * once a second, and after a change neither the memory nor an older connection is used any more.
 *
 * Owns: what is known of the files, by path; the system's own, which libcurl was built with, have
 * no path here.
 * Invariant: from the moment at which a change is noticed, a request is only sent over a connection
 * whose certificate was checked with the file as it is since then.
 */
#include "http/http_internal.h"

#include <stdlib.h>
#include <sys/stat.h>

#define MAX_WATCHED 64
#define LOOK_EVERY_MS 1000

/* Same file, same content, as far as can be told from outside. */
typedef struct Seen
{
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified;
	struct timespec changed;
} Seen;

typedef struct Watched
{
	char *path; /* NULL: the system's */
	bool used;
	Seen seen[2];       /* the file; of the system's also the folder */
	int64_t looked_at;  /* in milliseconds, monotonic */
	int64_t changed_at; /* 0: not since we know it */
} Watched;

static Watched watched[MAX_WATCHED];
static int next_victim = 0;
static bool forgotten = false; /* there were more than that */

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* All zero when it is not there. */
static void
look(const char *path, Seen *seen)
{
	struct stat st;

	memset(seen, 0, sizeof(*seen));
	if (path == NULL || stat(path, &st) != 0)
		return;
	seen->device = st.st_dev;
	seen->inode = st.st_ino;
	seen->size = st.st_size;
	seen->modified = st.st_mtim;
	seen->changed = st.st_ctim;
}

static void
look_at(const Watched *w, Seen seen[2])
{
	memset(seen, 0, 2 * sizeof(Seen));
	if (w->path != NULL)
		look(w->path, &seen[0]);
	else
	{
		const curl_version_info_data *built = curl_version_info(CURLVERSION_NOW);

		look(built->cainfo, &seen[0]);
		look(built->capath, &seen[1]);
	}
}

static Watched *
find(const char *path, bool *fresh)
{
	Watched *w = NULL;

	*fresh = false;
	for (int i = 0; i < MAX_WATCHED; i++)
	{
		if (!watched[i].used)
		{
			if (w == NULL)
				w = &watched[i];
		}
		else if (path == NULL ? watched[i].path == NULL
							  : watched[i].path != NULL && strcmp(watched[i].path, path) == 0)
			return &watched[i];
	}
	if (w == NULL)
	{
		w = &watched[next_victim];
		next_victim = (next_victim + 1) % MAX_WATCHED;
		forgotten = true;
		free(w->path);
	}
	memset(w, 0, sizeof(*w));
	if (path != NULL && (w->path = strdup(path)) == NULL)
		return NULL;
	w->used = true;
	*fresh = true;
	return w;
}

long
pgw_http_trusted_for_s(const char *ca_file)
{
	int64_t now = now_ms();
	Seen seen[2];
	bool fresh;
	Watched *w = find(ca_file, &fresh);

	if (w == NULL)
		return 0; /* out of memory: as if it had changed just now */
	if (fresh || now - w->looked_at >= LOOK_EVERY_MS)
	{
		look_at(w, seen);
		/* one that was forgotten may have changed meanwhile */
		if (fresh ? forgotten : memcmp(seen, w->seen, sizeof(seen)) != 0)
			w->changed_at = now;
		memcpy(w->seen, seen, sizeof(seen));
		w->looked_at = now;
	}
	return w->changed_at == 0 ? -1 : (long) ((now - w->changed_at) / 1000);
}
