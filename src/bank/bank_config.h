/*
 * bank_config.h - banks and connectors, read from their tables into this process and kept until the
 * shared generation changes
 *
 * Used by the worker (with secrets) and by backends (rules of routing, no secrets).  Reads with a
 * non-MVCC snapshot.
 */
#ifndef PGW_BANK_BANK_CONFIG_H
#define PGW_BANK_BANK_CONFIG_H

#include "postgres.h"
#include "core/connector/connector.h"
#include "core/request/validate.h"
#include "datatype/timestamp.h"
#include "bank/secrets.h"

/* One version of a bank. */
typedef struct PgwBank
{
	char name[64];
	/* of its circuit breakers: a bank as it was may be down while it is up as it is */
	char health_name[64];
	/* its number in pgw.bank_versions; 0: none yet, see pgw_config_version_of() */
	int version;
	char *base_url;
	bool livemode;     /* false: it moves no money */
	bool in_worker;    /* it is answered inside the worker: nothing leaves the server */
	char *secret_name; /* file under pgw.secrets_dir, NULL: none */
	PgwSecret *secret; /* worker only; NULL when unusable (secret_fault says why) */
	PgwSecretFault secret_fault;
	const char *secret_lacks;  /* the connector's: the name that its file does not have; or NULL */
	PgwSecretSeen secret_seen; /* the file that it was read from */
	TimestampTz secret_looked_at;
	int priority; /* lower first */
	bool enabled;
	int connect_timeout_ms;
	int request_timeout_ms;
	int max_in_flight;
	char **currencies; /* NULL-terminated, NULL: all */
	char *token_scope;
	/* file under pgw.secrets_dir that its notifications are checked with; NULL: none are taken */
	char *notification_secret;
	/* ... that a second proof of them is checked with; NULL: there is none */
	char *notification_login;
	/* whose ledger the bank's ids of charges belong to: two rows may share one */
	char account[64];
	char *settings; /* JSON text */
	char *ca_file;  /* from settings.ca_file, or NULL */
	PgwConnector *connector;
} PgwBank;

extern void pgw_config_init(void); /* _PG_init: the settings of secrets.c */

/*
 * This transaction changed pgw.banks or pgw.connectors (their triggers call it): read again now,
 * and again when it is over.
 */
extern void pgw_config_invalidate(void);
extern void pgw_config_reread(void); /* SIGHUP: pgw.secrets_dir may have changed */

extern int pgw_connection_max_age; /* setting, in seconds */

/*
 * The worker, before it uses the bank's key: read it again if its file has changed, which is looked
 * at once a second.
 */
extern void pgw_config_refresh_secret(PgwBank *bank);
/* the same for all banks that take new attempts, so that health() knows */
extern void pgw_config_watch_secrets(void);

/*
 * A PgwBank is valid until the next pgw_config_refresh(); a call in flight keeps its own alive
 * between hold and drop.
 */
extern void pgw_config_hold(PgwBank *bank);
extern void pgw_config_drop(PgwBank *bank);

/* cheap when the generation is unchanged */
extern void pgw_config_refresh(bool with_secrets);
/*
 * About the configuration in use: the shared generation at which it was read, whether a newer one
 * may have been visible then, and how often this process has read it.
 */
extern uint64 pgw_config_number(bool *config_changing);
extern uint64 pgw_config_reads(void);
/* false: a table was locked, and the old content is still in use */
extern bool pgw_config_is_current(void);
/* the banks as they are now, by priority; NULL: no more */
extern PgwBank *pgw_config_nth(int n);
/* Does one of them move money, enabled or not, or was there ever one that did? */
extern bool pgw_config_has_real_bank(void);
/* The connectors as they are now, by name; NULL: none, or one that cannot be used. */
extern const PgwConnector *pgw_config_connector(const char *name);
extern char *pgw_config_connector_names(void); /* of all, for people; palloc'd */
extern const char *pgw_config_connector_name(const PgwBank *bank); /* NULL: it has none */
/* Is there one bank at most, so that it need leave nothing to others?  Test banks do not count. */
extern bool pgw_config_one_bank(void);
/* as it is now, for new attempts; NULL: none */
extern PgwBank *pgw_config_bank(const char *name);

/*
 * The bank as it was when an attempt's intent was written under this version, or what
 * pgw.rebind_attempts() has put in its place; version 0: as it is now.  In a transaction.  Valid
 * until the next refresh, or until some thirty other versions were asked for; a call keeps it by
 * hold.
 *
 * Returns NULL when there is none. With *unreadable set, NULL means that nobody can tell just now,
 * because a table is locked or was not read yet: ask again, and decide nothing. unreadable may be
 * NULL in a backend, which then waits for the lock.
 */
extern PgwBank *pgw_config_version(int version, bool *unreadable);
extern PgwBank *pgw_config_bank_of(const char *name, int version, bool *unreadable);

/* The worker, in the transaction of an intent: the number to be recorded, found or appended. */
extern int pgw_config_version_of(PgwBank *bank);
extern bool pgw_config_is_old(const PgwBank *bank);

/*
 * By which version attempts of this one go, after pgw.rebind_attempts(); and all that go by that
 * one, itself included (palloc'd).
 */
extern int pgw_config_goes_by(int version);
extern int *pgw_config_versions_going_by(int version, int *n);

#endif
