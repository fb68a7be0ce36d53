/*
 * secrets.c - banks' keys, read from files into memory that is neither swapped nor dumped
 *
 * Owns the setting pgw.secrets_dir and the rules for the files in it.  A secret is one regular file, owned by the server's user or by
 * root, that nobody else can read; the row in pgw.banks names it without a path.  One mapping per secret, locked where the
 * limits permit and kept out of core dumps.
 *
 * Invariants: no error text holds a content or a path; a name cannot leave the directory (no slash, no leading dot, O_NOFOLLOW).
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "utils/guc.h"

#include "infra/secrets.h"

#define SECRET_SIZE 4096

char	   *pgw_secrets_dir = NULL;

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
	DefineCustomStringVariable("pgw.secrets_dir",
							   "Directory of the files that hold the banks' keys.",
							   "Each file is named in pgw.banks.secret, and readable by the server's user only. Keep it outside the data directory.",
							   &pgw_secrets_dir,
							   "/etc/pgw/secrets",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   check_dir, NULL, NULL);
}

/* Open it, if it is a file that only we (and root) can read. */
static int
open_secret(const char *name, const char **error)
{
	char		path[MAXPGPATH];
	struct stat st;
	int			fd;

	if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL ||
		snprintf(path, sizeof(path), "%s/%s", pgw_secrets_dir, name) >= (int) sizeof(path))
	{
		*error = "the name of the secret is not a file name";
		return -1;
	}
	/* a FIFO must not stop the worker; O_NOFOLLOW: a link could lead out of the directory */
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
	{
		*error = errno == ENOENT ? "the secret's file does not exist" :
			errno == ELOOP ? "the secret's file is a symbolic link" : "the secret's file cannot be opened";
		return -1;
	}
	*error = NULL;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		*error = "the secret is not a regular file";
	else if (st.st_uid != geteuid() && st.st_uid != 0)
		*error = "the secret's file belongs to another user";
	else if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		*error = "the secret's file is open to group or others";
	if (*error == NULL)
		return fd;
	close(fd);
	return -1;
}

const char *
pgw_secret_problem(const char *name)
{
	const char *error;
	int			fd = open_secret(name, &error);

	if (fd >= 0)
		close(fd);
	return error;
}

char *
pgw_secret_read(const char *name, const char **error)
{
	char	   *secret;
	ssize_t		len = 0;
	ssize_t		got;
	int			fd = open_secret(name, error);

	if (fd < 0)
		return NULL;
	secret = mmap(NULL, SECRET_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (secret == MAP_FAILED)
	{
		close(fd);
		*error = "out of memory";
		return NULL;
	}
	(void) mlock(secret, SECRET_SIZE);	/* as far as the limits permit */
	(void) madvise(secret, SECRET_SIZE, MADV_DONTDUMP);
	(void) madvise(secret, SECRET_SIZE, MADV_DONTFORK);

	while (len < SECRET_SIZE && (got = read(fd, secret + len, SECRET_SIZE - len)) != 0)
	{
		if (got > 0)
			len += got;
		else if (errno != EINTR)
			break;
	}
	close(fd);
	if (len >= SECRET_SIZE)
	{
		*error = "the secret is too long";
		pgw_secret_free(secret);
		return NULL;
	}
	while (len > 0 && (secret[len - 1] == '\n' || secret[len - 1] == '\r'))
		len--;
	secret[len] = '\0';
	if (len == 0 || strlen(secret) != (size_t) len)
	{
		*error = len == 0 ? "the secret's file is empty" : "the secret's file holds a zero byte";
		pgw_secret_free(secret);
		return NULL;
	}
	return secret;
}

void
pgw_secret_free(char *secret)
{
	if (secret == NULL)
		return;
	explicit_bzero(secret, SECRET_SIZE);
	(void) munmap(secret, SECRET_SIZE);
}
