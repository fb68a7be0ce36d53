/*
 * test_sha2.c - SHA-2 and HMAC: the vectors of FIPS 180-4 and RFC 4231, and lengths around a block
 *
 * The digests of other lengths were computed with Python's hashlib, which is OpenSSL.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/base/sha2.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static void
is_hex(const unsigned char *bytes, size_t len, const char *hex)
{
	char text[2 * PGW_SHA2_MAX + 1] = "";

	for (size_t i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	assert_string_equal(text, hex);
}

static void
test_published(void **state)
{
	unsigned char digest[PGW_SHA2_MAX];

	(void) state;
	is_hex(digest, pgw_sha2(PGW_SHA256, "abc", 3, digest),
		   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	is_hex(digest, pgw_sha2(PGW_SHA512, "abc", 3, digest),
		   "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
		   "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

static void
test_lengths(void **state)
{
	static const struct
	{
		size_t len;
		const char *sha256;
		const char *sha512;
	} cases[] = {
		{0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		 "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
		 "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"},
		{1, "4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a",
		 "7b54b66836c1fbdd13d2441d9e1434dc62ca677fb68f5fe66a464baadecdbd00"
		 "576f8d6b5ac3bcc80844b7d50b1cc6603444bbe7cfcf8fc0aa1ee3c636d9e339"},
		{3, "6ab0dba1f4f1dfbb37b4f9eeb092c09fca4900ad32bdcd147d8dde35d6c87c35",
		 "8853167ab14c043919981a6409307ef68b5b726f4b80dcab259daa24b7cabcb8"
		 "b4bbfd3e2e36ed98465059661f672e6529cdcc673e7eabfa78dd3186745b112a"},
		{55, "81afe5b788dc2ce138ff83d9b20164db75a94d75d2b2432eea4a0ef605088c72",
		 "19910fbb344bf57448fff9ee9a58106f31e23a8a339aa91f8c31e8efd180595f"
		 "6aea94cf4abb7262b5d93e3d70efc38703ccc204e3a3b95faa54c503aceb3f62"},
		{56, "2aba54f0ac632420a2b502431408866e40e1d5e430df4cd822642c78ab2eb9c1",
		 "87fffcf68777e021d6068baeb18a877d98dd19c758435d1964f96d26865a0006"
		 "0a0f4493381d59414f483f38e72aaa8fc364fd0605a2aea92c709861e28b43c9"},
		{63, "733d3d4ee79ee67145bf73da13588f6f235d37414fc64b14a2f00f1762792f5e",
		 "a2df1363c3caa5f2744cb66cd03885632cd6fe8e8c9272976761c7eb2b0f4382"
		 "47a201902914ec616b3b38352efe6c3457a0e90b8e62ebf8ab99f9d92b8fb4db"},
		{64, "79322907b3e9d013d7dc2c2f256674dbf733045cde01df3539271c6f5605feb8",
		 "afba2b1a4441b2333a7f48688f7a6e3839312024bad590da5237c383821c3a9e"
		 "a75ffba852ccf5b85d87726128501dbd6b8073cbc85c091f293f683542c3ed9d"},
		{65, "d85c007c6eb440f085afa2b84f6f2bce4658b240e9f62cb1364bf0485a57e720",
		 "2cbdc26833af6d9d8d4175d4cf30278d4184810bfc30110fa796fb26b1fcded8"
		 "5f58847aabce07308851e81bdf4c7bd40a08a7f81a3570235e61175591bd4539"},
		{111, "b41ae5233b9ec35d8576a032034d2857b667a618c7038714d727d4dae3aa2525",
		 "df79e18538ec82120d0eb59f92ade93fc786e47b5c622121a065503708882f78"
		 "01fa4b115197504b74feb420ee58fb85718ab98a5bf461bf7f8897472c26be4d"},
		{112, "0949563bc78e5ccd85603fa20368a33ed3d2da0141c8284a3b1515fe4683cdd7",
		 "d7377bc7047400daa33483946a6e2ec47609bc5f64b8309effd8d38b764b6ef2"
		 "50086511cc4cc9b4e5806613ecdf2a7b86ffcf0b9c88a571b869b32dfeca4b0a"},
		{113, "797b138819c4658ac5a0117ffe7d88f2b1f2943217dde961bfd364f1fd102a8c",
		 "69a127d193a5bd3239535d093dc71c32c34df13d2b1982a7f46035a1f8a98430"
		 "8cd559257dbde17c8ddd8299bee7018b832e45c47ec7135055176579797c40bd"},
		{119, "6c87eedf096b345de205b702e5223b73b447a3207791ded3ea007ba15ed6736e",
		 "1efae71e30c3bdc6cde724788736a10053fe52f4ae1841dc25003aa000a35c1b"
		 "e915429404dc73719cee9945f55b816cc3390936885bd78ce11ec56721f12957"},
		{120, "42500cf6a1e3936d6b9e0bcfe296d654b63255e525487d3634d0b15fde591c4d",
		 "ad2a8e4e76a1d9eeca549852ed03e8bda1590120cd1fabe7f7d6f0b211be0b1d"
		 "58b833091ead363c5c9564938efd45ec95830411e4a5c19de4d613dd10aad2e5"},
		{127, "68f6ff710276900c0ffbbc57426f67e00c2e01f0750c7edc25ac06b8ce7a8095",
		 "82b7fc0e1e5d1bb8e56e25cef83ba1205d3b3b44c9efacb33b11b13ffc47d150"
		 "2beb4b9cc885239d9a03a255757c582ee9aaa270c742f8bfd959228443704bf5"},
		{128, "489d55fea9a73af36b6dd0be7b4117d8e5683386d39544e8a44c99a87f368707",
		 "eb5119a4c3e176a3e0cb2bf8a6237bdc1e474f9f501f27c84284d2289b1ade3a"
		 "5a1913236a2b771e0f435f2a9b17792eb23eb92248a199f991228ff65de55d09"},
		{129, "4e1556b2e9a50a3cc9478f3254727b01065f9ac5d2c3a8b4cd538ae7240bb87d",
		 "06e68bf71185b1fda1d64bc8dc221aeaa9040b40d202d6030f840940ff2e5300"
		 "56550e68bd5d7a68d6fcf910077cd5b6c0befa877a436ddae766dd278592d2b6"},
		{200, "8e3f3819b4f1b1f71c011c6b854c43601f132c3c88b8982b20733d2b1695c593",
		 "4b103b9342b3e474a2b13f499150ba84992a152a6c5f7a3fac1cb6a2950328bd"
		 "72ddc335068b71959a9c07722da4134f0d1fae1d0024a86f15c2984d1760618b"},
		{1000, "6b0df76627243d095b0c4400cb658b7e804dd03461cc03aee8fc8fe0bcada168",
		 "5c9833a6b6d14cabd5256ae50e9217163760d44bafa40d2e0e64ee13a2b74ec3"
		 "f10d965a04c7381d12383c59ee449c75241303eb3806dcf1d8ca0c566fe1ed6a"},
	};
	unsigned char data[1000];
	unsigned char digest[PGW_SHA2_MAX];

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		size_t len = cases[i].len;

		for (size_t n = 0; n < len; n++)
			data[n] = (unsigned char) (n * 7 + len);
		is_hex(digest, pgw_sha2(PGW_SHA256, data, len, digest), cases[i].sha256);
		is_hex(digest, pgw_sha2(PGW_SHA512, data, len, digest), cases[i].sha512);
		/* in two pieces, wherever they meet */
		for (size_t cut = 0; cut <= len; cut += 13)
		{
			PgwSha2 s;

			pgw_sha2_begin(&s, PGW_SHA512);
			pgw_sha2_add(&s, data, cut);
			pgw_sha2_add(&s, data + cut, len - cut);
			is_hex(digest, pgw_sha2_end(&s, digest), cases[i].sha512);
			for (size_t n = 0; n < sizeof(s); n++)
				assert_int_equal(((unsigned char *) &s)[n], 0);
		}
	}
}

/* RFC 4231, test cases 1 to 4, 6 and 7; 5 is cut, which nobody asks for here. */
static void
test_hmac(void **state)
{
	static const struct
	{
		const char *key;
		size_t key_len;
		const char *data;
		size_t len;
		const char *sha256;
		const char *sha512;
	} cases[] = {
		{"\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b", 20,
		 "Hi There", 8, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
		 "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
		 "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854"},
		{"Jefe", 4, "what do ya want for nothing?", 28,
		 "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
		 "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
		 "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"},
		{"\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa", 20,
		 "\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd"
		 "\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd"
		 "\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd\xdd",
		 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
		 "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39"
		 "bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb"},
		{"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14"
		 "\x15\x16\x17\x18\x19",
		 25,
		 "\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd"
		 "\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd"
		 "\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd\xcd",
		 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
		 "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3db"
		 "a91ca5c11aa25eb4d679275cc5788063a5f19741120c4f2de2adebeb10a298dd"},
		{"\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
		 "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
		 "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
		 "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
		 "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
		 "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
		 "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa",
		 131, "Test Using Larger Than Block-Size Key - Hash Key First", 54,
		 "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
		 "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"
		 "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598"},
		{"\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
		 "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
		 "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
		 "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
		 "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
		 "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
		 "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa",
		 131,
		 "This is a test using a larger than block-size key and a larger than bl"
		 "ock-size data. The key needs to be hashed before being used by the HMA"
		 "C algorithm.",
		 152, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
		 "e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944"
		 "b6022cac3c4982b10d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a58"},
	};
	unsigned char mac[PGW_SHA2_MAX];

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		is_hex(
			mac,
			pgw_hmac(PGW_SHA256, cases[i].key, cases[i].key_len, cases[i].data, cases[i].len, mac),
			cases[i].sha256);
		is_hex(
			mac,
			pgw_hmac(PGW_SHA512, cases[i].key, cases[i].key_len, cases[i].data, cases[i].len, mac),
			cases[i].sha512);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_hmac),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
