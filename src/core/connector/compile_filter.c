/*
 * compile_filter.c - compile how a placeholder's value is to be written: {{currency|lower}}
 *
 * Owns the list of filters and of the places where each has a meaning.  Invariants: a chain that
 * compiles can be applied to any value that its placeholder can have; a time and an expiry always
 * have a format, because none of them is everybody's.
 */
#include "core/connector/compiled.h"

#include <stdio.h>
#include <string.h>

#include "core/customer/customer.h"

#define AMOUNT PGW_PH_BIT(PGW_PH_AMOUNT)
#define CURRENCY PGW_PH_BIT(PGW_PH_CURRENCY)
#define EXPIRY PGW_PH_BIT(PGW_PH_CARD_EXPIRY)
#define NOW PGW_PH_BIT(PGW_PH_NOW)

/* What is bare alone in a JSON value: a number, true, false. */
#define BARE \
	(AMOUNT | PGW_PH_BIT(PGW_PH_CARD_EXPIRY_MONTH) | PGW_PH_BIT(PGW_PH_CARD_EXPIRY_YEAR) | \
	 PGW_PH_BIT(PGW_PH_FINAL) | PGW_PH_BIT(PGW_PH_BANK_FIELDS) | PGW_PH_BIT(PGW_PH_SETTINGS) | \
	 PGW_PH_BIT(PGW_PH_TOKEN_PART) | PGW_PH_BIT(PGW_PH_CUSTOMER))

#define AFTER(filter) (UINT32_C(1) << (filter))
#define TIMES \
	(AFTER(PGW_FILTER_RFC1123) | AFTER(PGW_FILTER_ISO8601) | AFTER(PGW_FILTER_EPOCH) | \
	 AFTER(PGW_FILTER_EPOCH_MS))
#define WRITES_TEXT \
	(TIMES | AFTER(PGW_FILTER_LOWER) | AFTER(PGW_FILTER_NUMERIC) | AFTER(PGW_FILTER_SHAPE) | \
	 AFTER(PGW_FILTER_BASE64) | AFTER(PGW_FILTER_HEX))

typedef struct FilterRule
{
	const char *name;
	PgwFilter filter;
	uint64_t first; /* on these placeholders */
	uint32_t after; /* behind these filters */
} FilterRule;

static const FilterRule rules[] = {
	{"string", PGW_FILTER_STRING, BARE, 0},
	{"number", PGW_FILTER_NUMBER, PGW_PH_BIT(PGW_PH_AMOUNT_DECIMAL) | PGW_PH_BIT(PGW_PH_CUSTOMER),
	 AFTER(PGW_FILTER_NUMERIC) | AFTER(PGW_FILTER_SHAPE) | AFTER(PGW_FILTER_EPOCH) |
		 AFTER(PGW_FILTER_EPOCH_MS)},
	{"lower", PGW_FILTER_LOWER, CURRENCY, 0},
	{"numeric", PGW_FILTER_NUMERIC, CURRENCY, 0},
	{"MM", PGW_FILTER_SHAPE, EXPIRY, 0},
	{"YY", PGW_FILTER_SHAPE, EXPIRY, 0},
	{"YYYY", PGW_FILTER_SHAPE, EXPIRY, 0},
	{"MMYY", PGW_FILTER_SHAPE, EXPIRY, 0},
	{"YYMM", PGW_FILTER_SHAPE, EXPIRY, 0},
	{"MM/YY", PGW_FILTER_SHAPE, EXPIRY, 0},
	{"MM-YY", PGW_FILTER_SHAPE, EXPIRY, 0},
	{"MMYYYY", PGW_FILTER_SHAPE, EXPIRY, 0},
	{"MM/YYYY", PGW_FILTER_SHAPE, EXPIRY, 0},
	{"MM-YYYY", PGW_FILTER_SHAPE, EXPIRY, 0},
	{"YYYYMM", PGW_FILTER_SHAPE, EXPIRY, 0},
	{"YYYY-MM", PGW_FILTER_SHAPE, EXPIRY, 0},
	{"YYYY/MM", PGW_FILTER_SHAPE, EXPIRY, 0},
	{"rfc1123", PGW_FILTER_RFC1123, NOW, 0},
	{"iso8601", PGW_FILTER_ISO8601, NOW, 0},
	{"epoch", PGW_FILTER_EPOCH, NOW, 0},
	{"epoch_ms", PGW_FILTER_EPOCH_MS, NOW, 0},
	{"base64", PGW_FILTER_BASE64, ~(EXPIRY | NOW), WRITES_TEXT},
	{"hex", PGW_FILTER_HEX, ~(EXPIRY | NOW), WRITES_TEXT},
};

#define NRULES (sizeof(rules) / sizeof(rules[0]))

/* May it stand here?  before: the filter in front of it. */
static bool
fits(const FilterRule *rule, const PgwSegment *segment, PgwFilter before)
{
	/* the digits of some members alone are those of a number */
	if (rule->filter == PGW_FILTER_NUMBER && segment->kind == PGW_PH_CUSTOMER &&
		!pgw_customer_is_number(segment->text))
		return false;
	if (before == PGW_FILTER_NONE)
		return (rule->first & PGW_PH_BIT(segment->kind)) != 0;
	/* "09/31" is no number */
	if (rule->filter == PGW_FILTER_NUMBER && before == PGW_FILTER_SHAPE &&
		strpbrk(segment->shape, "/-") != NULL)
		return false;
	return (rule->after & AFTER(before)) != 0;
}

/* Where there is no such filter, or it does not fit: those that do. */
static bool
no_such_filter(PgwCompile *cc, const PgwSegment *segment, PgwFilter before, const char *s,
			   size_t len)
{
	char list[300] = "";
	char name[100];
	size_t used = 0;

	pgw_segment_name(segment, name, sizeof(name));
	for (size_t i = 0; i < NRULES && used < sizeof(list); i++)
	{
		if (fits(&rules[i], segment, before))
			used += (size_t) snprintf(list + used, sizeof(list) - used, "%s|%s", used ? ", " : "",
									  rules[i].name);
	}
	if (s == NULL)
		return pgw_fault(cc, "%s needs a format, one of %s", name, list);
	if (used == 0)
		return pgw_fault(cc, "nothing can stand behind this filter of %s, but there is \"|%.*s\"",
						 name, len > 40 ? 40 : (int) len, s);
	return pgw_fault(cc, "\"|%.*s\" cannot stand here in %s; known: %s", len > 40 ? 40 : (int) len,
					 s, name, list);
}

static bool
compile_filter(PgwCompile *cc, PgwSegment *segment, int n, const char *s, size_t len)
{
	PgwFilter before = n > 0 ? segment->filters[n - 1] : PGW_FILTER_NONE;

	for (size_t i = 0; i < NRULES; i++)
	{
		if (strlen(rules[i].name) != len || memcmp(rules[i].name, s, len) != 0 ||
			!fits(&rules[i], segment, before))
			continue;
		if (n == PGW_MAX_FILTERS)
			return pgw_fault(cc, "more than %d filters on one placeholder", PGW_MAX_FILTERS);
		segment->filters[n] = rules[i].filter;
		if (rules[i].filter == PGW_FILTER_SHAPE)
			segment->shape = rules[i].name;
		return true;
	}
	return no_such_filter(cc, segment, before, s, len);
}

bool
pgw_compile_filters(PgwCompile *cc, PgwSegment *segment, const char *s, size_t len)
{
	if (s == NULL)
		return (PGW_PH_BIT(segment->kind) & (EXPIRY | NOW)) == 0 ||
			   no_such_filter(cc, segment, PGW_FILTER_NONE, NULL, 0);
	if (!pgw_since_version(cc, 2, "a filter"))
		return false;
	for (int n = 0; s != NULL; n++)
	{
		const char *bar = memchr(s, '|', len);
		size_t own = bar != NULL ? (size_t) (bar - s) : len;

		if (!compile_filter(cc, segment, n, s, own))
			return false;
		s = bar != NULL ? bar + 1 : NULL;
		len -= bar != NULL ? own + 1 : own;
	}
	return true;
}

/* "card_brands": what the bank calls them. */
bool
pgw_compile_card_brands(PgwCompile *cc, json_object *v)
{
	if (!pgw_since_version(cc, 2, "\"card_brands\"") || !pgw_is_object(cc, v))
		return false;
	cc->connector->has_card_brands = true;
	json_object_object_foreach(v, key, value)
	{
		size_t mark = pgw_enter(cc, key);
		int brand = PGW_BRAND_UNKNOWN + 1;
		const char *s;

		while (brand < PGW_NBRANDS && strcmp(pgw_card_brand_name((PgwCardBrand) brand), key) != 0)
			brand++;
		if (brand == PGW_NBRANDS)
			return pgw_fault(
				cc,
				"unknown brand; known: visa, mastercard, amex, discover, diners, jcb, unionpay, maestro");
		if ((s = pgw_text_of(cc, value)) == NULL ||
			(cc->connector->card_brands[brand] = pgw_arena_text(cc, s, strlen(s))) == NULL)
			return false;
		pgw_leave(cc, mark);
	}
	return true;
}
