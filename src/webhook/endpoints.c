/*
 * endpoints.c - the endpoints that webhooks are sent to, as the sender knows them
 *
 * Owns: the list of them, with how each does and what its secret's file holds;
 * pgw.webhook_private_addresses.  Whatever is under way points to its endpoint, so one that is
 * disabled or deleted stays in the list until that has ended.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "core/base/mutant.h"
#include "core/connector/bank_url.h"
#include "core/webhook/webhook_address.h"
#include "core/webhook/webhook_signature.h"
#include "database/statements.h"
#include "webhook/endpoints.h"

static dlist_head endpoints = DLIST_STATIC_INIT(endpoints);
static bool private_addresses = false;

void
pgw_endpoints_init(void)
{
	DefineCustomBoolVariable(
		"pgw.webhook_private_addresses",
		"Whether webhooks may be sent to addresses that are not of the public internet.",
		"Off, whoever can name an endpoint reaches nothing within this network. Endpoints that name this machine itself (localhost, 127.0.0.1) reach it all the same.",
		&private_addresses, false, PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
}

dlist_head *
pgw_endpoints(void)
{
	return &endpoints;
}

/* ---------------------------------------------------------------- addresses */

static bool
may_connect_anywhere(const struct sockaddr *address, size_t len)
{
	return true;
}

PgwHttpMayConnect
pgw_endpoint_may_connect(const PgwWebhookEndpoint *e)
{
	/* what names this machine means it, and nothing else */
	if (pgw_bank_url_is_loopback(e->url))
		return pgw_address_is_loopback;
	if (private_addresses || PGW_MUTATED(WEBHOOK_ADDRESS))
		return may_connect_anywhere;
	return pgw_address_is_public;
}

/* ---------------------------------------------------------------- secrets */

static void
read_secret(PgwWebhookEndpoint *e)
{
	PgwSecretFault fault;
	PgwSecret *secret =
		pgw_secret_read(e->secret_name, PGW_SECRET_FORM_LIST, &e->secret_seen, &fault);

	e->secret_fault = secret != NULL ? pgw_webhook_secrets_fault(pgw_secret_values(secret))
									 : pgw_secret_fault_text(fault);
	pgw_secret_free(e->secret);
	e->secret = secret;
	e->fault_written = false;
}

bool
pgw_endpoints_watch_secrets(void)
{
	dlist_iter iter;
	bool any = false;

	dlist_foreach(iter, &endpoints)
	{
		PgwWebhookEndpoint *e = dlist_container(PgwWebhookEndpoint, node, iter.cur);

		if (!pgw_secret_changed(e->secret_name, &e->secret_seen))
			continue;
		read_secret(e);
		any = true;
	}
	return any;
}

/* ---------------------------------------------------------------- the list */

static PgwWebhookEndpoint *
find(const char *name)
{
	dlist_iter iter;

	dlist_foreach(iter, &endpoints)
	{
		PgwWebhookEndpoint *e = dlist_container(PgwWebhookEndpoint, node, iter.cur);

		if (strcmp(e->name, name) == 0)
			return e;
	}
	return NULL;
}

static void
set_text(char **where, const char *text)
{
	char *copy = text != NULL ? MemoryContextStrdup(TopMemoryContext, text) : NULL;

	if (*where != NULL)
		pfree(*where);
	*where = copy;
}

static void
take_row(HeapTuple row, TupleDesc desc)
{
	const char *name = SPI_getvalue(row, desc, 1);
	const char *secret_name = SPI_getvalue(row, desc, 3);
	PgwWebhookEndpoint *e = find(name);
	const char *url = SPI_getvalue(row, desc, 2);
	bool other_secret;
	bool isnull;
	TimestampTz enabled_at = DatumGetTimestampTz(SPI_getbinval(row, desc, 8, &isnull));
	Datum since;

	if (e == NULL)
	{
		e = MemoryContextAllocZero(TopMemoryContext, sizeof(*e));
		strlcpy(e->name, name, sizeof(e->name));
		dlist_push_tail(&endpoints, &e->node);
		since = SPI_getbinval(row, desc, 7, &isnull);
		if (!isnull)
			e->health.failing_since = DatumGetTimestampTz(since) / 1000;
	}
	else if (strcmp(e->url, url) != 0 || e->enabled_at != enabled_at) /* moved, or enabled anew */
	{
		e->health_changed |= e->health.failing_since != 0;
		pgw_webhook_succeeded(&e->health);
		e->disable_because = NULL;
		e->fault_written = false;
	}
	e->enabled = e->found = true;
	other_secret = e->secret_name == NULL || strcmp(e->secret_name, secret_name) != 0;
	e->enabled_at = enabled_at;
	set_text(&e->url, url);
	set_text(&e->secret_name, secret_name);
	set_text(&e->ca_file, SPI_getvalue(row, desc, 4));
	e->max_in_flight = DatumGetInt32(SPI_getbinval(row, desc, 5, &isnull));
	e->timeout_ms = (int) pgw_interval_ms(SPI_getbinval(row, desc, 6, &isnull));
	if (other_secret)
		read_secret(e);
}

void
pgw_endpoints_read(void)
{
	dlist_iter iter;

	pgw_statements_begin();
	if (SPI_execute(
			"SELECT w.endpoint, w.url, w.secret, w.ca_file, w.max_in_flight, w.timeout,"
			" s.failing_since, w.enabled_at FROM pgw.webhook_endpoints w LEFT JOIN pgw.webhook_states s"
			" ON s.endpoint = w.endpoint AND s.disabled_at IS NULL"
			" WHERE w.enabled ORDER BY w.endpoint",
			true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the endpoints could not be read");
	/* nothing from here on raises but for want of memory; then they are read once more */
	dlist_foreach(iter, &endpoints) dlist_container(PgwWebhookEndpoint, node, iter.cur)->found =
		false;
	for (uint64 i = 0; i < SPI_processed; i++)
		take_row(SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	dlist_foreach(iter, &endpoints)
	{
		PgwWebhookEndpoint *e = dlist_container(PgwWebhookEndpoint, node, iter.cur);

		e->enabled = e->found;
	}
	pgw_statements_end();
}

void
pgw_endpoints_forget(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &endpoints)
	{
		PgwWebhookEndpoint *e = dlist_container(PgwWebhookEndpoint, node, iter.cur);

		if (e->enabled || e->in_flight > 0)
			continue;
		dlist_delete(iter.cur);
		pgw_secret_free(e->secret);
		pfree(e->url);
		pfree(e->secret_name);
		if (e->ca_file != NULL)
			pfree(e->ca_file);
		pfree(e);
	}
}
