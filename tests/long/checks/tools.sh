#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: tools.sh DIR [unmapped]
# Uses DIR, which holds what exerciser.py has left in DIR/tree, as people use a file system: copies with all attributes, git,
# a database whose writer is killed, a compiler, a package, and programs made to wear file systems out. Says what it does; the
# last line is `all is well`. `unmapped`: files cannot be mapped to be shared, as SQLite's write-ahead log has to be.
set -eu
dir=$1
checks=$(cd "$(dirname "$0")" && pwd)
cd "$dir"
same() {
    [ "$1" = "$2" ] || { echo "$3: $1, expected $2"; exit 1; }
}
digest() {
    python3 "$checks/exerciser.py" digest "$1" times
}

echo "copies"
all=$(digest tree)
cp -a tree copy
same "$(digest copy)" "$all" "cp -a"
rsync -aHX tree/ rsynced/
same "$(digest rsynced)" "$all" "rsync -aHX"
rsync -aHX --checksum --itemize-changes --dry-run tree/ rsynced/ >changes
same "$(cat changes)" "" "rsync finds nothing to do"
mkdir untarred
tar --xattrs -cf tree.tar tree
tar --xattrs -xpf tree.tar -C untarred
same "$(digest untarred/tree)" "$all" "tar"
rm -r copy rsynced untarred tree.tar changes

echo "git"
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b HOME="$dir"
git init -q repository
cd repository
i=0
while [ $i -lt 2000 ]; do
    mkdir -p d$((i % 50))
    echo "file $i of many" >d$((i % 50))/f$i
    i=$((i + 1))
done
git add .
git commit -qm one
for f in d1/*; do echo more >>"$f"; done
git commit -qam two
git gc -q
git fsck --full --strict 2>&1 | grep -v '^dangling' | grep . && exit 1
same "$(git status --porcelain)" "" "git status"
git checkout -q HEAD~1
same "$(cat d1/f1)" "file 1 of many" "git checkout"
cd ..
rm -r repository

echo "sqlite"
journal=wal
[ "${2:-}" != unmapped ] || journal=delete
sqlite3 base "pragma journal_mode=$journal; pragma synchronous=full; create table t(n integer primary key, v text);" >/dev/null
mkfifo feed
(
    i=1
    while echo "insert into t values($i, hex(randomblob(300))); select $i;" 2>/dev/null; do
        i=$((i + 1))
    done
) >feed &
feeder=$!
sqlite3 base <feed >told 2>/dev/null &
writer=$!
until [ "$(tail -n 1 told)" -gt 100 ] 2>/dev/null; do sleep 0.1; done
kill -KILL $writer
wait $writer || :
wait $feeder || :
told=$(grep -c . told)
same "$(sqlite3 base 'pragma integrity_check')" ok "the database"
stored=$(sqlite3 base 'select count(*) from t')
[ "$stored" -ge $((told - 1)) ] || { echo "$told rows were told, $stored are there"; exit 1; } # the last line may be half
rm base* told feed

echo "gcc"
cat >p.c <<'C'
#include <stdio.h>
int main(void) { return puts("compiled") < 0; }
C
gcc -o p p.c
same "$(./p)" compiled "what gcc made"
rm p p.c

echo "dpkg"
mkdir -p package/DEBIAN package/opt/check/many
printf 'Package: check\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: check\n' >package/DEBIAN/control
i=0
while [ $i -lt 300 ]; do
    echo $i >package/opt/check/many/$i
    i=$((i + 1))
done
dpkg-deb --build package check.deb >/dev/null
mkdir -p root/var/lib/dpkg/updates root/var/lib/dpkg/info
: >root/var/lib/dpkg/status
PATH=$PATH:/usr/sbin:/sbin # ldconfig, which dpkg looks for
dpkg --root="$dir/root" --force-not-root --force-depends --force-bad-path -i check.deb >/dev/null
same "$(cat root/opt/check/many/299)" 299 "the package's file"
same "$(dpkg --root="$dir/root" -V check)" "" "the package's files"
dpkg --root="$dir/root" --force-bad-path -r check >/dev/null
[ ! -e root/opt/check ] || { echo "dpkg left something"; exit 1; }
rm -r package root check.deb

echo "fio"
for engine in psync sync; do
    fio --name=check --directory="$dir" --size=16m --rw=randrw --bs=512-64k --bsrange=512-64k --ioengine=$engine \
        --verify=crc32c --verify_fatal=1 --fsync=64 --randseed=7 --thread --minimal >fio.out 2>&1 ||
        { tail -n 5 fio.out; exit 1; }
    rm check.* fio.out
done

echo "dbench"
mkdir bench
dbench -t 5 -D bench -c /usr/share/dbench/client.txt 3 >dbench.out 2>&1 || { tail -n 5 dbench.out; exit 1; }
grep -q '^Throughput' dbench.out || { tail -n 5 dbench.out; exit 1; }
rm -r bench dbench.out

echo "postmark"
mkdir mark
printf 'set location %s\nset number 500\nset transactions 2000\nset size 100 20000\nrun\nquit\n' "$dir/mark" |
    postmark >postmark.out 2>&1
grep -q '^Data:' postmark.out || { tail -n 5 postmark.out; exit 1; }
grep -iE 'error|cannot' postmark.out && exit 1
rm -r mark postmark.out

echo "bonnie++"
mkdir bonnie
bonnie++ -q -d "$dir/bonnie" -u 0 -s 64 -r 32 -n 1:4096:0:2 -x 1 >bonnie.out 2>bonnie.err || { tail -n 5 bonnie.err; exit 1; }
grep -q . bonnie.out || { tail -n 5 bonnie.err; exit 1; }
rm -r bonnie bonnie.out bonnie.err
echo "all is well"
