/*
 * secrets.c - banks' keys, read from files into memory that is neither swapped nor dumped
 *
 * Owns the setting pgw.secrets_dir, and asks core/files/key_file_rules.c whose the files in it may
 * be, and what a key looks like.  The row in pgw.banks names a file without a path.  Symbolic links
 * are followed, as Kubernetes mounts secrets (bank -> ..data/bank, ..data -> a folder with a date),
 * as long as they end in the folder.  One mapping per secret, locked where the limits permit and
 * kept out of core dumps.
 *
 * Invariants: no error text holds a content or a path; what is opened lies in the folder, links
 * followed.
 */
#include "postgres.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "utils/guc.h"

#include "bank/secrets.h"

#define SECRET_SIZE (PGW_SECRET_MAX + 1)

/* What a mapping holds. */
struct PgwSecret
{
	char text[SECRET_SIZE]; /* of the file; named values: cut into names and values */
	PgwSecretValues values; /* where they are in it */
	int holders;
};

char *pgw_secrets_dir = NULL;

static bool
check_dir(char **newval, void **extra, GucSource source)
{
	if (is_absolute_path(*newval))
		return true;
	GUC_check_errdetail("The directory must be an absolute path, outside the data directory.");
	return false;
}

void
pgw_secrets_init(void)
{
	DefineCustomStringVariable(
		"pgw.secrets_dir", "Directory of the files that hold the banks' keys.",
		"Each file is named in pgw.banks.secret, and readable by the server's user only. Keep it outside the data directory; a changed file is taken up within seconds.",
		&pgw_secrets_dir, "/etc/pgw/secrets", PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_dir, NULL,
		NULL);
}

/* The file that it is, links followed: in the folder, or a fault. */
static PgwSecretFault
find_file(const char *name, char *path)
{
	char folder[PATH_MAX];
	char joined[PATH_MAX];
	size_t len;

	if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL ||
		snprintf(joined, sizeof(joined), "%s/%s", pgw_secrets_dir, name) >= (int) sizeof(joined))
		return PGW_SECRET_NO_NAME;
	if (realpath(pgw_secrets_dir, folder) == NULL || realpath(joined, path) == NULL)
		return errno == ENOENT || errno == ENOTDIR ? PGW_SECRET_NO_FILE : PGW_SECRET_CANNOT_OPEN;
	len = strlen(folder);
	if (strncmp(path, folder, len) != 0 || (len > 1 && path[len] != '/'))
		return PGW_SECRET_OUTSIDE;
	return PGW_SECRET_FINE;
}

static void
note_seen(const struct stat *st, PgwSecretSeen *seen)
{
	memset(seen, 0, sizeof(*seen));
	seen->device = st->st_dev;
	seen->inode = st->st_ino;
	seen->size = st->st_size;
	seen->modified = st->st_mtim;
	seen->changed = st->st_ctim;
}

/* Open it, if it is a file that may hold a key; -1: *fault. */
static int
open_secret(const char *name, PgwSecretSeen *seen, PgwSecretFault *fault)
{
	char path[PATH_MAX];
	struct stat st;
	int fd;

	memset(seen, 0, sizeof(*seen));
	*fault = find_file(name, path);
	if (*fault != PGW_SECRET_FINE)
		return -1;
	/*
	 * a FIFO must not stop the worker; the links have been followed, and a new one in their place
	 * is not
	 */
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
	{
		*fault = errno == ENOENT ? PGW_SECRET_NO_FILE : PGW_SECRET_CANNOT_OPEN;
		return -1;
	}
	if (fstat(fd, &st) != 0)
		*fault = PGW_SECRET_CANNOT_OPEN;
	else
	{
		note_seen(&st, seen);
		*fault = pgw_secret_check_file(S_ISREG(st.st_mode), st.st_uid == geteuid(), st.st_uid == 0,
									   st.st_mode & 0777);
	}
	if (*fault == PGW_SECRET_FINE)
		return fd;
	close(fd);
	return -1;
}

const char *
pgw_secret_problem(const char *name)
{
	PgwSecretSeen seen;
	PgwSecretFault fault;
	int fd = open_secret(name, &seen, &fault);

	if (fd >= 0)
		close(fd);
	return pgw_secret_fault_text(fault);
}

bool
pgw_secret_changed(const char *name, const PgwSecretSeen *seen)
{
	char path[PATH_MAX];
	PgwSecretSeen now;
	struct stat st;

	memset(&now, 0, sizeof(now));
	if (find_file(name, path) == PGW_SECRET_FINE && stat(path, &st) == 0)
		note_seen(&st, &now);
	return memcmp(&now, seen, sizeof(now)) != 0;
}

/* Memory that is neither swapped, as far as the limits permit, nor dumped; NULL: none. */
static PgwSecret *
map_secret(void)
{
	PgwSecret *secret =
		mmap(NULL, sizeof(PgwSecret), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (secret == MAP_FAILED)
		return NULL;
	(void) mlock(secret, sizeof(PgwSecret));
	(void) madvise(secret, sizeof(PgwSecret), MADV_DONTDUMP);
	(void) madvise(secret, sizeof(PgwSecret), MADV_DONTFORK);
	secret->holders = 1;
	return secret;
}

/* One value without a name, or several with names: all of them in their place. */
static PgwSecretFault
take_values(PgwSecret *secret, size_t len, PgwSecretForm form)
{
	PgwSecretFault fault;
	size_t key_len;

	if (form == PGW_SECRET_FORM_NAMED)
		return pgw_secret_split(secret->text, len, &secret->values);
	if (form == PGW_SECRET_FORM_LIST)
		return pgw_secret_list(secret->text, len, &secret->values);
	fault = pgw_secret_check_content(secret->text, len, &key_len);
	if (fault != PGW_SECRET_FINE)
		return fault;
	secret->text[key_len] = '\0';
	secret->values.n = 1;
	secret->values.values[0] = (PgwSecretValue){"", secret->text};
	return PGW_SECRET_FINE;
}

PgwSecret *
pgw_secret_read(const char *name, PgwSecretForm form, PgwSecretSeen *seen, PgwSecretFault *fault)
{
	PgwSecret *secret;
	size_t len = 0;
	ssize_t got;
	int fd = open_secret(name, seen, fault);

	if (fd < 0)
		return NULL;
	secret = map_secret();
	if (secret == NULL)
	{
		close(fd);
		*fault = PGW_SECRET_NO_MEMORY;
		return NULL;
	}
	while (len < SECRET_SIZE && (got = read(fd, secret->text + len, SECRET_SIZE - len)) != 0)
	{
		if (got > 0)
			len += got;
		else if (errno != EINTR)
			break;
	}
	close(fd);
	*fault = take_values(secret, len, form);
	if (*fault == PGW_SECRET_FINE)
		return secret;
	pgw_secret_free(secret);
	return NULL;
}

const PgwSecretValues *
pgw_secret_values(const PgwSecret *secret)
{
	return secret != NULL ? &secret->values : NULL;
}

PgwSecret *
pgw_secret_hold(PgwSecret *secret)
{
	if (secret != NULL)
		secret->holders++;
	return secret;
}

void
pgw_secret_free(PgwSecret *secret)
{
	if (secret == NULL || --secret->holders > 0)
		return;
	explicit_bzero(secret, sizeof(*secret));
	(void) munmap(secret, sizeof(*secret));
}
