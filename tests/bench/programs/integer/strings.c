// SPDX-License-Identifier: MIT
// Words are split off, looked up, compared, copied and joined by the C library's string functions.
#include <string.h>

#include "../bench.h"

static const char kText[] =
    "the quick brown fox jumps over the lazy dog while nine shy wizards quietly watch a zeppelin "
    "above the river and every other traveller asks the ferryman for the price of one crossing ";

uint32_t run(unsigned percent) {
    uint32_t sum = 0;
    for (unsigned round = scaled(80000, percent); round > 0; round--) {
        char text[sizeof kText], joined[2 * sizeof kText] = "";
        strcpy(text, kText);
        char *rest = text, *word;
        while ((word = strsep(&rest, " ")) != NULL) {
            const char* found = strstr(kText, word);
            sum = mix(sum, (uint32_t)(found - kText) + (uint32_t)strlen(word));
            if (strchr(word, 'e') != NULL && strcmp(word, "river") < 0) {
                strcat(joined, word);
                strcat(joined, "-");
            }
        }
        sum = mix(sum, (uint32_t)strlen(joined) + (uint32_t)strcspn(joined, "z") + round);
    }
    return sum;
}
