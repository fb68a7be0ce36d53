/*
 * key_refused.h - has the bank refused our key?
 */
#ifndef PGW_CORE_BANK_MESSAGE_KEY_REFUSED_H
#define PGW_CORE_BANK_MESSAGE_KEY_REFUSED_H

#include <stdbool.h>

#include "core/bank_message/judge_answer.h"

/*
 * Has the bank refused our key?  401, or 403 unless the connector knows another reason; or whatever
 * the connector calls bank_credentials_rejected.  Then a charge is refused for that reason, and a
 * step after it is only put off: with the right key it will be done.
 */
extern bool pgw_secret_refused(PgwBankOp op, long http_status, PgwAnswer *a);

#endif
