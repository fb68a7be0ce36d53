/*
 * secrets.h - banks' keys, read from files into memory that is neither swapped nor dumped
 */
#ifndef PGW_BANK_SECRETS_H
#define PGW_BANK_SECRETS_H

#include <sys/types.h>
#include <time.h>

#include "core/files/key_file_rules.h"

extern char *pgw_secrets_dir; /* GUC */

extern void pgw_secrets_init(void); /* _PG_init: the setting */

/* Which file it was, and as of when; all zero: none. */
typedef struct PgwSecretSeen
{
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified;
	struct timespec changed;
} PgwSecretSeen;

/* What a secret's file holds, and who needs it. */
typedef struct PgwSecret PgwSecret;

/* How its file is written. */
typedef enum PgwSecretForm
{
	PGW_SECRET_FORM_ONE = 0, /* one value */
	PGW_SECRET_FORM_NAMED,   /* lines name=value: its connector asks for names */
	PGW_SECRET_FORM_LIST     /* a value in each line: what notifications are checked with */
} PgwSecretForm;

/* Read a secret's file; NULL with *fault.  Never raises. */
extern PgwSecret *pgw_secret_read(const char *name, PgwSecretForm form, PgwSecretSeen *seen,
								  PgwSecretFault *fault);
extern const PgwSecretValues *pgw_secret_values(const PgwSecret *secret); /* NULL of NULL */

/*
 * Is there another file, or another content, by now?  A look from outside; a link that leads
 * elsewhere counts.
 */
extern bool pgw_secret_changed(const char *name, const PgwSecretSeen *seen);

/*
 * Why that would give nothing, as far as its file tells from outside; NULL: nothing is wrong with
 * it. For backends, which read no keys of banks.
 */
extern const char *pgw_secret_problem(const char *name);
/* One more who needs it, until he frees it: a request that is sent with it.  NULL is fine. */
extern PgwSecret *pgw_secret_hold(PgwSecret *secret);
extern void pgw_secret_free(PgwSecret *secret); /* the last one wipes; NULL is fine */

#endif
