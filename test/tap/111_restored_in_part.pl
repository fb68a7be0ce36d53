# A dump that holds only part of a database: payments without their attempts, or the banks' references alone, pause what is restored; one without payments
# has nothing to decide about.
use strict;
use warnings;
use lib 'test/lib';
use PgwRestore;
use PgwTest;
use Test::More;

my $bank = bank_start();
my $origin = scanning_node('origin');
pgw_setup($origin, $bank);
is(paid($origin, 'postgres', 'done'), 'captured', 'a payment is done');
is(paid($origin, 'postgres', 'declined', token => 'tok_decline_do_not_honor'), 'declined', 'and one declined');

# --- Without the big tables: payments without their attempts, or the banks' references alone. What is written there can be moved, or given away.
for my $case ([ 'payments', 'payment_transactions', 'transaction_events' ], [ 'references', 'payments', 'payment_transactions', 'transaction_events' ])
{
	my ($db, @without) = @$case;
	my $file = dump_to($origin, 'postgres', $origin->basedir . "/only_$db", map { "--exclude-table-data=pgw.$_*" } @without);
	$origin->safe_psql('postgres', "CREATE DATABASE only_$db");
	restore_into($origin, "only_$db", $file);
	is($origin->safe_psql("only_$db", 'SELECT count(*) FROM pgw.payment_transactions'), 0, "$db alone: no attempts");
	stays_paused($origin, $bank, "only_$db", "$db alone");
	is_resumed($origin, "only_$db", 0, "$db alone");
	$origin->safe_psql('postgres', "DROP DATABASE only_$db");
}

# --- A database without payments has nothing to decide about.
$origin->safe_psql('postgres', 'CREATE DATABASE empty');
$origin->safe_psql('empty', 'CREATE EXTENSION pgw');
my $empty = dump_to($origin, 'empty', $origin->basedir . '/empty');
$origin->safe_psql('postgres', 'CREATE DATABASE empty_too');
restore_into($origin, 'empty_too', $empty);
$origin->safe_psql('empty_too', "INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES ('bank', 'json', '$bank->{url}', 'bank')");
is(paid($origin, 'empty_too', 'first'), 'captured', 'an empty database is not paused');

charged_once_each($bank);
$origin->stop('fast');
done_testing();
