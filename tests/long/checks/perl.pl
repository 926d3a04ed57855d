# SPDX-License-Identifier: MIT
# What perl and its modules compute, a line a subject; the same on every machine.
use strict;
use warnings;
use Digest::MD5 qw(md5_hex);
use Digest::SHA qw(sha1_hex sha512_hex);
use Encode qw(encode decode);
use List::Util qw(reduce shuffle sum);
use MIME::Base64 qw(encode_base64 decode_base64);
use Math::BigFloat;
use Math::BigInt;
use POSIX qw(floor fmod strtod);
use Storable qw(freeze thaw);

$| = 1;
my $text = join '', map { chr(32 + ($_ * 7919) % 95) } 1 .. 60_000;

print 'integers ', join(' ', 2**53 + 1, -7 % 3, 7 % -3, 18446744073709551615 % 1000003, ~5 & 0xffff, 1 << 40, -1 >> 60), "\n";
print 'doubles ', join(' ', map { unpack 'H*', pack 'd>', $_ } 0.1 + 0.2, 1e308 * 10, -1e-310, sqrt 2, exp 1, sin 1e6, atan2(-1, -1), 10**-5, log 7), "\n";
print 'formats ', sprintf('%.17g %e %a %x %o %b %s %vd %+05d|%-6s|%6.2f', 0.1, 12345.678, 1 / 3, 255, 8, 5, 'x', '1.2.3', 42, 'ab', 2.345), "\n";
print 'numbers of strings ', join(' ', map { 0 + $_ } '1e3', '12', '.5', '1_000' =~ s/_//r, '99999999999999999999'), ' ', hex('ffffffff'), ' ', oct('0b1011'), ' ', (strtod('1e-320'))[0], "\n";
print 'packed ', unpack('H*', pack 'c C s> S< l> L< q> Q< n N v V w f> d< H4 A5 Z5 U', -1, 255, -2, 65534, -3, 4294967293, -4, 5, 6, 7, 8, 9, 300, 1.5, -2.5, 'beef', 'ab', 'cd', 0x263a), "\n";
print 'regular expressions ', scalar(() = $text =~ /(\w)(\d)(?!\1)/g), ' ', join(',', 'a1b22c333' =~ /([a-z])(\d+)/g), ' ',
    ('((a(b)c)(d))' =~ /^(\((?:[^()]|(?1))*\))$/ ? 'nested' : 'not'), ' ', ('x' x 5000 . 'y') =~ /^(x+x+)+y$/ ? 1 : 0, ' ', $text =~ tr/a-z//, "\n";
my %count;
$count{$_}++ for $text =~ /../g;
print 'hashes ', scalar(keys %count), ' ', sum(values %count), ' ', md5_hex(join ',', map { "$_=$count{$_}" } sort keys %count), "\n";
my @sorted = sort { $a <=> $b or $b cmp $a } map { ($_ * 48271) % 65537 / 8 } 1 .. 20_000;
print 'sorting ', md5_hex("@sorted"), ' ', (reduce { ($a * 31 + $b * 8) % 1000003 } @sorted), "\n";
print 'digests ', md5_hex($text), ' ', sha1_hex($text), ' ', sha512_hex($text), "\n";
print 'base64 ', decode_base64(encode_base64($text)) eq $text ? 'both ways' : 'differs', ' ', length encode_base64($text), "\n";
my $unicode = "\x{263a}\x{10fffd}\x{e9}" x 100;
print 'unicode ', decode('UTF-8', encode('UTF-8', $unicode)) eq $unicode ? 'both ways' : 'differs', ' ', unpack('H*', encode('UTF-16BE', substr $unicode, 0, 3)), ' ', lc("\x{c9}A\x{130}") eq "\x{e9}ai\x{307}" ? 1 : 0, "\n";
my $deep = thaw freeze { list => [1 .. 5], hash => { a => [{ b => undef }] }, text => $text };
print 'storable ', $deep->{list}[4], ' ', exists $deep->{hash}{a}[0]{b} ? 1 : 0, ' ', $deep->{text} eq $text ? 1 : 0, "\n";
print 'big integers ', Math::BigInt->new(60)->bfac, ' ', Math::BigInt->new(7)->bmodpow('123456789012345678901234567890', '1000000000000000003'), "\n";
print 'big floats ', Math::BigFloat->new(2)->bsqrt(60), ' ', Math::BigFloat->bpi(50), "\n";
my $closure = do { my $n = 0; sub { $n += shift } };
$closure->($_) for 1 .. 50_000;
print 'closures ', $closure->(0), "\n";
my $died = eval { die { code => 42 } ; 1 } ? 0 : $@->{code};
print 'exceptions ', $died, ' ', (eval { my $x = 1 / (0 * $died); 1 } ? 'none' : $@ =~ /^(Illegal division by zero)/), "\n";
local $SIG{ALRM} = sub { die "alarm\n" };
eval { alarm 1; select undef, undef, undef, 20; alarm 0 };
print 'signals ', $@;
my $lines = 0;
my $pid = open(my $child, '-|') // die "no fork: $!";
if (!$pid) { print "$_\n" for 1 .. 3000; exit 7 }
$lines += $_ while <$child>;
close $child;
print 'processes ', $lines, ' ', $? >> 8, "\n";
