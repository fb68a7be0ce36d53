/*
 * card_identifiers.c - digits that are evidently no card number: UUIDs, hexadecimal ids, IBANs,
 * addresses
 */
#include "core/card/card_text_internal.h"

/* ---- machine-made identifiers ---- */

/* Length of a canonical UUID (8-4-4-4-12) with a letter in it at text, 0 when there is none. */
static size_t
uuid_length(const char *text, size_t len)
{
	bool letters = false;

	if (len < 36 || (len > 36 && pgw_ascii_is_word(text[36])))
		return 0;
	for (size_t i = 0; i < 36; i++)
	{
		if (i == 8 || i == 13 || i == 18 || i == 23)
		{
			if (text[i] != '-')
				return 0;
		}
		else if (pgw_ascii_is_hex_letter(text[i]))
			letters = true;
		else if (!pgw_ascii_is_digit(text[i]))
			return 0;
	}
	return letters ? 36 : 0;
}

/* A word of as many hexadecimal digits as usual ids and hashes have, one at least a letter. */
static size_t
hex_length(const char *text, size_t len)
{
	size_t n = 0;
	bool letters = false;

	for (; n < len && pgw_ascii_is_word(text[n]); n++)
	{
		if (pgw_ascii_is_hex_letter(text[n]))
			letters = true;
		else if (!pgw_ascii_is_digit(text[n]))
			return 0;
	}
	return letters && (n == 24 || n == 32 || n == 40 || n == 48 || n == 56 || n == 64 || n == 96 ||
					   n == 128)
			   ? n
			   : 0;
}

/*
 * Two letters, two check digits, letters and digits, in one or in groups of four, and the check
 * digits are right.
 */
static size_t
iban_length(const char *text, size_t len)
{
	unsigned sum = 0;
	size_t chars = 0;
	size_t right = 0;

	if (len < 15 || !pgw_ascii_is_letter(text[0]) || !pgw_ascii_is_letter(text[1]) ||
		!pgw_ascii_is_digit(text[2]) || !pgw_ascii_is_digit(text[3]))
		return 0;
	for (size_t pos = 4; pos <= len && chars < 30; pos++)
	{
		bool word = pos < len && pgw_ascii_is_word(text[pos]);

		if (!word && chars >= 11)
		{
			unsigned whole = sum;

			for (int i = 0; i < 2; i++)
				whole = (whole * 100 + (unsigned) (pgw_ascii_lower(text[i]) - 'a') + 10) % 97;
			if ((whole * 100 + (unsigned) (text[2] - '0') * 10 + (unsigned) (text[3] - '0')) % 97 ==
				1)
				right = pos;
		}
		if (word)
		{
			sum = (pgw_ascii_is_digit(text[pos])
					   ? sum * 10 + (unsigned) (text[pos] - '0')
					   : sum * 100 + (unsigned) (pgw_ascii_lower(text[pos]) - 'a') + 10) %
				  97;
			chars++;
		}
		else if (pos >= len || text[pos] != ' ' || chars % 4 != 0)
			break;
	}
	return right;
}

/* An IPv4 address, and its port. */
static size_t
address_length(const char *text, size_t len)
{
	size_t pos = 0;
	size_t port;

	for (int part = 0; part < 4; part++)
	{
		int value = 0;
		size_t start = pos;

		for (; pos < len && pos - start < 4 && pgw_ascii_is_digit(text[pos]); pos++)
			value = value * 10 + (text[pos] - '0');
		if (pos == start || value > 255 || (part < 3 && (pos >= len || text[pos++] != '.')))
			return 0;
	}
	for (port = pos; port < len && port - pos <= 5 &&
					 (port == pos ? text[port] == ':' : pgw_ascii_is_digit(text[port]));
		 port++)
		;
	if (port > pos + 1)
		pos = port;
	return pos < len && (pgw_ascii_is_word(text[pos]) || text[pos] == '.') ? 0 : pos;
}

/*
 * One UUID in some thousand holds a run of decimal digits like a card number; without this such an
 * id would be refused at random.
 */
size_t
pgw_card_identifier_length(const char *text, size_t len)
{
	size_t n = uuid_length(text, len);

	if (n == 0)
		n = hex_length(text, len);
	if (n == 0)
		n = iban_length(text, len);
	return n > 0 ? n : address_length(text, len);
}
