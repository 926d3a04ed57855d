// SPDX-License-Identifier: MIT
// A row of the table of files: what is done to one of them, and what must come of it.
#pragma once

#include <string>
#include <vector>

namespace ennead::rows {

enum class Op {
    read,      // to the end; of a stream that follows, once without waiting
    first,     // one read
    glance,    // one read without waiting
    wait,      // one read that waits and is called off
    write,     // O_TRUNC
    append,    // O_APPEND
    truncate,  // only that
    talk,      // writes, then reads, on one descriptor; `text` is what the read gives
    fill,      // writes without waiting until that is refused
    at_3g,     // one read at 3 GiB
    over,      // opened before `data` is written to the file's machine's ctl, then read
    list,
    stat,
    becomes,  // stat, until that has the outcome
    mkdir,
    rmdir,
    rename,  // to `data`
    await,   // reads until `text` is in it
    limit,  // the server, and what it starts, have `data` bytes of address space from now on; none:
            // as many as they want
    hang,   // stops the machine's process; its next answer is none
};

struct Row {
    const char* file;  // below the top
    Op op;
    const char* data = "";  // `@`: the directory of the test
    int outcome = 0;        // an errno
    const char* text = "";  // is in what is read
};

// In this order: later rows build on earlier ones.
[[nodiscard]] const std::vector<Row>& table();
// Errnos of tree.md that need a row of their own.
[[nodiscard]] const std::vector<int>& errnos();

}  // namespace ennead::rows
