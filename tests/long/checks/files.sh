#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: files.sh [PACKAGE]…
# Compares every file of these packages, or of all, with the sum that its package gives; prints how many it compared.
set -eu
cd /
info=var/lib/dpkg/info
[ $# -gt 0 ] || set -- $(cd $info && ls | sed -n 's/\.md5sums$//p')
for package; do cat $info/"$package.md5sums"; done >/tmp/sums
md5sum --check --quiet --strict /tmp/sums
wc -l </tmp/sums
