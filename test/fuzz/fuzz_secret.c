/*
 * fuzz_secret.c - any bytes as the file of a secret, read as one value, as a value in each line and
 * as name=value lines
 *
 * Whatever is taken is printable, not empty, without blanks around it, and lies in the file; names
 * are names, each once; and where there is a fault nothing is left.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/files/key_file_rules.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_value(const char *text, size_t len)
{
	if (len == 0 || text[0] == ' ' || text[len - 1] == ' ')
		abort();
	for (size_t i = 0; i < len; i++)
	{
		if (text[i] < 0x20 || text[i] > 0x7e)
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	PgwSecretValues values;
	PgwSecretFault fault;
	size_t key_len;

	memcpy(text, data, size);
	if (pgw_secret_check_content(text, size, &key_len) == PGW_SECRET_FINE)
		check_value(text, key_len);
	if (pgw_secret_list(text, size, &values) == PGW_SECRET_FINE && values.n == 0)
		abort();
	for (int i = 0; i < values.n; i++)
		check_value(values.values[i].text, strlen(values.values[i].text));
	memcpy(text, data, size);
	fault = pgw_secret_split(text, size, &values);
	if ((fault == PGW_SECRET_FINE) != (values.n > 0) ||
		(fault != PGW_SECRET_FINE && pgw_secret_fault_text(fault) == NULL))
		abort();
	for (int i = 0; i < values.n; i++)
	{
		const PgwSecretValue *v = &values.values[i];

		check_value(v->text, strlen(v->text));
		if (!pgw_secret_name_good(v->name, strlen(v->name)) || v->name < text ||
			v->text + strlen(v->text) > text + size ||
			pgw_secret_value(&values, v->name) != v->text)
			abort();
	}
	free(text);
	return 0;
}
