#!/bin/sh
# SPDX-License-Identifier: MIT
# What openssl computes: digests, ciphers both ways and with known keys, signatures that hold and fail when they must.
# The same lines on every machine with openssl 3.0.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
seq 1 20000 >text
for digest in md5 sha1 sha224 sha256 sha384 sha512 sha512-256 sha3-256 sha3-512 shake256 blake2b512 blake2s256 sm3 ripemd160; do
    echo "$digest $(openssl dgst -r -$digest text | cut -d ' ' -f 1)"
done
echo "hmac $(openssl dgst -r -sha256 -hmac key text | cut -d ' ' -f 1)"
key=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
for cipher in aes-128-ecb aes-192-cbc aes-256-ctr aes-256-cfb aes-128-ofb camellia-256-cbc aria-256-ctr des-ede3-cbc \
    chacha20 sm4-cbc; do
    case $cipher in
    *-128-* | sm4-*) k=$(echo $key | cut -c 1-32) ;;
    *-192-* | des-*) k=$(echo $key | cut -c 1-48) ;;
    *) k=$key ;;
    esac
    case $cipher in
    *-ecb) iv= ;;
    des-*) iv="-iv 0001020304050607" ;;
    *) iv="-iv 000102030405060708090a0b0c0d0e0f" ;;
    esac
    openssl enc -$cipher -K "$k" $iv -in text -out secret
    openssl enc -d -$cipher -K "$k" $iv -in secret | cmp - text
    echo "$cipher $(sha256sum <secret | cut -c 1-32)"
done
openssl enc -aes-256-cbc -pbkdf2 -iter 2000 -S 0102030405060708 -pass pass:secret -in text -out secret
openssl enc -d -aes-256-cbc -pbkdf2 -iter 2000 -pass pass:secret -S 0102030405060708 -in secret | cmp - text
echo "pbkdf2 $(sha256sum <secret | cut -c 1-32)"
echo "prime $(openssl prime 170141183460469231731687303715884105727 | sed 's/.*) //') $(openssl prime 170141183460469231731687303715884105729 | sed 's/.*) //')"
# Keys are random; what is checked is that their signatures hold, and those of another text do not.
head -n 100 text >other
for kind in "RSA -pkeyopt rsa_keygen_bits:1024" "EC -pkeyopt ec_paramgen_curve:P-256" "EC -pkeyopt ec_paramgen_curve:secp384r1"; do
    openssl genpkey -quiet -algorithm $kind -out private.pem 2>/dev/null || openssl genpkey -algorithm $kind -out private.pem 2>/dev/null
    openssl pkey -in private.pem -pubout -out public.pem
    openssl dgst -sha256 -sign private.pem -out signature text
    echo "$kind: $(openssl dgst -sha256 -verify public.pem -signature signature text)"
    ! openssl dgst -sha256 -verify public.pem -signature signature other >/dev/null 2>&1
done
openssl genpkey -algorithm ED25519 -out private.pem
openssl pkey -in private.pem -pubout -out public.pem
openssl pkeyutl -sign -rawin -inkey private.pem -in other -out signature
echo "ED25519: $(openssl pkeyutl -verify -rawin -pubin -inkey public.pem -in other -sigfile signature)"
openssl genpkey -algorithm X25519 -out a.pem && openssl pkey -in a.pem -pubout -out a.pub
openssl genpkey -algorithm X25519 -out b.pem && openssl pkey -in b.pem -pubout -out b.pub
openssl pkeyutl -derive -inkey a.pem -peerkey b.pub -out ab
openssl pkeyutl -derive -inkey b.pem -peerkey a.pub | cmp - ab && echo "X25519: both have the same"
openssl req -x509 -newkey rsa:1024 -nodes -keyout ca.key -out ca.pem -subj /CN=check -days 9 2>/dev/null
openssl verify -CAfile ca.pem ca.pem
