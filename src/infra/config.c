/*
 * config.c - banks and connectors, read from their tables into this process
 *
 * Owns the process's copy of pgw.banks and pgw.connectors.  A copy is a Generation: one memory context with all banks, the compiled
 * connectors and (worker only) the keys; all of it goes when the context is deleted.  A newer one replaces it as `current`; calls in
 * flight hold the older one until they end.
 *
 * The tables are scanned with SnapshotSelf: it sees what is committed now plus this transaction's own changes, leaves no SIREAD
 * lock, and a SERIALIZABLE caller reads no stale row.  Such a scan can miss or double a row that is being updated meanwhile; that update's
 * commit bumps the shared generation, which has everybody read again.
 *
 * Locks: AccessShareLock on both tables while reading.  The worker only takes it if it is free at once (an owner's ALTER TABLE may hold
 * the table for long), and goes on with what it has.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "core/errors.h"
#include "core/money.h"
#include "infra/config.h"
#include "infra/exchange.h"
#include "infra/secrets.h"

typedef struct Generation
{
	MemoryContext context;
	uint64		number;			/* the shared generation it was read at */
	bool		with_secrets;
	int			holds;			/* calls in flight */
	int			nbanks;
	struct BankEntry *banks;	/* by priority, then name */
	int			nconnectors;
	struct NamedConnector *connectors;
} Generation;

typedef struct BankEntry
{
	PgwBank		bank;			/* first: a PgwBank * is a BankEntry * */
	Generation *generation;
} BankEntry;

typedef struct NamedConnector
{
	char		name[NAMEDATALEN];
	PgwConnector *connector;
} NamedConnector;

static Generation *current = NULL;
static bool stale = true;
static bool changed_here = false;	/* by the transaction that runs */

/* ---------------------------------------------------------------- when to read */

static void
at_xact_end(XactEvent event, void *arg)
{
	/* own changes were read before they were committed, and may have gone: the next reader looks again */
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
	pgw_secrets_init();
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

typedef struct Reader
{
	Relation	rel;
	TableScanDesc scan;
	TupleTableSlot *slot;
} Reader;

static Datum
column(Reader *r, const char *name, bool *isnull)
{
	AttrNumber	attno = get_attnum(RelationGetRelid(r->rel), name);

	if (attno <= 0)
		elog(ERROR, "column \"%s\" of table \"%s\" does not exist", name, RelationGetRelationName(r->rel));
	return slot_getattr(r->slot, attno, isnull);
}

static char *
text_column(Reader *r, const char *name)
{
	bool		isnull;
	Datum		d = column(r, name, &isnull);

	return isnull ? NULL : TextDatumGetCString(d);
}

static int
int_column(Reader *r, const char *name)
{
	bool		isnull;
	Datum		d = column(r, name, &isnull);

	return isnull ? 0 : DatumGetInt32(d);
}

static int
interval_ms_column(Reader *r, const char *name, int otherwise)
{
	bool		isnull;
	Datum		d = column(r, name, &isnull);
	Interval   *i;
	int64		ms;

	if (isnull)
		return otherwise;
	i = DatumGetIntervalP(d);
	ms = i->time / 1000 + ((int64) i->day + (int64) i->month * DAYS_PER_MONTH) * SECS_PER_DAY * 1000;
	return (int) Max(1, Min(ms, 86400000));
}

static char **
text_array_column(Reader *r, const char *name)
{
	bool		isnull;
	Datum		d = column(r, name, &isnull);
	Datum	   *elems;
	bool	   *nulls;
	int			n;
	int			out = 0;
	char	  **result;

	if (isnull)
		return NULL;
	deconstruct_array(DatumGetArrayTypeP(d), TEXTOID, -1, false, TYPALIGN_INT, &elems, &nulls, &n);
	result = palloc0((n + 1) * sizeof(char *));
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			result[out++] = TextDatumGetCString(elems[i]);
	}
	return result;
}

static char *
jsonb_column(Reader *r, const char *name, const char *member, char **member_text)
{
	bool		isnull;
	Datum		d = column(r, name, &isnull);
	Jsonb	   *jb;
	JsonbValue	v;

	if (isnull)
		return NULL;
	jb = DatumGetJsonbP(d);
	if (member != NULL && JB_ROOT_IS_OBJECT(jb) &&
		getKeyJsonValueFromContainer(&jb->root, member, strlen(member), &v) != NULL && v.type == jbvString)
		*member_text = pnstrdup(v.val.string.val, v.val.string.len);
	return JsonbToCString(NULL, &jb->root, VARSIZE(jb));
}

static void
open_reader(Reader *r, Oid relid)
{
	r->rel = table_open(relid, NoLock); /* read_tables() holds the lock */
	r->slot = table_slot_create(r->rel, NULL);
	r->scan = table_beginscan(r->rel, SnapshotSelf, 0, NULL);
}

static void
close_reader(Reader *r)
{
	table_endscan(r->scan);
	ExecDropSingleTupleTableSlot(r->slot);
	table_close(r->rel, NoLock);
}

static void
read_connectors(Generation *g, Oid relid)
{
	Reader		r;
	int			size = 8;

	g->connectors = palloc0(size * sizeof(NamedConnector));
	open_reader(&r, relid);
	while (table_scan_getnextslot(r.scan, ForwardScanDirection, r.slot))
	{
		PgwConnectorError err;
		NamedConnector *c;
		char	   *name = text_column(&r, "name");
		char	   *json = jsonb_column(&r, "definition", NULL, NULL);

		if (name == NULL || json == NULL)
			continue;
		if (g->nconnectors == size)
		{
			size *= 2;
			g->connectors = repalloc(g->connectors, size * sizeof(NamedConnector));
		}
		c = &g->connectors[g->nconnectors];
		strlcpy(c->name, name, sizeof(c->name));
		c->connector = pgw_connector_compile(json, strlen(json), &err);
		if (c->connector == NULL)
			ereport(WARNING,
					(errmsg("pgw: connector \"%s\" cannot be used", c->name),
					 errdetail("%s: %s", err.pointer, err.message)));
		g->nconnectors++;		/* counted at once: freed with the generation */
	}
	close_reader(&r);
}

static PgwConnector *
find_connector(const Generation *g, const char *name)
{
	for (int i = g->nconnectors - 1; name != NULL && i >= 0; i--)
	{
		if (strcmp(g->connectors[i].name, name) == 0 && g->connectors[i].connector != NULL)
			return g->connectors[i].connector;
	}
	return NULL;
}

static void
read_bank(Generation *g, Reader *r, PgwBank *b)
{
	bool		isnull;
	PgwBank    *before;
	char	   *name = text_column(r, "name");

	memset(b, 0, sizeof(*b));
	strlcpy(b->name, name != NULL ? name : "", sizeof(b->name));
	b->base_url = text_column(r, "base_url");
	b->secret_name = text_column(r, "secret");
	b->priority = int_column(r, "priority");
	b->enabled = DatumGetBool(column(r, "enabled", &isnull)) && !isnull;
	b->connect_timeout_ms = interval_ms_column(r, "connect_timeout", 5000);
	b->request_timeout_ms = interval_ms_column(r, "request_timeout", 30000);
	b->max_in_flight = int_column(r, "max_in_flight");
	b->currencies = text_array_column(r, "currencies");
	b->token_scope = text_column(r, "token_scope");
	b->settings = jsonb_column(r, "settings", "ca_file", &b->ca_file);
	b->connector = find_connector(g, text_column(r, "connector"));
	before = pgw_config_bank(b->name);	/* of the generation that is being replaced */
	b->in_flight = before != NULL ? before->in_flight : 0;
	if (g->with_secrets && b->secret_name != NULL)
	{
		b->secret = pgw_secret_read(b->secret_name, &b->secret_error);
		if (b->secret == NULL)
			ereport(WARNING,
					(errmsg("pgw: the secret of bank \"%s\" cannot be used: %s", b->name, b->secret_error)));
	}
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
	Reader		r;
	int			size = 8;

	g->banks = palloc0(size * sizeof(BankEntry));
	open_reader(&r, relid);
	while (table_scan_getnextslot(r.scan, ForwardScanDirection, r.slot))
	{
		if (g->nbanks == size)
		{
			size *= 2;
			g->banks = repalloc(g->banks, size * sizeof(BankEntry));
		}
		g->banks[g->nbanks].generation = g;
		read_bank(g, &r, &g->banks[g->nbanks].bank);
		g->nbanks++;
	}
	close_reader(&r);
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

static Generation *
read_tables(uint64 number, bool with_secrets, Oid banks, Oid connectors)
{
	/* a child of the transaction's until it is whole: an error leaves nothing behind */
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pgw banks and connectors", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Generation *g = palloc0(sizeof(Generation));
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

	g->context = context;
	g->number = number;
	g->with_secrets = with_secrets;
	callback->func = free_generation;
	callback->arg = g;
	MemoryContextRegisterResetCallback(context, callback);

	read_connectors(g, connectors);
	read_banks(g, banks);
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, TopMemoryContext);
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

void
pgw_config_refresh(bool with_secrets)
{
	uint64		number = pgw_exchange_generation();	/* before the scan: a later change has us read again */
	Oid			namespace;
	Oid			banks;
	Oid			connectors;
	Generation *g;

	if (current != NULL && !stale && current->number == number && current->with_secrets == with_secrets)
		return;
	namespace = get_namespace_oid("pgw", true);
	banks = get_relname_relid("banks", namespace);
	connectors = get_relname_relid("connectors", namespace);
	if (!lock_table(connectors, !with_secrets) || !lock_table(banks, !with_secrets))
		return;
	g = read_tables(number, with_secrets, banks, connectors);

	/* From here on nothing fails. */
	if (current != NULL && current->holds == 0)
		MemoryContextDelete(current->context);
	current = g;
	stale = false;
}

bool
pgw_config_is_current(void)
{
	return current != NULL && !stale && current->number == pgw_exchange_generation();
}

/* ---------------------------------------------------------------- use */

PgwBank *
pgw_config_bank(const char *name)
{
	for (int i = 0; current != NULL && name != NULL && i < current->nbanks; i++)
	{
		if (strcmp(current->banks[i].bank.name, name) == 0)
			return &current->banks[i].bank;
	}
	return NULL;
}

void
pgw_config_hold(PgwBank *bank)
{
	PgwBank    *now = pgw_config_bank(bank->name);

	((BankEntry *) bank)->generation->holds++;
	if (now != NULL)
		now->in_flight++;
}

void
pgw_config_drop(PgwBank *bank)
{
	Generation *g = ((BankEntry *) bank)->generation;
	PgwBank    *now = pgw_config_bank(bank->name);

	if (now != NULL && now->in_flight > 0)
		now->in_flight--;
	if (--g->holds == 0 && g != current)
		MemoryContextDelete(g->context);
}

static bool
takes_currency(const PgwBank *b, const char *currency)
{
	if (b->currencies == NULL)
		return true;
	for (char **c = b->currencies; *c != NULL; c++)
	{
		if (strcmp(*c, currency) == 0)
			return true;
	}
	return false;
}

bool
pgw_config_takes_amount(const PgwBank *b, int64 amount, const char *currency)
{
	const PgwCurrency *c = pgw_currency_find(currency);
	int64_t		converted;

	return c != NULL &&
		pgw_money_rescale(amount, c->exponent, pgw_connector_exponent(b->connector, currency, c->exponent), &converted);
}

/* NULL: it takes the request; else the code that says why not. */
static const char *
refusal(const PgwBank *b, int64 amount, const char *currency, bool with_card, PgwCaptureMode capture)
{
	const PgwCapabilities *can;

	if (!b->enabled)
		return "bank_disabled";
	if (b->connector == NULL)
		return "connector_invalid";
	can = pgw_connector_capabilities(b->connector);
	if (with_card && !can->cards)
		return "bank_takes_no_cards";
	if (!with_card && !can->tokens)
		return "bank_takes_no_tokens";
	if (!takes_currency(b, currency))
		return "bank_currency_not_supported";
	if (!pgw_config_takes_amount(b, amount, currency))
		return "amount_not_representable";
	if (capture != PGW_CAPTURE_IMMEDIATE && !can->separate_capture)
		return "bank_cannot_capture_separately";
	if (capture == PGW_CAPTURE_IMMEDIATE && !pgw_connector_has(b->connector, PGW_OP_CHARGE))
		return "bank_operation_not_supported";
	return NULL;
}

PgwBank *
pgw_config_route(const char *named, int64 amount, const char *currency, bool with_card, PgwCaptureMode capture,
				 const char **error_code, char **detail)
{
	const char *first = NULL;
	StringInfoData why;

	*error_code = NULL;
	*detail = NULL;
	initStringInfo(&why);
	for (int i = 0; current != NULL && i < current->nbanks; i++)
	{
		PgwBank    *b = &current->banks[i].bank;
		const char *code;

		if (named != NULL && strcmp(named, b->name) != 0)
			continue;
		code = refusal(b, amount, currency, with_card, capture);
		if (code == NULL)
			return b;
		if (named == NULL && !b->enabled)
			continue;			/* not a candidate at all */
		if (first == NULL)
			first = code;
		appendStringInfo(&why, "%sBank \"%s\": %s.", why.len > 0 ? " " : "", b->name, pgw_error_find(code)->message);
	}
	if (first == NULL)
	{
		first = named != NULL ? "unknown_bank" : "no_bank_configured";
		if (named != NULL)
			appendStringInfo(&why, "Bank \"%s\" is not in pgw.banks.", named);
		else
			appendStringInfoString(&why, "No row of pgw.banks is enabled.");
	}
	*error_code = first;
	*detail = why.data;
	return NULL;
}

PgwBank *
pgw_config_next_bank(const PgwBank *after, int64 amount, const char *currency, bool with_card, PgwCaptureMode capture)
{
	bool		passed = false;

	for (int i = 0; current != NULL && i < current->nbanks; i++)
	{
		PgwBank    *b = &current->banks[i].bank;

		if (!passed)
		{
			passed = strcmp(b->name, after->name) == 0;
			continue;
		}
		if (refusal(b, amount, currency, with_card, capture) != NULL)
			continue;
		/* a token means something only where it was made, and where its maker says */
		if (!with_card && (after->token_scope == NULL || b->token_scope == NULL || strcmp(after->token_scope, b->token_scope) != 0))
			continue;
		return b;
	}
	return NULL;
}
