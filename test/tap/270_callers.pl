# What a caller passes, and where it is passed: calls that stand more than once in a statement, databases and clients with other encodings.
# docs/clients.md
use strict;
use warnings;
use utf8;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('callers', debug => 1, conf => "fsync = off\npgw.compensation_delay = '50ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }

sub refusal
{
	my ($sql, $db) = @_;
	my ($rc, $out, $err) = $node->psql($db // 'postgres', "\\set VERBOSITY verbose\n$sql");
	return $rc == 0 ? "no error: $out" : $err;
}

# A charge for each column, made before anybody could ask: the bank's ledger must not know of any.
part($node, 'repeated call', sub {
	my $call = "pgw.process_payment(gen_random_uuid()::text, 100, 'EUR', 'tok_ok')";
	my $before = @{ bank_ledger($bank)->{charges} };
	like(refusal("SELECT ($call).*"), qr/PW400.*volatile_id.*HINT: .*FROM/s, 'a payment for each column is refused');
	sql("CREATE FUNCTION wrapped() RETURNS pgw.payment_result LANGUAGE sql AS \$\$ SELECT $call \$\$");
	like(refusal('SELECT (wrapped()).*'), qr/PW400.*volatile_id/s, 'also within an inlined function');
	is(scalar @{ bank_ledger($bank)->{charges} }, $before, 'the bank never heard of one');
	is(sql("SELECT status FROM $call"), 'captured', 'one call is one payment');
	is(scalar @{ bank_ledger($bank)->{charges} }, $before + 1, 'one charge');
});

# A view that pays stands in a statement twice; a cursor that is turned back makes its rows anew.
part($node, 'repeated view', sub {
	my $before = @{ bank_ledger($bank)->{charges} };
	sql("CREATE VIEW paying AS SELECT p.* FROM pgw.process_payment(gen_random_uuid()::text, 100, 'EUR', 'tok_ok') p");
	like(refusal('SELECT a.status FROM paying a JOIN paying b USING (amount)'), qr/PW400.*volatile_id.*HINT: .*MATERIALIZED/s, 'it is refused');
	is(scalar @{ bank_ledger($bank)->{charges} }, $before, 'the bank never heard of it');
	is(sql('WITH p AS MATERIALIZED (SELECT * FROM paying) SELECT a.status FROM p a JOIN p b USING (payment_id)'), 'captured', 'as the hint says, it pays once');
	is(scalar @{ bank_ledger($bank)->{charges} }, $before + 1, 'one charge');
});
part($node, 'repeated fetch', sub {
	my $before = @{ bank_ledger($bank)->{charges} };
	like(refusal("BEGIN; DECLARE c CURSOR FOR SELECT (pgw.process_payment(gen_random_uuid()::text, 100, 'EUR', 'tok_ok')).status FROM generate_series(1, 2); FETCH 2 FROM c; FETCH BACKWARD 1 FROM c"),
		qr/PW400.*volatile_id.*HINT: .*NO SCROLL/s, 'a cursor is not turned back');
	is(@{ bank_ledger($bank)->{charges} } - $before, 2, 'two rows, two charges');
});

# A function that makes up the id where nobody sees it: the second column's call is refused, and the first one's charge is given back.
part($node, 'repeated wrapper', sub {
	sql("CREATE FUNCTION hidden() RETURNS pgw.payment_result LANGUAGE plpgsql AS \$\$ DECLARE id text := 'h-' || gen_random_uuid(); BEGIN
		RETURN pgw.process_payment(id, 100, 'EUR', 'tok_ok'); END \$\$");
	my $before = @{ bank_ledger($bank)->{charges} };
	like(refusal('SELECT (hidden()).*'), qr/PW400.*volatile_id.*HINT: .*FROM/s, 'a wrapper that would pay for each column is refused');
	my @charges = @{ bank_ledger($bank)->{charges} };
	is(@charges - $before, 1, 'at its second call');
	ok(wait_until(sub { sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id LIKE 'h-%'") eq 'Refunded' }, 20), 'the first is given back');
	is(sql('SELECT status FROM hidden()'), 'captured', 'in FROM it pays once');
	is_sound($node, $bank, 'the books are right');
});

part($node, 'encodings', sub {
	for my $encoding (qw(LATIN1 SQL_ASCII EUC_JP))
	{
		my $db = lc $encoding;
		sql("CREATE DATABASE $db TEMPLATE template0 ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C'");
		like(refusal('CREATE EXTENSION pgw', $db), qr/0A000: +pgw needs a database with encoding UTF8.*DETAIL: .*$encoding.*HINT: +Make one with CREATE DATABASE/s,
			"$encoding is refused, with what to do");
		is(sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'pgw'", $db), 0, 'and leaves nothing behind');
	}
	is(sql("SELECT pg_encoding_to_char(encoding) || ' ' || datctype FROM pg_database WHERE datname = current_database()"), 'UTF8 C', 'a UTF8 database with the C locale');
	is(sql("SELECT status FROM pgw.process_payment('e-utf8', 100, 'EUR', 'tok_ok', reference => U&'\\017B\\00F3\\0142w 42')"), 'captured', 'takes letters of any kind');

	# what the client's encoding cannot express never gets here; what it can is converted
	my $reference = sub { sql("SELECT encode(convert_to(reference, 'UTF8'), 'hex') FROM pgw.payments WHERE client_request_id = '$_[0]'") };
	my $file = PostgreSQL::Test::Utils::tempdir() . '/latin1.sql';
	open my $f, '>:raw', $file or die $!;
	print $f "SET client_encoding = 'LATIN1';\nSELECT status FROM pgw.process_payment('e-latin1', 100, 'EUR', 'tok_ok', reference => 'caf\xe9');\n";
	close $f;
	is(sql("\\i $file"), 'captured', 'a LATIN1 client pays');
	is($reference->('e-latin1'), '636166c3a9', 'and its text is kept as UTF-8');
	open $f, '>:raw', $file or die $!;
	print $f "SELECT status FROM pgw.process_payment('e-bad', 100, 'EUR', 'tok_ok', reference => 'caf\xe9');\n";
	close $f;
	like(refusal("\\i $file"), qr/22021/, 'text that is no UTF-8 is refused by the server');
	is(sql("SELECT count(*) FROM pgw.find_payment('e-bad')"), 0, 'before anything is sent');

	# an answer that the client cannot be told is an error of the statement, and the charge goes with it
	like(refusal("SET client_encoding = 'LATIN1'; SELECT * FROM pgw.process_payment('e-lost', 100, 'EUR', 'tok_ok', reference => U&'\\0142')"), qr/22P05/, 'a row that cannot be sent');
	ok(wait_until(sub { status_of($node, 'e-lost') eq 'Refunded' }, 20), 'is given back') or diag status_of($node, 'e-lost');
	is_sound($node, $bank, 'the books are right');
});

done_testing;
