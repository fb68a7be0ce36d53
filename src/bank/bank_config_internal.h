/*
 * bank_config_internal.h - what bank_config.c and bank_versions.c share; nobody else includes it
 *
 * bank_config.c owns what the tables hold now, bank_versions.c the numbers of versions, and the
 * banks as they were.
 */
#ifndef PGW_BANK_BANK_CONFIG_INTERNAL_H
#define PGW_BANK_BANK_CONFIG_INTERNAL_H

#include "utils/palloc.h"

#include "bank/bank_config.h"
#include "bank/table_reader.h"

#define PGW_DIGEST_SIZE 65 /* SHA-256 in hex */

typedef struct NamedConnector
{
	char name[NAMEDATALEN];
	char *json;              /* as jsonb writes it */
	PgwConnector *connector; /* NULL: does not compile */
} NamedConnector;

typedef struct BankEntry
{
	PgwBank bank; /* first: a PgwBank * is a BankEntry * */
	struct Generation *generation;
	const NamedConnector *named;  /* NULL: there is none of the name in pgw.banks */
	char digest[PGW_DIGEST_SIZE]; /* empty without a connector */
	/* its version was appended by the transaction that runs, and so was that one's */
	struct BankEntry *next_pending;
} BankEntry;

/* "Attempts of that version go by this one now." */
typedef struct Rebind
{
	int number;
	int from;
	int to;
} Rebind;

/* What was read at one time: all of the tables, or one version of one bank. */
typedef struct Generation
{
	MemoryContext context;
	uint64 number;      /* the shared generation it was read at */
	Oid versions_relid; /* the table that its banks' versions are numbers of */
	bool with_secrets;
	int holds;   /* calls in flight */
	uint64 used; /* an old version: when last, by a counter */
	int nbanks;
	BankEntry *banks; /* by priority, then name */
	int nconnectors;
	NamedConnector *connectors;
	int nrebinds;
	Rebind *rebinds; /* in order */
	bool had_real;   /* there is a version of a bank that moves money */
} Generation;

extern Generation *pgw_config_current; /* NULL: nothing was read yet */

/* --- bank_config.c --- */

/*
 * A generation without content, in a context of its own below the current one; pgw_config_keep()
 * gives it to the process.
 */
extern Generation *pgw_config_new_generation(bool with_secrets);
extern void pgw_config_keep(Generation *g);

/*
 * The columns that base_url, secret and settings come from have the same names in pgw.banks and
 * pgw.bank_versions.
 */
extern void pgw_config_read_identity(Generation *g, PgwReader *r, BankEntry *e);
extern void pgw_config_read_limits(PgwReader *r, PgwBank *b);

/* --- bank_versions.c --- */
extern void pgw_versions_init(void);

/* The lock on both tables; wait: a backend. false: not to be had at once. */
extern bool pgw_versions_lock(bool wait);
extern void pgw_versions_digest(BankEntry *e);

/*
 * Right after the tables were read: rebinds, and the numbers of those versions that have one;
 * append (the worker): give one to the others, too.
 */
extern void pgw_versions_read(Generation *g, bool append);

/* The banks as they were are void: the generation has changed. */
extern void pgw_versions_forget(void);

#endif
