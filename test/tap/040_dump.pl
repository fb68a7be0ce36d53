# A dump restores into a new database with every row, partitions attached and still append-only.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('dump');
my $bank = bank_start();
pgw_setup($node, $bank);
$node->safe_psql('postgres', 'SELECT ' . pay_sql('process_payment', client_request_id => "p$_")) for 1 .. 5;
$node->safe_psql('postgres', 'SELECT ' . pay_sql('process_payment', client_request_id => 'd', token => 'tok_decline_insufficient_funds'));
$node->safe_psql('postgres', "CREATE ROLE app; SELECT pgw.grant_access('app', 'client', 'default');
	INSERT INTO pgw.merchants (merchant, name) VALUES ('acme', 'Acme Ltd');
	UPDATE pgw.banks SET enabled = false, request_timeout = '7s' WHERE name = 'test'");
$node->safe_psql('postgres', "CREATE TABLE orders (id int, payment_id uuid REFERENCES pgw.payments);
	INSERT INTO orders SELECT 1, payment_id FROM pgw.payments WHERE client_request_id = 'p1'");

my $content = join ' UNION ALL ', map { "SELECT '$_', count(*)::text, md5(string_agg(t::text, '|' ORDER BY t::text)) FROM pgw.$_ t" }
  qw(payments payment_transactions transaction_events banks bank_versions bank_rebinds connectors merchants);
my $before = $node->safe_psql('postgres', "$content ORDER BY 1");

for my $format ('plain', 'custom')
{
	my $file = $node->basedir . "/dump.$format";
	system_or_bail('pg_dump', '-h', $node->host, '-p', $node->port, "-F$format", '-f', $file, 'postgres');
	$node->safe_psql('postgres', "CREATE DATABASE r_$format");
	my @c = ('-h', $node->host, '-p', $node->port, '-d', "r_$format");
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run($format eq 'plain' ? [ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', @c, '-f', $file ] : [ 'pg_restore', '-e', @c, $file ], '>', \$out, '2>', \$err);
	ok($ok, "$format dump restores") or diag($err);
	is($node->safe_psql("r_$format", "$content ORDER BY 1"), $before, 'with every row');
	is($node->safe_psql("r_$format", 'SELECT count(*) FROM orders JOIN pgw.payments USING (payment_id)'), 1, 'references to payments hold');
	my (undef, undef, $e) = $node->psql("r_$format", 'DELETE FROM pgw.transaction_events');
	like($e, qr/ERROR/, 'events are still append-only');
	is($node->safe_psql("r_$format", "SELECT count(*) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid WHERE i.inhparent = 'pgw.transaction_events'::regclass AND c.relname ~ '_y[0-9]{4}m[0-9]{2}\$'") > 0, 1, 'monthly partitions are attached');
}
$node->stop('fast');
done_testing();
