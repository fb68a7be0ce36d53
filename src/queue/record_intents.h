/*
 * record_intents.h - the intent of a caller's request, recorded before anything is sent
 */
#ifndef PGW_QUEUE_RECORD_INTENTS_H
#define PGW_QUEUE_RECORD_INTENTS_H

#include "database/batch.h"

extern const PgwBatchItemOps pgw_intent_ops; /* its items are PgwCalls that have a slot */

#endif
