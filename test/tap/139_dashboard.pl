# pgw.dashboard(): its figures are those of the tables, whatever a text holds it stays a text, each level sees its own, every list has an end, and it
# waits for nobody.
use strict;
use warnings;
use lib 'test/lib';
use PgwDashboard;
use PgwReviews;
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($node, $bank) = reviews_cluster('dashboard');
sub sql { return $node->safe_psql('postgres', $_[0]) }

# What would be a script, an image, an end of what it stands in; what is read from right to left, and what is not seen at all.
my $hostile = q{<script>document.title='owned'</script></td>"'&<img src=x onerror=alert(1)>} . "\xE2\x80\xAE\xE2\x80\x8Bend";
my $seen = $hostile =~ s/\xE2\x80\xAE\xE2\x80\x8B/\\u{202E}\\u{200B}/r;

pay($node, "good-$_", amount => 1000 + $_) for 1 .. 5;
pay($node, 'yen', amount => 500, currency => 'JPY');
my $middle = sql('SELECT clock_timestamp()');
pay($node, "poor-$_", token => 'tok_decline_insufficient_funds') for 1 .. 3;
pay($node, 'lost', token => 'tok_decline_lost_card');
pay_and_roll_back($node, 'gone');
attempt_becomes($node, 'gone', 'Refunded', 'one is given back');
is(pay($node, $hostile, bank => 'form', token => 'tok_500_after'), 'in_review', 'one is in review');
my $review = sql('SELECT transaction_id FROM pgw.manual_reviews');
sql("INSERT INTO pgw.banks (name, connector, base_url, secret, enabled) VALUES ('<b>bold</b>', 'json', '$bank->{url}', 'bank', false);
	INSERT INTO pgw.alert_state (kind, subject, message, first_at, last_at, told_at, count, told)
	VALUES ('refund_stuck', E'\\u0007\\u001b[2J<i>', repeat('<\"', 5000), now(), now(), now(), 7, 1)");
wait_rest($node, $bank);

part($node, 'figures', sub {
	my $page = page_of($node);
	my %by_bank = (Attempts => 'true', Approved => "status = 'Completed'", Declined => "status = 'Failed' AND pgw.is_decline(error_code)",
		'Given back' => "status = 'Refunded'", Open => "status = 'RequiresManualReview'");
	for my $heading (sort keys %by_bank)
	{
		for my $name ('bank', 'form')
		{
			is(cell($node, $page, 'approval-table', $name, $heading), sql("SELECT count(*) FROM pgw.payment_transactions WHERE bank = '$name' AND $by_bank{$heading}"), "$name: $heading");
		}
	}
	is(cell($node, $page, 'approval-table', 'bank', 'Approval rate'), '60.0 %', 'six of ten');
	is(cell($node, $page, 'declines-table', 'insufficient_funds', 'Attempts'), 3, 'a reason');
	is(cell($node, $page, 'declines-table', 'lost_or_stolen_card', 'Share'), '25.0 %', 'its share');
	is(cell($node, $page, 'money-table', 'EUR', 'Captured'), 'EUR 50.15', 'money with its decimals');
	is(cell($node, $page, 'money-table', 'JPY', 'Captured'), 'JPY 500', 'or without');
	is(at($node, $page, "sum(//table[\@id='time-table']/tbody/tr/td[1])"), sql("SELECT count(*) FROM pgw.payment_transactions"), 'all are in the plot');
	is(cell($node, $page, 'open-table', 'payment RequiresManualReview', 'Attempts'), 1, 'open work');
	is(cell($node, $page, 'given-back-table', 'bank', 'Sum'), 'EUR 12.34', 'what was given back');
	is(at($node, $page, "count(//table[\@id='reconciliation-table']//td[\@class='ok'])"), 6, 'and the records agree');
	is(at($node, $page, "string(//table[\@id='health-table']//tr[th='reviews']/td[1])"), 'warning', 'health()');
	is(cell($node, $page, 'banks-table', 'bank', 'Status'), 'ok', 'a bank');
	is(at($node, $page, 'string(//article/pre[2])'), "SELECT pgw.resolve_review('" . $review
		  . "', 'mark_charged', note => '', evidence => '{\"bank_reference\": \"\"}');", 'an action, as SQL');
	my ($rc, undef, $err) = $node->psql('postgres', at($node, $page, 'string(//article/pre[3])'));
	like($err, qr/note/, 'which is not taken without a note');
	is(at($node, $page, 'count(//article//ol/li)'), sql("SELECT count(*) FROM pgw.transaction_events WHERE transaction_id = '$review'"), 'the whole story');
	is(at($node, $page, "count(//table[not(caption) or .//th[not(\@scope)]] | //svg[\@role='img'][not(title) or not(desc)] | //section[not(h2)])"), 0, 'everything has its name');
});

part($node, 'hostile texts', sub {
	my $page = page_of($node);
	is(at($node, $page, "string(//dt[.='Request']/following-sibling::dd[1])"), $seen, "a caller's id is what it is");
	is(at($node, $page, 'count(//script | //img | //i | //b | //*[@onerror])'), 0, 'and nothing else');
	is(cell($node, $page, 'banks-table', '<b>bold</b>', 'Takes payments'), 'no', "a bank's name");
	is(at($node, $page, "string(//table[\@id='alerts-table']//tr[th='refund_stuck']/td[1])"), '\\u{7}\\u{1B}[2J<i>', 'control characters are seen');
	is(length(at($node, $page, "string(//table[\@id='alerts-table']//tr[th='refund_stuck']/td[2])")), 400 + 3, 'a long message ends');
	unlike(page_text($node, $page), qr/[^\n -~]/, 'all of it is ASCII');
});

part($node, 'levels', sub {
	sql("INSERT INTO pgw.merchants (merchant) VALUES ('other'); CREATE ROLE eye; CREATE ROLE theirs; CREATE ROLE nobody; CREATE ROLE payer;
		SELECT pgw.grant_access('eye', 'monitor'), pgw.grant_access('theirs', 'auditor', 'other'), pgw.grant_access('payer', 'client');
		GRANT EXECUTE ON FUNCTION pgw.dashboard TO payer");
	is(pay($node, 'theirs-1', merchant => 'other', amount => 7700), 'captured', "another merchant's payment");
	my $eye = page_of($node, '', 'eye');
	my $ids = join '|', split /\n/, sql('SELECT transaction_id FROM pgw.payment_transactions UNION SELECT payment_id FROM pgw.payment_transactions');
	is(join(' ', page_text($node, $eye) =~ /($ids|good-|poor-|script&#62;|50\.15|resolve_review\(')/g), '', 'a monitor sees no payment, message or sum');
	is(cell($node, $eye, 'approval-table', 'bank', 'Attempts'), 12, 'but the figures of all');
	is(cell($node, $eye, 'alerts-table', 'refund_stuck', 'Times'), 7, 'and the kinds of alerts');
	my $theirs = page_of($node, '', 'theirs');
	is(cell($node, $theirs, 'money-table', 'EUR', 'Captured'), 'EUR 77.00', "an auditor of a merchant's sees what is theirs");
	is(cell($node, $theirs, 'approval-table', 'bank', 'Attempts'), 1, 'in the figures, too');
	is(at($node, $theirs, "count(//article | //table[\@id='alerts-table'] | //table[\@id='given-back-table'])"), 0, 'and nothing of others');
	is(cell($node, page_of($node, "merchant => 'other'"), 'money-table', 'EUR', 'Payments'), 1, 'the owner can ask for one merchant');
	for (['nobody', ''], ['payer', ''], ['eye', "merchant => 'default'"], ['theirs', "merchant => 'default'"])
	{
		my ($role, $args) = @$_;
		my $s = PgwSession->new($node);
		$s->run("SET ROLE $role; SELECT length(pgw.dashboard($args))");
		is($s->state, '42501', "$role may not ask for dashboard($args)");
	}
});

part($node, 'arguments', sub {
	is(at($node, page_of($node, "until => now() - interval '1 day'"), "string(//ul[\@id='totals']/li[contains(., 'Open')]/strong)"), 0, 'nothing began before');
	is(cell($node, page_of($node, "since => '$middle'"), 'declines-table', 'insufficient_funds', 'Attempts'), 3, 'from a time on');
	is(at($node, page_of($node, 'livemode => false'), "count(//*[contains(., 'Tests: no money moves')]/ancestor::body)"), 1, 'tests are a page of their own');
	for ("since => now(), until => now() - interval '1 s'", "since => 'infinity'", "until => '-infinity'")
	{
		my $s = PgwSession->new($node);
		$s->run("SELECT pgw.dashboard($_)");
		is($s->state, 'PW400', "dashboard($_)");
	}
	my $all = page_of($node, "since => '2000-01-01', until => now() + interval '1 h'");
	my $ever = page_of($node, "since => '4713-01-01 BC', until => '294276-12-31'");
	is(cell($node, $ever, 'declines-table', 'insufficient_funds', 'Attempts'), cell($node, $all, 'declines-table', 'insufficient_funds', 'Attempts'), 'the longest time there is');
});

part($node, 'many', sub {
	is(pay($node, "many-$_", bank => 'form', token => 'tok_500_after'), 'in_review', "review $_") for 1 .. 21;
	my $page = page_of($node);
	is(at($node, $page, 'count(//article)'), 20, 'a list has an end');
	is(at($node, $page, "string(//section[\@id='reviews']/p[last()])"), 'and 2 more', 'and says so');
	cmp_ok(length page_text($node, $page), '<', 300_000, 'so it does not grow');
});

part($node, 'locked', sub {
	my $tables = sql(q(SELECT string_agg(oid::regclass::text, ', ') FROM pg_class WHERE relnamespace = 'pgw'::regnamespace AND relkind IN ('r', 'p')));
	my $s = PgwSession->new($node);
	$s->run("BEGIN; LOCK TABLE $tables IN ACCESS EXCLUSIVE MODE");
	my $page = PgwSession->new($node)->query("SET statement_timeout = '60s'; BEGIN READ ONLY; SELECT pgw.dashboard()");
	is(() = $page =~ /<p class="locked">This could not be looked at/g, 7, 'each section that reads tables says that it cannot') or diag($page);
	like($page, qr/talks to the banks.*at work.*<td class="locked">locked/s, 'what needs none is there');
	$s->run('ROLLBACK');
	is(at($node, page_of($node), "count(//p[\@class='locked'])"), 0, 'no longer');
});

part($node, 'standby', sub {
	bank_stop($bank);
	is(cell($node, page_of($node), 'approval-table', 'bank', 'Approved'), 7, 'banks that are down are no hindrance');
	$node->stop('fast');
	$node->append_conf('postgresql.conf', "wal_level = replica\nmax_wal_senders = 2\n");
	$node->start;
	$node->backup('standby');
	my $standby = PostgreSQL::Test::Cluster->new('dashboard_standby');
	$standby->init_from_backup($node, 'standby', has_streaming => 1);
	$standby->start;
	like($standby->safe_psql('postgres', 'SELECT pgw.dashboard()'), qr/Read from a standby.*EUR 127\.15/s, 'it can be read from a standby');
	$standby->stop('fast');
});

$node->stop('fast');
done_testing();
