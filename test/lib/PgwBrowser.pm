# PgwBrowser - a real Chromium without a window, led by Debian's chromedriver (WebDriver): pages from files, as they are rendered, dark or light, as wide as that;
# what they have loaded, and what the browser says of them.
package PgwBrowser;

use strict;
use warnings;
use Carp;
use HTTP::Tiny;
use JSON::PP;
use MIME::Base64;
use PgwTest;
use POSIX 'WNOHANG';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

my $http = HTTP::Tiny->new(timeout => 180);
my $json = JSON::PP->new->utf8->allow_nonref;

# The browser and its driver; they end with the test.
sub new
{
	my ($class) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $self = bless { url => "http://127.0.0.1:$port" }, $class;
	$self->{pid} = fork // die $!;
	if (!$self->{pid})
	{
		# what Chromium keeps of a user goes where the test's files go
		@ENV{qw(HOME TMPDIR XDG_CONFIG_HOME XDG_CACHE_HOME)} = ($dir) x 4;
		open STDOUT, '>', "$dir/chromedriver.log";
		open STDERR, '>&', \*STDOUT;
		exec 'chromedriver', "--port=$port";
		die "exec: $!";
	}
	wait_until(sub { waitpid($self->{pid}, WNOHANG) != 0 || $http->get("$self->{url}/status")->{success} }, 60) or die 'chromedriver does not answer';
	# the sandbox takes namespaces, which a container may refuse to an ordinary user: nothing but pages of pgw's is loaded
	my $began = eval { $self->_begin($dir) } // $self->_begin($dir, '--no-sandbox');
	$self->{url} .= "/session/$began->{sessionId}";
	return $self;
}

sub _begin
{
	my ($self, $dir, @args) = @_;
	return $self->_ask('POST', '/session', {
		capabilities => { alwaysMatch => { browserName => 'chrome', 'goog:loggingPrefs' => { browser => 'ALL', performance => 'ALL' },
			timeouts => { script => 120000, pageLoad => 120000 },
			'goog:chromeOptions' => { args => [ qw(--headless=new --disable-gpu --disable-dev-shm-usage --hide-scrollbars --no-first-run --disable-background-networking --disable-component-update
				--font-render-hinting=none --force-color-profile=srgb), @args ] } } } });
}

sub _ask
{
	my ($self, $method, $path, $body) = @_;
	my $r = $http->request($method, $self->{url} . $path, { $body ? (content => $json->encode($body), headers => { 'Content-Type' => 'application/json' }) : () });
	croak "$method $path: $r->{status} $r->{content}" unless $r->{success};
	return $json->decode($r->{content})->{value};
}

sub _cdp { my ($self, $cmd, %params) = @_; return $self->_ask('POST', '/goog/cdp/execute', { cmd => $cmd, params => \%params }) }

# So wide, in CSS pixels; a phone when told so, whose pages are as wide as they say.
sub width
{
	my ($self, $width, $height, $phone) = @_;
	$self->_cdp('Emulation.setDeviceMetricsOverride', width => $width, height => $height, deviceScaleFactor => 1, mobile => $phone ? JSON::PP::true : JSON::PP::false);
	return;
}

# dark or light, as the reader has set it.
sub scheme { my ($self, $scheme) = @_; $self->_cdp('Emulation.setEmulatedMedia', features => [ { name => 'prefers-color-scheme', value => $scheme } ]); return }

# The file as a page. Returns what was loaded for it (addresses), and what the browser has to say.
sub open_file
{
	my ($self, $file) = @_;
	$self->_ask('POST', '/se/log', { type => $_ }) for qw(browser performance);
	$self->_ask('POST', '/url', { url => "file://$file" });
	my @said = map { $_->{message} } @{ $self->_ask('POST', '/se/log', { type => 'browser' }) };
	my @loaded = map { $_->{params}{request}{url} } grep { $_->{method} eq 'Network.requestWillBeSent' }
	  map { $json->decode($_->{message})->{message} } @{ $self->_ask('POST', '/se/log', { type => 'performance' }) };
	return (\@loaded, \@said);
}

# What JavaScript of the test's own returns; the page itself runs none.
sub run { my ($self, $script, @args) = @_; return $self->_ask('POST', '/execute/sync', { script => $script, args => \@args }) }

# A picture of the page from there, so many pixels high; without a height to its end.
sub picture
{
	my ($self, $file, %o) = @_;
	my ($width, $height) = @{ $self->run('return [innerWidth, document.documentElement.scrollHeight]') };
	my $shot = $self->_cdp('Page.captureScreenshot', captureBeyondViewport => JSON::PP::true,
		clip => { x => 0, y => $o{from} // 0, width => $width, height => $o{height} // $height, scale => $o{scale} // 1 });
	open my $f, '>:raw', $file or die "$file: $!";
	print $f decode_base64($shot->{data});
	close $f or die "$file: $!";
	return;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $@);
	return unless $self->{pid};
	eval { $self->_ask('DELETE', '') } if $self->{url} =~ /session/;
	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
}

1;
