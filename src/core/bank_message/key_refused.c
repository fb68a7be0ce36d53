/*
 * key_refused.c - has the bank refused our key?
 */
#include "core/bank_message/key_refused.h"

#include <stdio.h>
#include <string.h>

#define REFUSED "bank_credentials_rejected"

bool
pgw_secret_refused(PgwBankOp op, long http_status, PgwAnswer *a)
{
	bool named = strcmp(a->error_code, REFUSED) == 0;

	/*
	 * an answer that is not understood may hide anything; that the key is at fault is still worth
	 * telling
	 */
	if (a->outcome == PGW_OUT_UNKNOWN)
		return http_status == 401 || http_status == 403;
	if (a->outcome != PGW_OUT_REJECTED)
		return false;
	if (!named && http_status != 401 && (http_status != 403 || a->error_code[0] != '\0'))
		return false;
	snprintf(a->error_code, sizeof(a->error_code), REFUSED);
	if (op != PGW_OP_CHARGE && op != PGW_OP_AUTHORIZE && op != PGW_OP_PING)
		a->outcome = PGW_OUT_NOT_PROCESSED;
	return true;
}
