/*
 * bank_config.c - banks and connectors, read from their tables into this process
 *
 * Owns the process's copy of pgw.banks and pgw.connectors.  A copy is a Generation: one memory
 * context with all banks, the compiled connectors and (worker only) the keys; all of it goes when
 * the context is deleted.  A newer one replaces it as `pgw_config_current`; calls in flight hold
 * the older one until they end.  Each PgwBank is one version of a bank; what banks were before is
 * bank_versions.c's, in generations of one bank each.
 *
 * How many calls of a bank are in flight is counted by its name, whatever the version.
 *
 * The tables are scanned with SnapshotSelf: it sees what is committed now plus this transaction's
 * own changes, leaves no SIREAD lock, and a SERIALIZABLE caller reads no stale row.  Such a scan
 * can miss or double a row that is being updated meanwhile; that update's commit bumps the shared
 * generation, which has everybody read again.
 *
 * Locks: AccessShareLock on both tables while reading.  The worker only takes it if it is free at
 * once (an owner's ALTER TABLE may hold the table for long), and goes on with what it has.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "bank/bank_config_internal.h"
#include "bank/choose_bank.h"
#include "bank/table_reader.h"
#include "base/clock.h"
#include "core/base/mutant.h"
#include "core/test_bank/test_bank.h"
#include "exchange/config_generation.h"
#include "exchange/log_rate.h"
#include "observe/metrics.h"

#define SECRET_LOOK_US USECS_PER_SEC

int pgw_connection_max_age = 600;
Generation *pgw_config_current = NULL;
static bool stale = true;
static bool changed_here = false; /* by the transaction that runs */

/* ---------------------------------------------------------------- when to read */

static void
at_xact_end(XactEvent event, void *arg)
{
	/*
	 * own changes were read before they were committed, and may have gone: the next reader looks
	 * again
	 */
	if (changed_here && event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE)
	{
		changed_here = false;
		stale = true;
	}
}

static void
at_subxact_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (changed_here && event == SUBXACT_EVENT_ABORT_SUB)
		stale = true;
}

void
pgw_config_init(void)
{
	DefineCustomIntVariable(
		"pgw.connection_max_age",
		"How old a connection to a bank may be before another is opened in its place.",
		"Addresses and certificates change; an open connection does not notice.",
		&pgw_connection_max_age, 600, 1, 86400, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	pgw_choose_bank_init();
	pgw_secrets_init();
	pgw_versions_init();
	RegisterXactCallback(at_xact_end, NULL);
	RegisterSubXactCallback(at_subxact_end, NULL);
}

void
pgw_config_invalidate(void)
{
	stale = true;
	changed_here = true;
}

void
pgw_config_reread(void)
{
	stale = true;
}

/* ---------------------------------------------------------------- reading */

static void
read_connectors(Generation *g, Oid relid)
{
	uint64 more;
	PgwReader r;
	int size = 8;

	g->connectors = palloc0(size * sizeof(NamedConnector));
	pgw_reader_open(&r, relid);
	while (pgw_reader_next(&r))
	{
		PgwConnectorError err;
		NamedConnector *c;
		char *name = pgw_reader_text(&r, "name");
		char *json = pgw_reader_text(&r, "definition");

		if (name == NULL || json == NULL)
			continue;
		if (g->nconnectors == size)
		{
			size *= 2;
			g->connectors = repalloc(g->connectors, size * sizeof(NamedConnector));
		}
		c = &g->connectors[g->nconnectors];
		strlcpy(c->name, name, sizeof(c->name));
		c->json = json;
		c->connector = pgw_connector_compile(json, strlen(json), &err);
		/* each session reads it */
		if (c->connector == NULL && pgw_log_due("connector", c->name, &more))
			ereport(WARNING, (errmsg("pgw: connector \"%s\" cannot be used", c->name),
							  errdetail("%s: %s", err.pointer, err.message), pgw_log_more(more)));
		g->nconnectors++; /* counted at once: freed with the generation */
	}
	pgw_reader_close(&r);
}

/* A file that lacks one of the connector's names is as unusable as none. */
static void
check_secret_names(PgwBank *b, const char *const *names, int n)
{
	for (int i = 0; b->secret != NULL && i < n; i++)
	{
		if (pgw_secret_value(pgw_secret_values(b->secret), names[i]) != NULL ||
			PGW_MUTATED(SECRET_NAMES))
			continue;
		b->secret_lacks = names[i];
		b->secret_fault = PGW_SECRET_NAME_MISSING;
		pgw_secret_free(b->secret);
		b->secret = NULL;
	}
}

static void
read_secret(PgwBank *b)
{
	PgwSecretFault before = b->secret_fault;
	const char *lacked = b->secret_lacks;
	const char *const *names = NULL;
	int n = b->connector != NULL ? pgw_connector_secret_names(b->connector, &names) : 0;

	pgw_secret_free(b->secret);
	b->secret_lacks = NULL;
	b->secret = pgw_secret_read(b->secret_name, n > 0 ? PGW_SECRET_FORM_NAMED : PGW_SECRET_FORM_ONE,
								&b->secret_seen, &b->secret_fault);
	check_secret_names(b, names, n);
	b->secret_looked_at = GetCurrentTimestamp();
	if (b->secret == NULL && (b->secret_fault != before || b->secret_lacks != lacked))
		ereport(WARNING, (errmsg("pgw: the secret of bank \"%s\" cannot be used: %s", b->name,
								 pgw_secret_fault_text(b->secret_fault)),
						  b->secret_lacks != NULL
							  ? errdetail("File \"%s\" in pgw.secrets_dir lacks a line %s=value.",
										  b->secret_name, b->secret_lacks)
							  : errdetail("File \"%s\" in pgw.secrets_dir.", b->secret_name)));
}

static const NamedConnector *
find_connector(const Generation *g, const char *name)
{
	for (int i = g->nconnectors - 1; name != NULL && i >= 0; i--)
	{
		if (strcmp(g->connectors[i].name, name) == 0 && g->connectors[i].connector != NULL)
			return &g->connectors[i];
	}
	return NULL;
}

void
pgw_config_read_limits(PgwReader *r, PgwBank *b)
{
	b->connect_timeout_ms = pgw_reader_interval_ms(r, "connect_timeout", 5000);
	b->request_timeout_ms = pgw_reader_interval_ms(r, "request_timeout", 30000);
	b->max_in_flight = pgw_reader_int(r, "max_in_flight");
}

void
pgw_config_read_identity(Generation *g, PgwReader *r, BankEntry *e)
{
	PgwBank *b = &e->bank;
	bool isnull;
	char *account = pgw_reader_text(r, "account");

	b->base_url = pgw_reader_text(r, "base_url");
	b->in_worker = b->base_url != NULL && strcmp(b->base_url, PGW_TEST_BANK_URL) == 0;
	b->livemode = DatumGetBool(pgw_reader_column(r, "livemode", &isnull)) && !isnull;
	strlcpy(b->account, account != NULL ? account : b->name, sizeof(b->account));
	b->secret_name = pgw_reader_text(r, "secret");
	b->settings = pgw_reader_jsonb(r, "settings");
	b->ca_file = pgw_reader_jsonb_member(r, "settings", "ca_file");
	if (g->with_secrets && b->secret_name != NULL)
		read_secret(b);
}

static void
read_bank(Generation *g, PgwReader *r, BankEntry *e)
{
	bool isnull;
	PgwBank *b = &e->bank;
	char *name = pgw_reader_text(r, "name");

	memset(e, 0, sizeof(*e));
	e->generation = g;
	strlcpy(b->name, name != NULL ? name : "", sizeof(b->name));
	strlcpy(b->health_name, b->name, sizeof(b->health_name));
	b->priority = pgw_reader_int(r, "priority");
	b->enabled = DatumGetBool(pgw_reader_column(r, "enabled", &isnull)) && !isnull;
	b->currencies = pgw_reader_text_array(r, "currencies");
	b->token_scope = pgw_reader_text(r, "token_scope");
	b->notification_secret = pgw_reader_text(r, "notification_secret");
	b->notification_login = pgw_reader_text(r, "notification_login");
	e->named = find_connector(g, pgw_reader_text(r, "connector"));
	b->connector = e->named != NULL ? e->named->connector : NULL;
	pgw_config_read_limits(r, b);
	pgw_config_read_identity(g, r, e);
	if (g->with_secrets)
		pgw_metrics_bank_secret(b->name, b->livemode, b->secret_fault, false);
	pgw_versions_digest(e);
}

static int
by_priority(const void *a, const void *b)
{
	const PgwBank *x = &((const BankEntry *) a)->bank;
	const PgwBank *y = &((const BankEntry *) b)->bank;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return strcmp(x->name, y->name);
}

static void
read_banks(Generation *g, Oid relid)
{
	PgwReader r;
	int size = 8;

	g->banks = palloc0(size * sizeof(BankEntry));
	pgw_reader_open(&r, relid);
	while (pgw_reader_next(&r))
	{
		if (g->nbanks == size)
		{
			size *= 2;
			g->banks = repalloc(g->banks, size * sizeof(BankEntry));
		}
		read_bank(g, &r, &g->banks[g->nbanks]);
		g->nbanks++;
	}
	pgw_reader_close(&r);
	qsort(g->banks, g->nbanks, sizeof(BankEntry), by_priority);
}

/* What is not palloc'd goes with the context, also when reading fails half way. */
static void
free_generation(void *arg)
{
	Generation *g = arg;

	for (int i = 0; i < g->nbanks; i++)
		pgw_secret_free(g->banks[i].bank.secret);
	for (int i = 0; i < g->nconnectors; i++)
	{
		if (g->connectors[i].connector != NULL)
			pgw_connector_free(g->connectors[i].connector);
	}
}

Generation *
pgw_config_new_generation(bool with_secrets)
{
	/* a child of the transaction's until it is whole: an error leaves nothing behind */
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pgw banks and connectors",
												  ALLOCSET_DEFAULT_SIZES);
	Generation *g = MemoryContextAllocZero(context, sizeof(Generation));
	MemoryContextCallback *callback =
		MemoryContextAllocZero(context, sizeof(MemoryContextCallback));

	g->context = context;
	g->with_secrets = with_secrets;
	callback->func = free_generation;
	callback->arg = g;
	MemoryContextRegisterResetCallback(context, callback);
	return g;
}

void
pgw_config_keep(Generation *g)
{
	MemoryContextSetParent(g->context, TopMemoryContext);
}

static Generation *
read_tables(uint64 number, bool with_secrets, Oid banks, Oid connectors)
{
	Generation *g = pgw_config_new_generation(with_secrets);
	MemoryContext old = MemoryContextSwitchTo(g->context);

	g->number = number;
	read_connectors(g, connectors);
	read_banks(g, banks);
	MemoryContextSwitchTo(old);
	pgw_versions_read(g, with_secrets);
	pgw_config_keep(g);
	return g;
}

static bool
lock_table(Oid relid, bool wait)
{
	if (!OidIsValid(relid))
		return false;
	if (wait)
	{
		LockRelationOid(relid, AccessShareLock);
		return true;
	}
	return ConditionalLockRelationOid(relid, AccessShareLock);
}

static uint64 reads = 0;
static bool read_while_changing = false;

uint64
pgw_config_number(bool *config_changing)
{
	*config_changing = read_while_changing;
	return pgw_config_current != NULL ? pgw_config_current->number : 0;
}

uint64
pgw_config_reads(void)
{
	return reads;
}

void
pgw_config_refresh(bool with_secrets)
{
	/* before the number: a bump comes before its end */
	bool config_changing = pgw_exchange_config_is_changing() && !PGW_MUTATED(OLD_CONFIG);
	/* before the scan: a later change has us read again */
	uint64 number = pgw_exchange_generation();
	Oid namespace;
	Oid banks;
	Oid connectors;
	Generation *g;

	if (pgw_config_current != NULL && !stale && !config_changing &&
		pgw_config_current->number == number && pgw_config_current->with_secrets == with_secrets)
		return;
	namespace = get_namespace_oid("pgw", true);
	banks = get_relname_relid("banks", namespace);
	connectors = get_relname_relid("connectors", namespace);
	if (!lock_table(connectors, !with_secrets) || !lock_table(banks, !with_secrets) ||
		!pgw_versions_lock(!with_secrets))
		return;
	g = read_tables(number, with_secrets, banks, connectors);

	/* From here on nothing fails. */
	pgw_versions_forget();
	if (pgw_config_current != NULL && pgw_config_current->holds == 0)
		MemoryContextDelete(pgw_config_current->context);
	pgw_config_current = g;
	stale = config_changing; /* for this use only */
	read_while_changing = config_changing;
	reads++;
}

bool
pgw_config_is_current(void)
{
	return pgw_config_current != NULL && !stale &&
		   pgw_config_current->number == pgw_exchange_generation();
}

/* ---------------------------------------------------------------- use */

void
pgw_config_refresh_secret(PgwBank *b)
{
	TimestampTz now = GetCurrentTimestamp();
	/* most files are written in more than one step */
	int64 pause = b->secret != NULL ? SECRET_LOOK_US : SECRET_LOOK_US / 10;

	if (b->secret_name == NULL || (now >= b->secret_looked_at && now - b->secret_looked_at < pause))
		return;
	b->secret_looked_at = now;
	if (!pgw_secret_changed(b->secret_name, &b->secret_seen))
		return;
	read_secret(b);
	if (b->secret != NULL)
		ereport(LOG,
				(errmsg("pgw: the secret of bank \"%s\" was read again, as its file has changed",
						b->name)));
	if (b == pgw_config_bank(b->name))
		pgw_metrics_bank_secret(b->name, b->livemode, b->secret_fault, b->secret != NULL);
}

void
pgw_config_watch_secrets(void)
{
	for (int i = 0; pgw_config_current != NULL && i < pgw_config_current->nbanks; i++)
		pgw_config_refresh_secret(&pgw_config_current->banks[i].bank);
}

PgwBank *
pgw_config_bank(const char *name)
{
	for (int i = 0; pgw_config_current != NULL && name != NULL && i < pgw_config_current->nbanks;
		 i++)
	{
		if (strcmp(pgw_config_current->banks[i].bank.name, name) == 0)
			return &pgw_config_current->banks[i].bank;
	}
	return NULL;
}

const PgwConnector *
pgw_config_connector(const char *name)
{
	const NamedConnector *c =
		pgw_config_current != NULL ? find_connector(pgw_config_current, name) : NULL;

	return c != NULL ? c->connector : NULL;
}

char *
pgw_config_connector_names(void)
{
	StringInfoData s;

	initStringInfo(&s);
	for (int i = 0; pgw_config_current != NULL && i < pgw_config_current->nconnectors; i++)
		appendStringInfo(&s, "%s%s", i > 0 ? ", " : "", pgw_config_current->connectors[i].name);
	return s.data;
}

const char *
pgw_config_connector_name(const PgwBank *bank)
{
	const BankEntry *e = (const BankEntry *) bank;

	return e->named != NULL ? e->named->name : NULL;
}

PgwBank *
pgw_config_nth(int n)
{
	return pgw_config_current != NULL && n < pgw_config_current->nbanks
			   ? &pgw_config_current->banks[n].bank
			   : NULL;
}

bool
pgw_config_has_real_bank(void)
{
	PgwBank *b;

	if (pgw_config_current != NULL && pgw_config_current->had_real && !PGW_MUTATED(LAST_REAL_BANK))
		return true;
	for (int i = 0; (b = pgw_config_nth(i)) != NULL; i++)
	{
		if (b->livemode)
			return true;
	}
	return false;
}

bool
pgw_config_one_bank(void)
{
	PgwBank *b;
	int n = 0;

	for (int i = 0; n < 2 && (b = pgw_config_nth(i)) != NULL; i++)
		n += !b->in_worker;
	return n < 2;
}

void
pgw_config_hold(PgwBank *bank)
{
	((BankEntry *) bank)->generation->holds++;
}

void
pgw_config_drop(PgwBank *bank)
{
	Generation *g = ((BankEntry *) bank)->generation;

	if (--g->holds == 0 && g != pgw_config_current && !pgw_config_is_old(bank))
		MemoryContextDelete(g->context);
}
