/*
 * bank_versions.c - the versions of banks: what a bank was when an attempt's intent was written, so
 * that its later requests go there, too
 *
 * A version is all that decides to which ledger a request goes and what it says there: the bank's
 * row (base_url, account, the secret's name, settings with ca_file) and its connector's document.
 * Not part of it: the content of the secret's and the CA's file (both are changed by rotation), and
 * what only steers new attempts or the pace of calls (priority, enabled, currencies, token_scope,
 * timeouts, max_in_flight), which is taken from the bank's present row while there is one.
 *
 * Owns: pgw.bank_versions, which the worker alone appends to, so that the next number is the
 * greatest plus one; the banks as they were, at most PGW_OLD_VERSIONS of them in memory beside
 * those that calls hold.  pgw.bank_rebinds is read here, and written by pgw.rebind_attempts().
 *
 * Locks: AccessShareLock on both tables; to append, RowExclusiveLock.  The worker takes them only
 * if they are free at once.
 *
 * Orderings that matter
 *     - A version is committed before, or with, the first intent that names it, so an intent that
 *       is durable names a version that is.
 *     - A number that was appended by a transaction, or subtransaction, that is rolled back is
 *       forgotten with it.
 *     - It is appended ahead of the first intent only where attempts are recorded and nothing was
 *       restored that nobody has resumed: a dump that is being restored, perhaps row by row, brings
 *       its own numbers, and one that the worker gave in between would be in their way.  Whatever
 *       the order of its tables, it has brought no attempt yet, or has left its mark with them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "bank/bank_config_internal.h"
#include "bank/table_reader.h"
#include "core/base/mutant.h"
#include "database/lock_refusals.h"
#include "database/relations.h"
#include "database/row.h"

#define PGW_OLD_VERSIONS 32

static Generation *old_versions[PGW_OLD_VERSIONS];
static uint64 uses = 0;
/* those whose version the transaction that runs has appended */
static BankEntry *pending = NULL;

static void
end_pending(bool committed)
{
	for (BankEntry *e = pending; e != NULL; e = e->next_pending)
	{
		if (!committed)
			e->bank.version = 0;
	}
	pending = NULL;
}

static void
at_xact_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		end_pending(event == XACT_EVENT_COMMIT);
}

/*
 * The worker's work is a subtransaction, most often (batch.c): its rollback takes the row along,
 * and perhaps the memory of a generation that was being read. A number whose row stays, because an
 * outer level appended it, is found again by its digest.
 */
static void
at_subxact_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		end_pending(false);
}

void
pgw_versions_init(void)
{
	RegisterXactCallback(at_xact_end, NULL);
	RegisterSubXactCallback(at_subxact_end, NULL);
}

static bool
lock_table(Oid relid, LOCKMODE mode, bool wait)
{
	if (!OidIsValid(relid))
		return false;
	if (wait)
	{
		LockRelationOid(relid, mode);
		return true;
	}
	return ConditionalLockRelationOid(relid, mode);
}

bool
pgw_versions_lock(bool wait)
{
	return lock_table(pgw_relation_or_none("bank_versions"), AccessShareLock, wait) &&
		   lock_table(pgw_relation_or_none("bank_rebinds"), AccessShareLock, wait);
}

/* ---------------------------------------------------------------- which version is it? */

static void
add_part(StringInfo s, const char *name, const char *value)
{
	if (value == NULL)
		appendStringInfo(s, "%s\n", name);
	else
		appendStringInfo(s, "%s %zu %s\n", name, strlen(value), value);
}

/* Each part with its length: no two banks have the same text. */
void
pgw_versions_digest(BankEntry *e)
{
	StringInfoData s;
	bytea *digest;

	e->digest[0] = '\0';
	if (e->named == NULL || e->named->connector == NULL)
		return;
	initStringInfo(&s);
	add_part(&s, "bank", e->bank.name);
	add_part(&s, "connector", e->named->name);
	add_part(&s, "definition", e->named->json);
	add_part(&s, "base_url", e->bank.base_url);
	add_part(&s, "account", e->bank.account);
	add_part(&s, "secret", e->bank.secret_name);
	add_part(&s, "settings", e->bank.settings);
	digest = DatumGetByteaPP(DirectFunctionCall1(
		sha256_bytea, PointerGetDatum(cstring_to_text_with_len(s.data, s.len))));
	for (int i = 0; i < VARSIZE_ANY_EXHDR(digest) && i < (PGW_DIGEST_SIZE - 1) / 2; i++)
		snprintf(e->digest + 2 * i, 3, "%02x", (unsigned char) VARDATA_ANY(digest)[i]);
	pfree(s.data);
}

/*
 * Attempts of it go by another version: new ones are not recorded under it, lest they be taken for
 * those.
 */
static bool
is_rebound(const Generation *g, int version)
{
	for (int i = 0; i < g->nrebinds; i++)
	{
		if (g->rebinds[i].from == version)
			return true;
	}
	return false;
}

/* In the order in which they were recorded, so that there and back again ends where it began. */
static int
resolve(const Generation *g, int version)
{
	for (int i = 0; i < g->nrebinds; i++)
	{
		if (g->rebinds[i].from == version)
			version = g->rebinds[i].to;
	}
	return version;
}

static int
compare_rebinds(const void *a, const void *b)
{
	return ((const Rebind *) a)->number - ((const Rebind *) b)->number;
}

static void
read_rebinds(Generation *g)
{
	PgwReader r;
	int size = 8;

	g->nrebinds = 0;
	g->rebinds = MemoryContextAlloc(g->context, size * sizeof(Rebind));
	pgw_reader_open(&r, pgw_relation("bank_rebinds"));
	while (pgw_reader_next(&r))
	{
		bool isnull;

		if (!DatumGetBool(pgw_reader_column(&r, "effective", &isnull)))
			continue;
		if (g->nrebinds == size)
			g->rebinds = repalloc(g->rebinds, (size *= 2) * sizeof(Rebind));
		g->rebinds[g->nrebinds++] = (Rebind){.number = pgw_reader_int(&r, "rebind"),
											 .from = pgw_reader_int(&r, "from_version"),
											 .to = pgw_reader_int(&r, "to_version")};
	}
	pgw_reader_close(&r);
	qsort(g->rebinds, g->nrebinds, sizeof(Rebind), compare_rebinds);
}

/*
 * The numbers of the versions that these banks are, as far as they have one, and whether one of all
 * is a real bank's; the greatest number of all.
 */
static int
find_numbers(Generation *g)
{
	PgwReader r;
	int greatest = 0;

	g->had_real = false;
	pgw_reader_open(&r, g->versions_relid);
	while (pgw_reader_next(&r))
	{
		int version = pgw_reader_int(&r, "version");
		char *digest = pgw_reader_text(&r, "digest");
		bool isnull;

		greatest = Max(greatest, version);
		g->had_real |= DatumGetBool(pgw_reader_column(&r, "livemode", &isnull)) && !isnull;
		for (int i = 0; i < g->nbanks; i++)
		{
			BankEntry *e = &g->banks[i];

			if (e->digest[0] != '\0' && strcmp(e->digest, digest) == 0 &&
				version > e->bank.version && !is_rebound(g, version))
				e->bank.version = version;
		}
		pfree(digest);
	}
	pgw_reader_close(&r);
	return greatest;
}

/* ---------------------------------------------------------------- appending */

static void
put_text(PgwRel *r, const char *name, const char *value)
{
	pgw_row_put(r, name, value != NULL ? CStringGetTextDatum(value) : (Datum) 0, value == NULL);
}

static void
put_jsonb(PgwRel *r, const char *name, const char *value)
{
	pgw_row_put(r, name,
				DirectFunctionCall1(jsonb_in, CStringGetDatum(value != NULL ? value : "{}")),
				false);
}

static void
put_ms(PgwRel *r, const char *name, int ms)
{
	Interval *i = palloc0(sizeof(Interval));

	i->time = (TimeOffset) ms * 1000;
	pgw_row_put(r, name, IntervalPGetDatum(i), false);
}

static void
append(BankEntry *e, int version)
{
	const PgwBank *b = &e->bank;
	PgwRel r;

	pgw_row_open_write(&r, e->generation->versions_relid, NULL, false);
	pgw_row_clear(&r);
	pgw_row_put(&r, "version", Int32GetDatum(version), false);
	put_text(&r, "bank", b->name);
	put_text(&r, "digest", e->digest);
	put_text(&r, "connector", e->named->name);
	put_text(&r, "definition", e->named->json); /* a json is its text */
	put_text(&r, "base_url", b->base_url);
	put_text(&r, "account", b->account);
	put_text(&r, "secret", b->secret_name);
	put_jsonb(&r, "settings", b->settings);
	pgw_row_put(&r, "livemode", BoolGetDatum(b->livemode), false);
	put_ms(&r, "connect_timeout", b->connect_timeout_ms);
	put_ms(&r, "request_timeout", b->request_timeout_ms);
	pgw_row_put(&r, "max_in_flight", Int32GetDatum(b->max_in_flight), false);
	pgw_row_put(&r, "first_used_at", TimestampTzGetDatum(GetCurrentTimestamp()), false);
	ExecStoreVirtualTuple(r.slot);
	pgw_row_insert(&r);
	pgw_row_close(&r);

	e->bank.version = version;
	e->next_pending = pending;
	pending = e;
}

static bool
lacks_version(const BankEntry *e)
{
	return e->bank.version == 0 && e->digest[0] != '\0';
}

/* if_locked: what is said of a table that cannot be looked at now */
static bool
has_rows(const char *table, bool if_locked)
{
	Oid relid = pgw_relation_or_none(table);
	PgwReader r;
	bool found;

	if (!lock_table(relid, AccessShareLock, false))
		return if_locked;
	pgw_reader_open(&r, relid);
	found = pgw_reader_next(&r);
	pgw_reader_close(&r);
	return found;
}

static bool
may_be_ahead(void)
{
	return (has_rows("payment_transactions", false) && !has_rows("restore_pending", true)) ||
		   PGW_MUTATED(VERSION_AHEAD);
}

void
pgw_versions_read(Generation *g, bool append_too)
{
	int greatest;
	int lacking = 0;

	g->versions_relid = pgw_relation("bank_versions");
	read_rebinds(g);
	greatest = find_numbers(g);
	for (int i = 0; i < g->nbanks; i++)
		lacking += lacks_version(&g->banks[i]);
	if (!append_too || lacking == 0 || !may_be_ahead() ||
		!ConditionalLockRelationOid(g->versions_relid, RowExclusiveLock))
		return; /* then with the first intent */
	for (int i = 0; i < g->nbanks; i++)
	{
		if (lacks_version(&g->banks[i]))
			append(&g->banks[i], ++greatest);
	}
}

int
pgw_config_version_of(PgwBank *bank)
{
	BankEntry *e = (BankEntry *) bank;
	Oid relid = pgw_relation("bank_versions");
	int greatest;

	/*
	 * DROP and CREATE EXTENSION between reading the banks and here: the numbers were another
	 * table's
	 */
	if (bank->version != 0 && e->generation->versions_relid == relid)
		return bank->version;
	if (e->digest[0] == '\0')
		elog(ERROR, "bank \"%s\" has no version: its connector cannot be used", bank->name);
	if (!pgw_versions_lock(false) || !ConditionalLockRelationOid(relid, RowExclusiveLock))
		ereport(
			ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg(
				 "pgw.bank_versions is locked, so nothing can be recorded under a new configuration of a bank")));
	for (int i = 0; i < e->generation->nbanks; i++)
	{
		if (e->generation->versions_relid != relid)
			e->generation->banks[i].bank.version = 0;
	}
	e->generation->versions_relid = relid;
	read_rebinds(e->generation);
	greatest = find_numbers(e->generation);
	if (bank->version == 0)
		append(e, greatest + 1);
	return bank->version;
}

/* ---------------------------------------------------------------- banks as they were */

void
pgw_versions_forget(void)
{
	for (int i = 0; i < PGW_OLD_VERSIONS; i++)
	{
		if (old_versions[i] != NULL && old_versions[i]->holds == 0)
			MemoryContextDelete(old_versions[i]->context);
		old_versions[i] = NULL; /* a held one goes with its last call */
	}
}

/*
 * The pace of calls is the present row's, where there is one: a bank that is moved has one limit,
 * not two.
 */
static void
take_limits(PgwBank *b)
{
	const PgwBank *now = pgw_config_bank(b->name);

	b->enabled = now != NULL && now->enabled;
	if (now == NULL)
		return;
	b->connect_timeout_ms = now->connect_timeout_ms;
	b->request_timeout_ms = now->request_timeout_ms;
	b->max_in_flight = now->max_in_flight;
	b->priority = now->priority;
}

static void
read_version(Generation *g, PgwReader *r)
{
	PgwConnectorError err;
	BankEntry *e = palloc0(sizeof(BankEntry));
	NamedConnector *c = palloc0(sizeof(NamedConnector));
	char *connector = pgw_reader_text(r, "connector");

	strlcpy(c->name, connector, sizeof(c->name));
	c->json = pgw_reader_text(r, "definition");
	c->connector = pgw_connector_compile(c->json, strlen(c->json), &err);
	g->connectors = c;
	g->nconnectors = 1; /* counted at once: freed with the generation */
	if (c->connector == NULL)
		ereport(
			WARNING,
			(errmsg("pgw: connector \"%s\" cannot be used, as it was when attempts were sent by it",
					c->name),
			 errdetail("%s: %s", err.pointer, err.message)));
	strlcpy(e->bank.name, pgw_reader_text(r, "bank"), sizeof(e->bank.name));
	e->generation = g;
	e->named = c;
	e->bank.version = pgw_reader_int(r, "version");
	snprintf(e->bank.health_name, sizeof(e->bank.health_name), "%.*s@%d",
			 pg_mbcliplen(e->bank.name, (int) strlen(e->bank.name), 50), e->bank.name,
			 e->bank.version);
	e->bank.connector = c->connector;
	g->banks = e;
	g->nbanks = 1;
	pgw_config_read_limits(r, &e->bank);
	pgw_config_read_identity(g, r, e);
	take_limits(&e->bank);
}

/* NULL: there is no such version. */
static Generation *
load(int version)
{
	Generation *g = pgw_config_new_generation(pgw_config_current->with_secrets);
	MemoryContext old = MemoryContextSwitchTo(g->context);
	PgwReader r;
	bool found = false;

	g->versions_relid = pgw_config_current->versions_relid;
	pgw_reader_open(&r, g->versions_relid);
	while (!found && pgw_reader_next(&r))
	{
		found = pgw_reader_int(&r, "version") == version;
		if (found)
			read_version(g, &r);
	}
	pgw_reader_close(&r);
	MemoryContextSwitchTo(old);
	if (!found)
	{
		MemoryContextDelete(g->context);
		return NULL;
	}
	pgw_config_keep(g);
	return g;
}

/* The place of the one that was not used for longest. */
static int
place_for(void)
{
	int oldest = 0;

	for (int i = 0; i < PGW_OLD_VERSIONS; i++)
	{
		if (old_versions[i] == NULL)
			return i;
		if (old_versions[i]->used < old_versions[oldest]->used)
			oldest = i;
	}
	if (old_versions[oldest]->holds == 0)
		MemoryContextDelete(old_versions[oldest]->context);
	old_versions[oldest] = NULL; /* a held one goes with its last call */
	return oldest;
}

bool
pgw_config_is_old(const PgwBank *bank)
{
	const Generation *g = ((const BankEntry *) bank)->generation;

	for (int i = 0; i < PGW_OLD_VERSIONS; i++)
	{
		if (old_versions[i] == g)
			return true;
	}
	return false;
}

static PgwBank *
old_version(int version, bool *unreadable)
{
	Generation *g = NULL;

	for (int i = 0; i < PGW_OLD_VERSIONS && g == NULL; i++)
	{
		if (old_versions[i] != NULL && old_versions[i]->banks[0].bank.version == version)
			g = old_versions[i];
	}
	if (g == NULL)
	{
		if (!pgw_versions_lock(unreadable == NULL))
		{
			pgw_tables_note_refusal(pgw_relation_or_none("bank_versions"));
			*unreadable = !PGW_MUTATED(UNREADABLE_BANK);
			return NULL;
		}
		g = load(version);
		if (g == NULL)
			return NULL;
		old_versions[place_for()] = g;
	}
	g->used = ++uses;
	return &g->banks[0].bank;
}

PgwBank *
pgw_config_version(int version, bool *unreadable)
{
	Generation *g = pgw_config_current;

	/* the worker waits for nobody */
	Assert(unreadable != NULL || g == NULL || !g->with_secrets);
	if (unreadable != NULL)
		*unreadable = false;
	if (version == 0)
		return NULL;

	/*
	 * nothing was read yet; or DROP and CREATE EXTENSION since: the next refresh reads the new ones
	 */
	if (g == NULL || g->versions_relid != pgw_relation("bank_versions"))
	{
		if (unreadable != NULL)
			*unreadable = true;
		return NULL;
	}
	version = resolve(g, version);
	for (int i = 0; i < g->nbanks; i++)
	{
		if (g->banks[i].bank.version == version)
			return &g->banks[i].bank;
	}
	return old_version(version, unreadable);
}

int
pgw_config_goes_by(int version)
{
	return pgw_config_current != NULL ? resolve(pgw_config_current, version) : version;
}

int *
pgw_config_versions_going_by(int version, int *n)
{
	const Generation *g = pgw_config_current;
	int *versions = palloc((1 + (g != NULL ? g->nrebinds : 0)) * sizeof(int));

	versions[0] = version;
	*n = 1;
	for (int i = 0; g != NULL && i < g->nrebinds; i++)
	{
		int from = g->rebinds[i].from;
		bool known = false;

		for (int j = 0; j < *n; j++)
			known |= versions[j] == from;
		if (!known && resolve(g, from) == version)
			versions[(*n)++] = from;
	}
	return versions;
}

PgwBank *
pgw_config_bank_of(const char *name, int version, bool *unreadable)
{
	PgwBank *bank;

	if (version != 0 && !PGW_MUTATED(BANK_VERSION))
		return pgw_config_version(version, unreadable);
	bank = pgw_config_bank(name);
	if (unreadable != NULL)
		*unreadable = bank == NULL && !pgw_config_is_current();
	return bank;
}
