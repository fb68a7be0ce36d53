# The versions of a bank are kept: in dumps and copies, which go on with their numbers, and however many there are.
use strict;
use warnings;
use lib 'test/lib';
use PgwLedgers;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $ledgers = PgwLedgers->new('kept_versions');
my ($node, $old, $new) = @$ledgers{qw(node old new)};

# A dump or a copy brings the versions along, and goes on with their numbers.
part($node, 'copies', sub {
	$ledgers->add_bank('copied');
	is($ledgers->paid("copied $_", bank => 'copied'), 'captured', "paid at the old ledger, for the $_") for 'dump', 'copy';
	$ledgers->sql("UPDATE pgw.banks SET base_url = '$new->{url}' WHERE name = 'copied'");
	is($ledgers->paid('copied later', bank => 'copied'), 'captured', 'and one at the new');
	my $file = $node->basedir . '/copies.dump';
	system_or_bail('pg_dump', '-h', $node->host, '-p', $node->port, '-Fc', '-f', $file, 'postgres');
	$ledgers->sql('CREATE DATABASE dump');
	system_or_bail('pg_restore', '-e', '-h', $node->host, '-p', $node->port, '-d', 'dump', $file);
	$ledgers->sql('CREATE DATABASE copy TEMPLATE postgres');
	my $versions = $ledgers->sql('SELECT md5(string_agg(v::text, $$|$$ ORDER BY version)) FROM pgw.bank_versions v');
	for my $db ('dump', 'copy')
	{
		wait_worker($node, $db);
		is($node->safe_psql($db, 'SELECT md5(string_agg(v::text, $$|$$ ORDER BY version)) FROM pgw.bank_versions v'), $versions, "$db: the versions are there");
		$node->safe_psql($db, 'SELECT pgw.resume_after_restore()');
		is($node->safe_psql($db, "SELECT o.transaction_status FROM pgw.find_payment('copied $db') f, pgw.refund_payment(f.payment_id, 'copied r') o"), 'Created', "$db: a refund");
		ok($node->poll_query_until($db, "SELECT status = 'Completed' FROM pgw.payment_transactions WHERE client_request_id = 'copied r'"), "$db: is done");
		is(scalar refunds_of($old, charges_of($node, $old, "copied $db", $db)), 1, "$db: at the old ledger");
		is($node->safe_psql($db, $ledgers->pay("copied new $db", bank => 'copied')), 'captured', "$db: a new payment");
		is($node->safe_psql($db, "SELECT count(DISTINCT bank_version) FROM pgw.payment_transactions WHERE client_request_id IN ('copied later', 'copied new $db')"), 1,
			"$db: has the version that the configuration had before");
		$node->safe_psql($db, "UPDATE pgw.banks SET settings = '{\"copy\": true}' WHERE name = 'copied'");
		is($node->safe_psql($db, $ledgers->pay("copied newer $db", bank => 'copied')), 'captured', "$db: and under another configuration");
		is($node->safe_psql($db, 'SELECT count(*) = max(version) FROM pgw.bank_versions'), 't', "$db: the numbers go on");
	}
});

# A dump that is restored row by row: while it brings the versions, the worker adds none whose number comes later in the dump.
part($node, 'row by row', sub {
	for my $bank ('rows', 'more rows')
	{
		$ledgers->add_bank($bank);
		is($ledgers->paid($bank, bank => $bank), 'captured', "paid at $bank");
	}
	my $file = $node->basedir . '/rows.sql';
	system_or_bail('pg_dump', '-h', $node->host, '-p', $node->port, '--inserts', '-f', $file, 'postgres');
	my ($first, $rest) = slurp_file($file) =~ /^(.*?\nINSERT INTO pgw\.bank_versions .*?\n)(INSERT INTO pgw\.bank_versions .*)$/s or die 'no two versions in the dump';
	s/^\\(un)?restrict .*$//mg for $first, $rest;
	$ledgers->sql('CREATE DATABASE rows');
	my $looked = "SELECT seq_scan FROM pg_stat_user_tables WHERE relid = 'pgw.bank_versions'::regclass";
	$node->safe_psql('rows', $first);
	wait_worker($node, 'rows');
	my $before = $node->safe_psql('rows', $looked);
	$node->reload;
	ok($node->poll_query_until('rows', "SELECT ($looked) > $before"), 'the worker looks at the banks and at their versions in the middle');
	is($node->safe_psql('rows', 'SELECT count(*) FROM pgw.bank_versions'), 1, 'and adds none');
	my (undef, undef, $err) = $node->psql('rows', join("\n", $first =~ /^(SET .*)$/mg, $rest));
	is($err, '', 'the rest of the dump comes');
	is($node->safe_psql('rows', 'SELECT md5(string_agg(v::text, $$|$$ ORDER BY version)) FROM pgw.bank_versions v'),
		$ledgers->sql('SELECT md5(string_agg(v::text, $$|$$ ORDER BY version)) FROM pgw.bank_versions v'), 'with all its versions');
});

# Many old versions: more than are kept in memory, and every one of them is found again.
part($node, 'many', sub {
	$ledgers->add_bank('often');
	for my $i (1 .. 40)
	{
		$ledgers->sql("UPDATE pgw.banks SET base_url = '$old->{url}/', settings = '{\"n\": $i}' WHERE name = 'often'");
		$ledgers->paid("often $i", bank => 'often', capture => 'manual');
	}
	$ledgers->sql("UPDATE pgw.banks SET base_url = '$new->{url}' WHERE name = 'often'");
	$ledgers->operation('capture', "often c $_", "often $_") for 1 .. 40;
	ok($node->poll_query_until('postgres', "SELECT count(*) = 40 FROM pgw.payment_transactions WHERE client_request_id LIKE 'often c %' AND status = 'Completed'"),
		'forty versions of one bank: each capture where it was authorized');
	is($ledgers->sql("SELECT count(DISTINCT bank_version) FROM pgw.payment_transactions WHERE client_request_id LIKE 'often c %'"), 40, 'each by its own version');
});

$node->stop('fast');
done_testing();
