/*
 * read_dispute.h - what a notification says of a dispute
 */
#ifndef PGW_CORE_NOTIFICATION_READ_DISPUTE_H
#define PGW_CORE_NOTIFICATION_READ_DISPUTE_H

#include <stddef.h>

#include "core/bank_message/answer_body.h"
#include "core/connector/compiled.h"

/*
 * Of the first rule that fits; out->steps is 0 where none does.  bank_reference and reference, of
 * those sizes, are what it says of the charge, and stay as they are where it is about no dispute.
 */
extern void pgw_dispute_read(const PgwConnector *c, const PgwAnswerBody *body, char *bank_reference,
							 size_t bank_reference_size, char *reference, size_t reference_size,
							 PgwSaidDispute *out);

/* "2026-11-28T15:04:18.25+01:00", with Z for +00:00; Unix seconds, 0: none. */
extern int64_t pgw_iso_time_read(const char *s);

#endif
