/*
 * kept_headers.c - the headers of an answer that were asked for
 *
 * Called inside libcurl's frames: no palloc, no ereport.
 * Invariants: only what was asked for by name is kept, up to a limit for all of it; a header that
 * was, and cannot be kept as it came (no room, a control character, a line that goes on in the
 * next), spoils the answer, because half of an id is another id; what comes behind the body counts
 * for nothing.  Wiped with the transfer.
 */
#include "core/base/characters.h"
#include "http/http_internal.h"

bool
pgw_http_want_headers(Transfer *transfer, const PgwHttpRequest *req)
{
	for (int i = 0; i < req->nanswer_headers; i++)
	{
		pgw_buf_puts(&transfer->wanted_headers, req->answer_headers[i]);
		pgw_buf_puts(&transfer->wanted_headers, "\n");
	}
	return !transfer->wanted_headers.failed;
}

/* data: "Name: value" */
static bool
is_wanted(const Transfer *transfer, const char *data, size_t len)
{
	const char *colon = memchr(data, ':', len);
	const char *name = transfer->wanted_headers.len > 0 ? transfer->wanted_headers.data : "";

	for (; colon != NULL && *name != '\0'; name += strcspn(name, "\n") + 1)
	{
		size_t n = strcspn(name, "\n");

		if (n == (size_t) (colon - data) && strncasecmp(data, name, n) == 0)
			return true;
	}
	return false;
}

void
pgw_http_forget_headers(Transfer *transfer)
{
	pgw_buf_reset(&transfer->kept_headers);
	transfer->headers_over = false;
	transfer->kept_last = false;
	transfer->bad_header = false;
}

void
pgw_http_keep_header(Transfer *transfer, const char *data, size_t len)
{
	bool goes_on = len > 0 && (data[0] == ' ' || data[0] == '\t');

	while (len > 0 && (data[len - 1] == '\r' || data[len - 1] == '\n'))
		len--;
	transfer->headers_over |= len == 0;
	if (transfer->headers_over)
		return;
	if (goes_on)
	{
		transfer->bad_header |= transfer->kept_last;
		return;
	}
	transfer->kept_last = is_wanted(transfer, data, len);
	if (!transfer->kept_last)
		return;
	for (size_t i = 0; i < len; i++)
		transfer->bad_header |= pgw_is_ascii_control(data[i]) && data[i] != '\t';
	pgw_buf_append(&transfer->kept_headers, data, len);
	pgw_buf_puts(&transfer->kept_headers, "\n");
	transfer->bad_header |= transfer->kept_headers.failed;
}
