# docs/monitoring/ with Debian's Prometheus and exporters: the text of pgw.metrics_text() is what promtool and Prometheus take, the exporters serve every row of
# pgw.metrics, and every query of a panel and of a rule returns data, or nothing for a reason that stands here.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwMonitoring;
use PgwPrometheus;
use PgwTest;
use PgwWebhookReceiver;
use PostgreSQL::Test::Utils;
use Test::More;

my @missing = missing_programs(qw(prometheus promtool prometheus-postgres-exporter prometheus-sql-exporter));
plan skip_all => "NOT TESTED: there is no @missing; make test installs them" if @missing;

my ($node, $bank) = monitored_node('prometheus');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a)) }

secret_file($node, 'hook', $WEBHOOK_KEY);
sql(endpoint_sql('shop', receiver_start()));

my $round = 0;
sub load
{
	$round++;
	pay("ok-$round");
	pay("no-$round", token => 'tok_decline_do_not_honor');
	pay("test-$round", bank => 'test');
	sql("SELECT (pgw.refund_payment((pgw.find_payment('ok-$round')).payment_id, 'back-$round', 100)).status");
}
load();
sql('BEGIN; SELECT ' . pay_sql('submit_payment', client_request_id => 'late', expires_at => sql("SELECT clock_timestamp() + '500ms'")) . '; SELECT pg_sleep(0.6); COMMIT');
ok(wait_until(sub { sql("SELECT status FROM pgw.payments WHERE client_request_id = 'late'") eq 'failed' }, 20), 'a payment that fails');
sql("CREATE ROLE probe LOGIN; SELECT pgw.grant_access('probe', 'monitor')");

# ---- the files by themselves, and the text

for my $check ([qw(check rules pgw-rules.yml)], [qw(check config prometheus.yml)], [qw(test rules pgw-rules-test.yml)])
{
	my ($out, $err);
	ok(IPC::Run::run([ 'promtool', @$check[0, 1], "docs/monitoring/$check->[2]" ], '>', \$out, '2>', \$err), "promtool @$check") or diag($out . $err);
}
my $as_probe = "SET ROLE probe; SELECT pgw.metrics_text";
my ($out, $err) = ('', '');
my $text = $node->safe_psql('postgres', "$as_probe()");
ok(IPC::Run::run([qw(promtool check metrics)], '<', \$text, '>', \$out, '2>', \$err), 'promtool check metrics');
is($out . $err, '', 'and has nothing to say');

# ---- the exporters

my ($exporter, $sql_exporter) = map { PostgreSQL::Test::Cluster::get_free_port() } 1, 2;
my $dir = PostgreSQL::Test::Utils::tempdir();
$ENV{DATA_SOURCE_NAME} = 'host=' . $node->host . ' port=' . $node->port . ' user=probe dbname=postgres sslmode=disable';
program_start("http://127.0.0.1:$exporter/metrics", 'prometheus-postgres-exporter', "--web.listen-address=127.0.0.1:$exporter", '--extend.query-path=docs/monitoring/postgres_exporter.yml',
	'--disable-default-metrics', '--disable-settings-metrics');
my $conf = slurp_file('docs/monitoring/sql_exporter.yml');
$conf =~ s{'postgres://probe\@localhost/shop\?}{"'postgres:///postgres?host=" . $node->host . '&port=' . $node->port . '&user=probe&'}e
  and $conf =~ s/interval: 15s/interval: 1s/ or die 'sql_exporter.yml has another form';
append_to_file("$dir/sql_exporter.yml", $conf);
program_start("http://127.0.0.1:$sql_exporter/metrics", 'prometheus-sql-exporter', '-config.file', "$dir/sql_exporter.yml", '-web.listen-address', "127.0.0.1:$sql_exporter");
my $url = prometheus_start(pgw => $exporter, 'pgw-sql' => $sql_exporter, 'pgw-text' => text_served($node->safe_psql('postgres', "$as_probe(true)")));

my $all = join ',', sort split /\n/, sql('SELECT DISTINCT name FROM pgw.metrics');
sub series { my ($job) = @_; return query_count($url, qq({job="$job", __name__=~"pgw_.*"})) }
for my $job (qw(pgw pgw-sql pgw-text))
{
	ok(wait_until(sub { query_count($url, qq(up{job="$job"} == 1)) == 1 && series($job) > 100 }, 30), "Prometheus takes what $job serves")
	  or diag(encode_json(prometheus_get($url, 'targets')));
	my $names;
	wait_until(sub { $names = join ',', sort map { $_->{metric}{__name__} } @{ prometheus_get($url, 'query', query => qq(count by (__name__) ({job="$job", __name__=~"pgw_.*"})))->{result} };
			$names eq $all }, 10);
	is($names, $all, "$job has every metric by its name");
}
is(join(',', map { "$_->{metric}{livemode} $_->{metric}{bank} $_->{metric}{code}" } @{ prometheus_get($url, 'query', query => 'pgw_declines_total{job="pgw"}')->{result} }),
	'true bank do_not_honor', 'with its labels');

# ---- every query

# What returns nothing here, and why.
my %nothing = (
	qr/^pgw_notifications_total/ => 'no bank sends any', qr/^pgw_worker_last_error_age_seconds/ => 'the worker has met none',
	qr/^pgw_bank_calls_total\{result=~"rejected/ => 'the bank fails nothing',
);
my $dashboard = decode_json(slurp_file('docs/monitoring/grafana/pgw-dashboard.json'));
my @panels = panel_queries($dashboard);
cmp_ok(scalar @panels, '>', 40, 'the dashboard has queries');
my @rules = rule_queries($url);
cmp_ok(scalar @rules, '>', 80, 'and there are rules');
my %selectors = map { $_ => 1 } map { selectors_of($_->{query}) } @panels, @rules;

sub without_data
{
	load();
	return grep { my $s = $_; query_count($url, $s) == 0 && !grep { $s =~ $_ } keys %nothing } sort keys %selectors;
}
my @without;
ok(wait_until(sub { !(@without = without_data()) }, 60), 'whatever a panel or a rule reads is there');
diag("without data: $_") for @without;

# those panels that leave out zeros, or divide
my %empty_panel = ('Notifications by verdict' => 'no bank sends any', 'Alerts raised in an hour' => 'none was raised', 'Worker: since its last turn, commit, error' => 'no error');
my @empty;
ok(wait_until(sub { load(); !(@empty = grep { !query_count($url, $_->{query}) && !$empty_panel{ $_->{title} } } @panels) }, 60), 'every query of every panel returns data');
diag("empty: $_->{title}: $_->{query}") for @empty;
is(join("\n", map { "$_->{name}: $_->{error}" } grep { $_->{health} ne 'ok' } rule_queries($url)), '', 'every rule is evaluated without an error');
is(query_count($url, 'ALERTS{alertname=~"Pgw.*Error"}'), 0, 'and nothing is wrong here');

$node->stop('fast');
done_testing();
