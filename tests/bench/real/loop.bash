# SPDX-License-Identifier: MIT
# usage: loop.bash PERCENT. Shell arithmetic, string cutting and an array.
sum=0
text=abcdefghijklmnopqrstuvwxyz
for ((i = 0; i < 100 * $1; i++)); do
    ((sum = (sum * 31 + i) % 1000003))
    seen[sum % 100]=${text:sum % 26:3}
done
echo "$sum ${seen[*]}"
