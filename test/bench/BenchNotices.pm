# BenchNotices.pm - a bank that sends notifications while payments are made: a thousand a second to pgw.receive_notification(), each in a transaction of its own, signed as the bank signs, or forged
package BenchNotices;
use strict;
use warnings;
use BenchRun;
use BenchStage;
use Digest::SHA 'hmac_sha256_hex';
use Exporter 'import';
use JSON::PP;
use Time::HiRes 'time';

our @EXPORT = qw(notices_up notices_down);

my ($rate, $clients) = (1000, 8);
my $key = 'bench-hooks';
my ($number, $ready) = (0);

# Who signs, and what it is about: a thousand payments that are done.  One in ten is of a payment that was made elsewhere.
sub get_ready
{
	open my $f, '>', "$ENV{PGW_WORK}/secrets/hooks" or die $!;
	print $f "$key\n";
	close $f;
	chmod 0600, "$ENV{PGW_WORK}/secrets/hooks";
	sql("UPDATE pgw.banks SET notification_secret = 'hooks' WHERE name = 'bank'");
	sql("SELECT count(pgw.process_payment('told' || n, 1234, 'EUR', 'tok_ok')) FROM generate_series(1, 1000) n");
	sql('CREATE TABLE b.notices (n int PRIMARY KEY, headers jsonb NOT NULL, body bytea NOT NULL)');
	return [ map { [ split /\|/ ] } split /\n/, sql("SELECT replace(transaction_id::text, '-', ''), bank_reference FROM pgw.payments WHERE client_request_id LIKE 'told%'") ];
}

# n of them, as the endpoint would hand them over.
sub write_notices
{
	my ($n, $forged) = @_;
	open my $f, '>', "$dir/notices.copy" or die $!;
	my $at = int time;
	for my $i (0 .. $n - 1)
	{
		my ($reference, $charge) = $i % 10 ? @{ $ready->[ $i % @$ready ] } : (sprintf('%032x', $i), "elsewhere-$i");
		my $body = encode_json({ id => 'n' . ++$number, type => 'charge.approved', created => $at, charge => $charge, reference => $reference, amount => 1234, currency => 'EUR', livemode => JSON::PP::true });
		my $signature = "t=$at,v1=" . hmac_sha256_hex("$at.$body", $forged ? 'nobody' : $key);
		print $f "$i\t{\"notification-signature\": \"$signature\"}\t\\\\x" . unpack('H*', $body) . "\n";
	}
	close $f;
	sql("TRUNCATE b.notices; COPY b.notices FROM '$dir/notices.copy'");
	sql('VACUUM ANALYZE b.notices');
	return;
}

sub counted { my ($verdict) = @_; return sql("SELECT coalesce(sum(value), 0)::bigint FROM pgw.metrics WHERE name = 'pgw_notifications_total' AND labels->>'bank' = 'bank' AND labels->>'verdict' = '$verdict'") }

# They come for so many seconds; of none (the smoke run) 100 for each client, as fast as they can.
sub notices_up
{
	my ($forged, $seconds) = @_;
	$ready //= get_ready();
	write_notices($seconds > 0 ? int(1.5 * $rate * $seconds) : 100 * $clients, $forged);
	my $verdict = $forged ? 'wrong_signature' : 'accepted';
	my %n = (verdict => $verdict, forged => $forged, before => counted($verdict), rows => sql('SELECT count(*) FROM pgw.notifications'), began => time);
	open my $f, '>', "$dir/notices.sql" or die $!;
	print $f "\\set i :i + 1\nSELECT http_status FROM b.notices, pgw.receive_notification('bank', headers, body) WHERE n = :i * $clients + :client_id;\n";
	close $f;
	unlink glob "$dir/notices.log.*";
	$n{pid} = fork // die $!;
	return \%n if $n{pid};
	open STDOUT, '>', "$dir/notices.out";
	open STDERR, '>&', \*STDOUT;
	@ENV{qw(PGHOST PGDATABASE)} = ($dir, 'postgres');
	exec 'pgbench', '-n', '-M', 'prepared', '-f', "$dir/notices.sql", '-c', $clients, '-j', 1, $seconds > 0 ? ('-T', $seconds, '-R', $rate) : ('-t', 100), '-D', 'i=-1', '-l', "--log-prefix=$dir/notices.log";
	die "exec pgbench: $!";
}

# All that were sent were taken, or refused and left nothing; how many, how many a second, and how long each took from the time when it should have come.
sub notices_down
{
	my ($n) = @_;
	waitpid $n->{pid}, 0;
	my $seconds = time - $n->{began};
	die "notifications failed:\n" . `cat $dir/notices.out` if $?;
	my @ms;
	for my $log (glob "$dir/notices.log.*")
	{
		open my $l, '<', $log or die $!;
		while (my $line = <$l>) { push @ms, (split ' ', $line)[2] / 1000 }
	}
	my $taken = counted($n->{verdict}) - $n->{before};
	my $rows = sql('SELECT count(*) FROM pgw.notifications') - $n->{rows};
	die sprintf("%d notifications were sent, %d were %s, and %d rows were written\n", scalar @ms, $taken, $n->{verdict}, $rows) if $taken != @ms || $rows != ($n->{forged} ? 0 : @ms);
	@ms = sort { $a <=> $b } @ms;
	return { sent => scalar @ms, rate => @ms / $seconds, p50_ms => $ms[ $#ms / 2 ], p99_ms => $ms[ int(0.99 * $#ms) ] };
}

1;
