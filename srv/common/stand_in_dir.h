// SPDX-License-Identifier: MIT
// A directory that is always there, and stands for one of another tree that may come and go.
#pragma once

#include <functional>

#include "synthfs/node.h"

namespace ennead::srv {

// On the thread that owns the tree.
struct StandIn {
    // Answers with the directory it stands for now, or why there is none; the words go to the
    // request. Asked anew for each operation.
    std::function<void(const synthfs::RequestPtr&, synthfs::Reply<synthfs::NodePtr>)> find{};
    // The same for who opens it or walks in it, if that differs.
    std::function<void(const synthfs::RequestPtr&, synthfs::Reply<synthfs::NodePtr>)> enter{};
    // Whether an empty directory is shown while there is none, so that it does not stand in the way
    // of the others of a union; without it: no.
    std::function<bool()> passed_over{};
    // Node::revoke.
    std::function<void()> revoke{};
    // Who owns it while there is nothing to ask.
    uid_t uid = 0;
    gid_t gid = 0;
};

// Keeps its identity whatever becomes of the other tree, and has attributes at any time; every
// other operation is handed on. What was opened before goes on with what it was opened in.
[[nodiscard]] synthfs::NodePtr make_stand_in(StandIn options);

}  // namespace ennead::srv
