// SPDX-License-Identifier: MIT
// A binary search tree of 20,000 nodes: each step a load that depends on the last and a jump nobody
// predicts.
#include "../bench.h"

enum { kNodes = 20000 };
static struct Node {
    uint32_t key;
    struct Node* child[2];
} nodes[kNodes];

static void insert(struct Node* root, struct Node* node) {
    struct Node** at = &root;
    while (*at) {
        at = &(*at)->child[node->key > (*at)->key];
    }
    *at = node;
}

static unsigned depth_of(const struct Node* node, uint32_t key) {
    unsigned depth = 0;
    for (; node && node->key != key; depth++) {
        node = node->child[key > node->key];
    }
    return depth;
}

uint32_t run(unsigned percent) {
    uint32_t state = 1, sum = 0;
    for (unsigned i = 0; i < kNodes; i++) {
        nodes[i].key = next_random(&state);
        if (i > 0) {
            insert(&nodes[0], &nodes[i]);
        }
    }
    for (unsigned i = scaled(600000, percent); i > 0; i--) {
        sum += depth_of(nodes, nodes[next_random(&state) % kNodes].key);
    }
    return sum;
}
