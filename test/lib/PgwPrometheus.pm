# PgwPrometheus - Debian's Prometheus and exporters on free ports of 127.0.0.1, with their files in a folder of the test's own; and what Prometheus answers.
package PgwPrometheus;

use strict;
use warnings;
use Exporter 'import';
use File::Spec;
use HTTP::Tiny;
use IO::Socket::INET;
use PgwTest;
use POSIX 'WNOHANG';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(missing_programs program_start text_served prometheus_start query_count prometheus_get panel_queries rule_queries selectors_of);

my @programs;
my $dir = PostgreSQL::Test::Utils::tempdir();

# Those of the programs that are not there.
sub missing_programs { return grep { my $p = $_; !grep { -x "$_/$p" } split /:/, $ENV{PATH} } @_ }

# Runs until the test ends; it is there once its port answers.
sub program_start
{
	my ($url, @command) = @_;
	my $pid = fork // die $!;
	if (!$pid)
	{
		open STDOUT, '>>', "$dir/$command[0].log";
		open STDERR, '>&', \*STDOUT;
		exec @command;
		die "exec: $!";
	}
	push @programs, $pid;
	my $ended = 0;
	wait_until(sub { ($ended = waitpid($pid, WNOHANG) != 0) || HTTP::Tiny->new(timeout => 10)->get($url)->{success} }, 30) && !$ended or die "$command[0] does not answer:\n" . slurp_file("$dir/$command[0].log");
}

# One text for whoever asks, with the type of OpenMetrics. Returns the port.
sub text_served
{
	my ($text) = @_;
	my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', Proto => 'tcp') or die $!;
	push @programs, PgwTest::child_process(sub {
		while (my $client = $server->accept)
		{
			while (defined(my $line = <$client>)) { last if $line =~ /^\r?\n$/ }
			print $client "HTTP/1.0 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\nContent-Length: " . length($text) . "\r\n\r\n$text";
			close $client;
		}
	});
	return $server->sockport;
}

END
{
	my $status = $?;
	for my $pid (@programs) { kill 'TERM', $pid; waitpid $pid, 0 }
	$? = $status;
}

# By docs/monitoring/prometheus.yml, but often, and of these targets: job => port. Returns its address.
sub prometheus_start
{
	my (%targets) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $conf = slurp_file('docs/monitoring/prometheus.yml');
	my ($head, $job) = $conf =~ /^(.*scrape_configs:\n)(- job_name.*)$/s or die 'prometheus.yml has another form';
	$head =~ s{^rule_files:\n- pgw-rules.yml$}{"rule_files:\n- " . File::Spec->rel2abs('docs/monitoring/pgw-rules.yml')}em or die 'it names no rules';
	my $jobs = '';
	for my $name (sort keys %targets)
	{
		my $one = $job;
		$one =~ s/job_name: pgw$/job_name: $name/m and $one =~ s/scrape_interval: 15s/scrape_interval: 1s/ and $one =~ s/scrape_timeout: 10s/scrape_timeout: 1s/
		  and $one =~ s/'localhost:9187'\].*$/'127.0.0.1:$targets{$name}']/m or die 'it has no such job';
		$jobs .= $one;
	}
	append_to_file("$dir/prometheus.yml", "global:\n  evaluation_interval: 1s\n$head$jobs");
	program_start("http://127.0.0.1:$port/-/ready", 'prometheus', "--config.file=$dir/prometheus.yml", "--storage.tsdb.path=$dir/tsdb", "--web.listen-address=127.0.0.1:$port");
	return "http://127.0.0.1:$port";
}

sub prometheus_get
{
	my ($url, $path, %args) = @_;
	return PgwTest::http_json('GET', "$url/api/v1/$path?" . HTTP::Tiny->new->www_form_urlencode(\%args))->{data};
}

# How many series a query has now.
sub query_count { my ($url, $query) = @_; return scalar @{ prometheus_get($url, 'query', query => $query)->{result} } }

# { title, query } of each query of each panel, as for all that is real money.
sub panel_queries
{
	my ($dashboard) = @_;
	my @queries;
	for my $panel (@{ $dashboard->{panels} })
	{
		for my $target (@{ $panel->{targets} // [] })
		{
			my $query = $target->{expr};
			$query =~ s/\$instance|\$bank/.*/g;
			$query =~ s/\$livemode/true/g;
			$query =~ s/\$__rate_interval/1m/g;
			push @queries, { title => $panel->{title}, query => $query };
		}
	}
	return @queries;
}

# What a query reads: each metric with its labels.
sub selectors_of { my ($query) = @_; return $query =~ /\b(pgw[\w:]*(?:\{[^}]*\})?)/g }

# { name, query } of each rule.
sub rule_queries
{
	my ($url) = @_;
	return map { { name => $_->{name}, query => $_->{query}, health => $_->{health}, error => $_->{lastError} } } map { @{ $_->{rules} } } @{ prometheus_get($url, 'rules')->{groups} };
}

1;
