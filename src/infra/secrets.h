/*
 * secrets.h - banks' keys, read from files into memory that is neither swapped nor dumped
 */
#ifndef PGW_INFRA_SECRETS_H
#define PGW_INFRA_SECRETS_H

extern char *pgw_secrets_dir;	/* GUC */

extern void pgw_secrets_init(void); /* _PG_init: the setting */

/* The content of a secret's file, or NULL with *error (static text, without content or path). Never raises. */
extern char *pgw_secret_read(const char *name, const char **error);
/* Why that would give nothing, as far as its file tells from outside; NULL: nothing is wrong with it. For backends, which read no secrets. */
extern const char *pgw_secret_problem(const char *name);
extern void pgw_secret_free(char *secret);	/* wipes; NULL is fine */

#endif
