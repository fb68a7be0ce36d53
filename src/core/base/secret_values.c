/*
 * secret_values.c - the values of a bank's secret file, by their names
 */
#include "core/base/secret_values.h"

#include <string.h>

bool
pgw_secret_name_good(const char *name, size_t len)
{
	if (len < 1 || len > 63)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
			  (name[i] >= '0' && name[i] <= '9') || name[i] == '_' || name[i] == '-'))
			return false;
	}
	return true;
}

const char *
pgw_secret_value(const PgwSecretValues *secrets, const char *name)
{
	for (int i = 0; secrets != NULL && i < secrets->n; i++)
	{
		if (strcmp(secrets->values[i].name, name) == 0)
			return secrets->values[i].text;
	}
	return NULL;
}
