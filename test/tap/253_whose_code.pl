# Code that stands on pgw's tables, or beside them, when it runs: in a client's call, in the worker, at ANALYZE, in a view, in decoding, in a dump. It has no more rights than its
# author. What cannot be put there at all is in test/pgtap/code_of_others.sql.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('whose', init => { allows_streaming => 'logical' }, debug => 1, conf => "fsync = off\npgw.compensation_delay = '20ms'\npgw.retry_base_delay = '20ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
my $version = $node->safe_psql('postgres', 'SHOW server_version_num');
$node->safe_psql('postgres', "CREATE ROLE mallory LOGIN; SELECT pgw.grant_access('mallory', 'client'); INSERT INTO pgw.merchants (merchant) VALUES ('acme');
	CREATE ROLE acme LOGIN; SELECT pgw.grant_access('acme', 'client', 'acme'); CREATE SCHEMA shop AUTHORIZATION mallory; GRANT USAGE ON SCHEMA shop TO public");
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub as_mallory { return $node->safe_psql('postgres', $_[0], extra_params => [ '-U', 'mallory' ]) }

sub who_ran
{
	my ($what) = @_;
	return sql("SELECT coalesce(string_agg(DISTINCT who, ',' ORDER BY who), '') FROM shop.who_ran WHERE what = '$what'");
}

# What mallory has planted is found before pg_catalog's: whoever says length(text) under this path calls it.
my $path = 'SET search_path = shop, pg_catalog; ';
as_mallory('CREATE TABLE shop.who_ran (what text, who text); GRANT INSERT ON shop.who_ran TO public;
	CREATE FUNCTION shop.note(what text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO shop.who_ran VALUES (what, current_user); RETURN 1; END $$;
	CREATE FUNCTION shop.length(text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN shop.note(\'length\'); END $$;
	CREATE FUNCTION shop.upper(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM shop.note(\'upper\'); RETURN $1; END $$;
	CREATE FUNCTION shop.lower(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM shop.note(\'lower\'); RETURN $1; END $$;
	CREATE FUNCTION shop.reverse(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM shop.note(\'reverse\'); RETURN $1; END $$;
	CREATE FUNCTION shop.btrim(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM shop.note(\'btrim\'); RETURN $1; END $$;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA shop TO public');
as_mallory("${path}SELECT length('x'), upper('x'), lower('x'), reverse('x'), btrim('x')");
is(who_ran($_), 'mallory', "$_(text) is mallory's under mallory's path") for qw(length upper lower reverse btrim);

# Each kind of payment, by mallory: done, rolled back, submitted; captured and refunded.
my $n = 0;
sub pay_all
{
	my ($name) = @_;
	my $id = "$name " . ++$n;
	sql('TRUNCATE shop.who_ran');
	is(as_mallory($path . 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => "$id p") . '; SHOW search_path'), "captured\nshop, pg_catalog", "$name: process_payment, and the path is as it was");
	as_mallory("${path}BEGIN; SELECT status FROM " . pay_sql('process_payment', client_request_id => "$id r") . '; ROLLBACK');
	as_mallory($path . 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => "$id s"));
	as_mallory($path . "SELECT pgw.refund_payment(payment_id, '$id f', 1) FROM pgw.find_payment('$id p')");
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payments WHERE client_request_id IN ('$id s', '$id p') AND (captured_amount > 0 AND refund_pending_amount = 0)") == 2 }, 60), "$name: submitted and refunded");
}

part($node, 'search_path', sub {
	# An administrator who does not qualify his names
	sql('CREATE FUNCTION public.before() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM length(NEW.client_request_id); RETURN NEW; END $$;
		CREATE FUNCTION public.after() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM upper(NEW.client_request_id); RETURN NEW; END $$;
		CREATE FUNCTION public.event() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM lower(NEW.event_type::text); RETURN NEW; END $$;
		CREATE FUNCTION public.check_it(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM reverse($1); RETURN true; END $$;
		CREATE FUNCTION public.fill_in() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN btrim(\'x\'::text); END $$;
		CREATE TRIGGER before BEFORE INSERT OR UPDATE ON pgw.payments FOR EACH ROW EXECUTE FUNCTION public.before();
		CREATE TRIGGER after AFTER INSERT OR UPDATE ON pgw.payment_transactions FOR EACH ROW EXECUTE FUNCTION public.after();
		CREATE TRIGGER event AFTER INSERT ON pgw.transaction_events FOR EACH ROW EXECUTE FUNCTION public.event();
		ALTER TABLE pgw.payments ADD CONSTRAINT check_it CHECK (public.check_it(reference)), ADD COLUMN extra text DEFAULT public.fill_in()');
	pay_all('unqualified');
	is(who_ran($_), '', "$_(text) of mallory's ran as nobody") for qw(length upper lower reverse btrim);
	# after an error inside
	is(as_mallory($path . "BEGIN; SAVEPOINT s;
\\set ON_ERROR_STOP 0
SELECT " . pay_sql('process_payment', client_request_id => 'amiss', bank => 'nobody') . ";
\\set ON_ERROR_STOP 1
ROLLBACK TO s; SHOW search_path"), 'shop, pg_catalog', 'the path is as it was after an error');
	sql('DROP TRIGGER before ON pgw.payments; DROP TRIGGER after ON pgw.payment_transactions; DROP TRIGGER event ON pgw.transaction_events;
		ALTER TABLE pgw.payments DROP CONSTRAINT check_it, DROP COLUMN extra');
});

part($node, 'deferred', sub {
	my $own = $version >= 180000 ? 'SET search_path = pg_catalog, pg_temp' : '';
	sql("CREATE FUNCTION public.deferred() RETURNS trigger LANGUAGE plpgsql $own AS \$\$ BEGIN PERFORM length(NEW.client_request_id); RETURN NULL; END \$\$;
		CREATE CONSTRAINT TRIGGER deferred AFTER INSERT OR UPDATE ON pgw.payments DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.deferred()");
	pay_all('deferred');
	like(who_ran('length'), qr/^(mallory)?$/, "a deferred trigger in mallory's commit has mallory's rights at most");
	sql('DROP TRIGGER deferred ON pgw.payments');
});

part($node, 'definer', sub {
	# with the privilege TRIGGER; SECURITY DEFINER, because nothing else is let through
	sql('GRANT USAGE ON SCHEMA pgw TO mallory; GRANT TRIGGER ON pgw.payments, pgw.payment_transactions TO mallory');
	as_mallory('CREATE FUNCTION shop.definer() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ BEGIN PERFORM shop.note(TG_TABLE_NAME); RETURN NEW; END $$;
		CREATE TRIGGER definer BEFORE INSERT OR UPDATE ON pgw.payments FOR EACH ROW EXECUTE FUNCTION shop.definer();
		CREATE TRIGGER definer AFTER INSERT OR UPDATE ON pgw.payment_transactions FOR EACH ROW EXECUTE FUNCTION shop.definer()');
	pay_all('definer');
	is(who_ran($_), 'mallory', "mallory's trigger on $_ runs as mallory, in calls and in the worker") for qw(payments payment_transactions);
	sql('DROP TRIGGER definer ON pgw.payments; DROP TRIGGER definer ON pgw.payment_transactions; REVOKE TRIGGER ON pgw.payments, pgw.payment_transactions FROM mallory');
});

part($node, 'beside', sub {
	sql('TRUNCATE shop.who_ran');
	# maintenance: mallory may not, and what an administrator has put there is his
	my (undef, undef, $err) = $node->psql('postgres', 'ANALYZE pgw.payments', extra_params => [ '-U', 'mallory' ]);
	like($err, qr/skipping|permission denied/, 'maintenance is not for mallory');
	sql('CREATE FUNCTION public.words(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN upper($1); END $$; CREATE STATISTICS public.words ON (public.words(reference)) FROM pgw.payments');
	sql("SET search_path = shop, pg_catalog; ANALYZE pgw.payments; VACUUM ANALYZE pgw.payments");
	unlike(who_ran('upper'), qr/mallory/, 'ANALYZE runs an administrator\'s expression, and not as mallory');
	sql('DROP STATISTICS public.words');

	# a view that is joined with a leaky function shows it the caller's merchants alone
	is($node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'acme\'s', merchant => 'acme', reference => 'acme ref'), extra_params => [ '-U', 'acme' ]), 'captured', 'a payment of another merchant');
	sql("SELECT pgw.revoke_access('mallory', 'client')");
	sql("SELECT pgw.grant_access('mallory', 'client', 'default')");
	as_mallory('CREATE FUNCTION shop.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN INSERT INTO shop.who_ran VALUES (coalesce($1, \'null\'), current_user); RETURN true; END $$');
	as_mallory('SELECT count(*) FROM pgw.my_payments WHERE shop.leak(merchant)');
	is(who_ran('default'), 'mallory', 'a function in a query on the view runs as who asks');
	is(who_ran('acme'), '', 'and is not shown another merchant\'s rows');

	# decoding: the server lets no function of anybody's into a row filter
	sql('CREATE FUNCTION public.mine(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT true $$');
	(undef, undef, $err) = $node->psql('postgres', 'CREATE PUBLICATION filtered FOR TABLE pgw.payments WHERE (public.mine(reference))');
	like($err, qr/invalid publication WHERE expression/, 'a row filter calls no function of anybody\'s');

	# one that asks for more than the key makes payments fail, as the docs say: given back, not lost
	sql('CREATE PUBLICATION filtered FOR TABLE pgw.payments WHERE (amount > 0)');
	(undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT status FROM " . pay_sql('process_payment', client_request_id => 'filtered'));
	like($err, qr/42P10/, 'a row filter on another column than the key: payments fail');
	ok(wait_until(sub { status_of($node, 'filtered') eq 'Refunded' }, 60), 'and are given back');
	sql('DROP PUBLICATION filtered');
	is(sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'filtered')), 'captured', 'until it is dropped');

	# a superuser's event triggers run in what pgw makes; nobody else can have one
	sql('CREATE FUNCTION public.seen() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM length(TG_TAG); END $$; CREATE EVENT TRIGGER seen ON ddl_command_end EXECUTE FUNCTION public.seen()');
	sql("TRUNCATE shop.who_ran; SET search_path = shop, pg_catalog; SELECT pgw.ensure_event_partitions(6)");
	is(who_ran('length'), '', 'an event trigger in ensure_event_partitions() finds the path of that function');
	sql('DROP EVENT TRIGGER seen');
});

part($node, 'dump', sub {
	sql('TRUNCATE shop.who_ran; CREATE FUNCTION public.restored() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM shop.note(\'restored\'); RETURN NEW; END $$;
		CREATE TRIGGER restored BEFORE INSERT ON pgw.payments FOR EACH ROW EXECUTE FUNCTION public.restored()');
	my $file = $node->basedir . '/dump.sql';
	$node->command_ok([ 'pg_dump', '-h', $node->host, '-p', $node->port, '-f', $file, 'postgres' ], 'a dump');
	is(who_ran('restored'), '', 'runs nobody\'s code');
	unlike(slurp_file($file), qr/CREATE TRIGGER restored/, 'and does not carry what stands on the tables of the extension');
	$node->safe_psql('postgres', 'CREATE DATABASE restored');
	$node->command_ok([ 'psql', '-q', '-v', 'ON_ERROR_STOP=1', '-h', $node->host, '-p', $node->port, '-f', $file, '-o', '/dev/null', 'restored' ], 'it can be restored');
	is($node->safe_psql('restored', "SELECT count(*) FROM shop.who_ran WHERE what = 'restored'"), 0, 'which runs none, either');
	is($node->safe_psql('restored', 'SELECT count(*) FROM pgw.code_of_others()'), 0, 'and nothing stands there that should not');
	sql('DROP TRIGGER restored ON pgw.payments');
});

is_sound($node, $bank, 'sound after all that', seconds => 60);
$node->stop('fast');
done_testing();
