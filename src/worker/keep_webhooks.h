/*
 * keep_webhooks.h - the process that sends webhooks, while there is something for it
 */
#ifndef PGW_WORKER_KEEP_WEBHOOKS_H
#define PGW_WORKER_KEEP_WEBHOOKS_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* At each turn: started while it may send and an endpoint is enabled, else ended. */
extern void pgw_webhooks_turn(bool may_send, TimestampTz now);

#endif
