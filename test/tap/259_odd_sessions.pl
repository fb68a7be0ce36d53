# A session whose settings are unusual, all at once: what pgw's functions decide and write does not change with them.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use Test::More;

my $node = pgw_node('odd_sessions', conf => "fsync = off\n");
my $bank = bank_start();
pgw_setup($node, $bank);

# What somebody has planted comes first in the path: with it, everything would be equal, and every text empty.
$node->safe_psql('postgres', q(CREATE SCHEMA planted;
	CREATE FUNCTION planted.md5(text) RETURNS text LANGUAGE sql AS $$SELECT 'x'$$;
	CREATE FUNCTION planted.concat_ws(text, VARIADIC text[]) RETURNS text LANGUAGE sql AS $$SELECT 'x'$$;
	CREATE FUNCTION planted.never(text, text) RETURNS boolean LANGUAGE sql AS $$SELECT false$$;
	CREATE OPERATOR planted.= (LEFTARG = text, RIGHTARG = text, FUNCTION = planted.never);
	CREATE TABLE planted.pg_class (oid oid, relname name, relnamespace oid)));
my %odd = (
	extra_float_digits => '-15', standard_conforming_strings => 'off', DateStyle => 'Postgres, DMY', IntervalStyle => 'sql_standard', bytea_output => 'escape', TimeZone => 'Pacific/Kiritimati',
	search_path => 'planted, pg_catalog', quote_all_identifiers => 'on', default_transaction_isolation => 'serializable', row_security => 'off', escape_string_warning => 'off',
	backslash_quote => 'on', transform_null_equals => 'on', array_nulls => 'off', xmloption => 'document');
my $usual = PgwSession->new($node);
my $odd = PgwSession->new($node);
$odd->query(join '; ', map { "SET $_ = " . ($_ eq 'search_path' ? $odd{$_} : "'$odd{$_}'") } sort keys %odd);

# Both say the same.
sub same
{
	my ($sql, $name) = @_;
	my ($a, $b) = ($usual->run($sql), $odd->run($sql));
	is($odd->state, $usual->state, "$name: the same state") or diag($odd->err);
	return is($b, $a, "$name: the same answer");
}

is($odd->run('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'odd', amount => 1000)), 'captured', 'a payment') or diag($odd->err);
is($usual->run('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'usual', amount => 1000)), 'captured', 'another');
is($usual->run('SELECT count(*) FROM pgw.bank_versions'), 1, 'by one and the same version of the bank');
is($usual->run("SELECT replayed FROM " . pay_sql('process_payment', client_request_id => 'odd', amount => 1000)), 't', 'which is the same for others');
is($odd->run('SELECT replayed FROM ' . pay_sql('process_payment', client_request_id => 'usual', amount => 1000)), 't', '... and the reverse');
is($odd->run("SELECT o.status FROM pgw.find_payment('usual') f, LATERAL pgw.refund_payment(f.payment_id, 'r', 400) o"), 'captured', 'a refund is taken');
ok(wait_until(sub { $usual->run("SELECT status FROM pgw.find_payment('usual')") eq 'partially_refunded' }, 30), '... and made');

same("SELECT check_name, status FROM pgw.health() ORDER BY check_name COLLATE pg_catalog.\"C\"", 'health()');
is($odd->run("SELECT count(*) FROM pgw.health() WHERE status OPERATOR(pg_catalog.<>) 'ok'"), 0, 'which finds nothing') or diag($odd->run("SELECT * FROM pgw.health() WHERE status OPERATOR(pg_catalog.<>) 'ok'"));
same('SELECT ready, degraded FROM pgw.health_summary()', 'health_summary()');
is($odd->run('SELECT count(*) FROM pgw.check_consistency()'), 0, 'check_consistency()') or diag($odd->run('SELECT * FROM pgw.check_consistency()') . $odd->err);
is($odd->run('SELECT count(*) FROM pgw.baseline_faults()'), 0, 'the baseline') or diag($odd->run('SELECT * FROM pgw.baseline_faults() LIMIT 5') . $odd->err);
is($odd->run('SELECT count(*) FROM pgw.unexplained_privileges()'), 0, 'the privileges');
same("SELECT r FROM pgw.find_payment('usual') f, LATERAL pgw.rebuild_payment(f.payment_id) r", 'rebuild_payment()');
same("SELECT count(*) FROM pgw.find_payment('usual') f, LATERAL pgw.payment_history(f.payment_id)", 'payment_history()');
same('SELECT pg_catalog.length(pgw.metrics_text()) OPERATOR(pg_catalog.>) 1000', 'figures as text');
same('SELECT name, labels FROM pgw.read_metrics() WHERE name OPERATOR(pg_catalog.=) \'pgw_transactions_total\' ORDER BY labels::text COLLATE pg_catalog."C"', 'figures');
is($odd->run('SELECT pgw.ensure_event_partitions(3)'), 1, 'a partition is made');
is($usual->run('SELECT pgw.ensure_event_partitions(3)'), 0, '... where others look for it');

for my $sql ('ALTER TABLE pgw.payments DROP COLUMN amount', 'DROP INDEX pgw.payments_pkey', 'ALTER TABLE pgw.payments ALTER COLUMN amount TYPE numeric', 'CREATE OR REPLACE FUNCTION pgw.is_decline(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS \'SELECT true\'',
	'ALTER TABLE pgw.transaction_events DISABLE TRIGGER ALL')
{
	$odd->run($sql);
	isnt($odd->state, '00000', "$sql is refused");
}
$odd->run('ALTER TABLE pgw.payments ADD COLUMN note text');
is($odd->state, '00000', 'what is allowed is allowed') or diag($odd->err);

$odd->query("CREATE ROLE shop; SELECT pgw.grant_access('shop', 'client')");
is($usual->run("SELECT status FROM pgw.health() WHERE check_name = 'privileges'"), 'ok', 'access is given');
$odd->query("SELECT pgw.revoke_access('shop', 'client')");
is($usual->run("SELECT count(*) FROM pgw.own_objects() o, aclexplode(o.acl) a WHERE a.grantee = 'shop'::regrole"), 0, 'and all of it is taken');

$_->quit for $usual, $odd;
is_sound($node, $bank, 'sound');
$node->stop('fast');
done_testing();
