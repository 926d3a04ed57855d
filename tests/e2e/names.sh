#!/bin/sh
# SPDX-License-Identifier: MIT
# A machine may have a name, under which it is found beside its number.
. "$(dirname "$0")/lib.sh"
mount_tree

# same_files NUMBER NAME: the name leads to the same files.
alias same_files='same_files_ $LINENO'
same_files_() {
    same_ "$1" "$(ls "$mnt/$3")" "$(ls "$mnt/$2")" "files of $3"
    same_ "$1" "$(stat -L -c %i "$mnt/$3/conf")" "$(stat -c %i "$mnt/$2/conf")" "conf of $3"
    same_ "$1" "$(cat "$mnt/$3/ctl")" "$2" "number that ctl of $3 gives"
    same_ "$1" "$(cat "$mnt/$2/name")" "$3" "name of $2"
    grep -q "^$2 $3 " "$mnt/status" || fail_ "$1" "status has no line of $2 $3"
}

mkdir "$mnt/web"
same "$(wc -l <"$mnt/status")" 1 "machines after mkdir"
same_files 1 web
answers EEXIST mkdir "$mnt/web"
answers EEXIST mkdir "$mnt/1"
answers EEXIST mkdir "$mnt/conf"
for bad in 7 'two words' "quo'te" "$(head -c 65 /dev/zero | tr '\0' a)"; do
    answers EINVAL mkdir "$mnt/$bad"
done
same "$(wc -l <"$mnt/status")" 1 "machines after names that were refused"

# Everything works by name.
echo 'mem 32M' >"$mnt/web/conf"
holds "conf by number is conf by name" grep -qx 'mem 32M' "$mnt/1/conf"

# Another name: by mv, and by the file name.
mv "$mnt/web" "$mnt/shop"
same_files 1 shop
lacks "the old name is there" test -e "$mnt/web"
echo store >"$mnt/shop/name"
same_files 1 store
lacks "the old name is there" test -e "$mnt/shop"
same "$(new_vm)" 2 "number of a machine without a name"
same "$(cat "$mnt/2/name")" 2 "its name"
answers EEXIST rename "$mnt/2" "$mnt/store"
mv "$mnt/2" "$mnt/second"
same_files 2 second
refused EEXIST "$mnt/2/name" store
same_files 1 store
same_files 2 second
echo 2 >"$mnt/second/name"
same "$(cat "$mnt/2/name")" 2 "name given back"
lacks "the name given back is there" test -e "$mnt/second"

# A name is free again once its machine has another or none.
mkdir "$mnt/second"
same_files 3 second

# A machine that runs is not removed, by any name; one that is off is.
echo start >"$mnt/store/ctl"
await "$mnt/store/log" 'Linux version'
answers EBUSY rmdir "$mnt/store"
answers EBUSY rmdir "$mnt/1"
mv "$mnt/store" "$mnt/open"
same_files 1 open
echo pause >"$mnt/open/ctl"
answers EBUSY rmdir "$mnt/open"
echo stop >"$mnt/open/ctl"
same "$(ended open)" "stop 0" "end"
rmdir "$mnt/open"
for gone in open 1; do
    lacks "$gone is there after rmdir" test -e "$mnt/$gone"
done
rmdir "$mnt/2" "$mnt/second"
same "$(cat "$mnt/status")" "" "machines after all were removed"
same "$(new_vm)" 4 "number after all were removed"
rmdir "$mnt/4"
for file in conf ctl status new; do
    answers EPERM unlink "$mnt/$file"
    answers ENOTDIR rmdir "$mnt/$file"
done
