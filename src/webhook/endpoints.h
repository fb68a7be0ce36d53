/*
 * endpoints.h - the endpoints that webhooks are sent to, as the sender knows them
 */
#ifndef PGW_WEBHOOK_ENDPOINTS_H
#define PGW_WEBHOOK_ENDPOINTS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"

#include "bank/secrets.h"
#include "core/webhook/webhook_rules.h"
#include "http/http.h"

/* One that is enabled; or was, and has something under way. */
typedef struct PgwWebhookEndpoint
{
	dlist_node node;
	char name[64];
	char *url;
	TimestampTz enabled_at; /* with the url: to whom an answer is one */
	char *secret_name;
	char *ca_file; /* NULL: the system's certificates */
	int max_in_flight;
	int timeout_ms;
	bool enabled;
	bool found;    /* at the last look */
	int in_flight; /* until its result is written */
	PgwWebhookHealth health;
	bool health_changed; /* in what pgw.webhook_states holds of it */
	bool written;        /* ... by the transaction in progress */
	/* set while it is to be disabled; why, for people */
	const char *disable_because;

	PgwSecret *secret;
	PgwSecretSeen secret_seen;
	const char *secret_fault; /* NULL: the secret can sign */
	bool fault_written;       /* pgw.webhook_states says the same */
} PgwWebhookEndpoint;

extern void pgw_endpoints_init(void); /* _PG_init: settings */

/* All of them; of PgwWebhookEndpoint. */
extern dlist_head *pgw_endpoints(void);

/* Read anew what is enabled; in a transaction. */
extern void pgw_endpoints_read(void);

/* Outside of transactions: those that are not enabled and have nothing under way are forgotten. */
extern void pgw_endpoints_forget(void);

/* Files of secrets that were changed are read again; false: none was. */
extern bool pgw_endpoints_watch_secrets(void);

/* To where a connection of this one's may be made. */
extern PgwHttpMayConnect pgw_endpoint_may_connect(const PgwWebhookEndpoint *e);

#endif
