/*
 * wire_limit.c - how much a bank may send, whatever it is
 *
 * Runs inside libcurl's frames: no palloc, no ereport.
 */
#include "http/http_internal.h"

#define TURNS_EACH 16 /* of libcurl's with a transfer: most are over by then */

/*
 * What comes and is neither header nor body is libcurl's own and has no limit there: the extensions
 * of a chunk's length can be endless, as fast as the network is.  So the kernel is asked from time
 * to time what the connection has received; between headers, body and chunks' lengths no bank has
 * more to say than twice the limits.  Not zero: ends the transfer.
 */
int
pgw_http_on_progress(void *arg, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal,
					 curl_off_t ulnow)
{
	Transfer *transfer = arg;
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	(void) dltotal;
	(void) dlnow;
	(void) ultotal;
	(void) ulnow;

	if (++transfer->turns % TURNS_EACH != 0)
		return 0;
	if (transfer->socket < 0 ||
		getsockopt(transfer->socket, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
		return 0;
	if (transfer->turns == TURNS_EACH)
		transfer->received_before = info.tcpi_bytes_received; /* also of earlier requests */
	transfer->too_large |= info.tcpi_bytes_received - transfer->received_before >
						   2 * (transfer->max_body + MAX_HEADER_BYTES);
	return transfer->too_large;
}
