// SPDX-License-Identifier: MIT
// A frame in words, for who follows a conversation.
#pragma once

#include <string>

#include "p9/wire.h"

namespace ennead::p9 {

// `Twalk tag=1 fid=2 newfid=3 names=etc/passwd`: the message's name, its tag and its main fields,
// on one line. Words that blanks or quotes would tear are quoted as in vm(4), and bytes that are no
// text are shown as `?`. Of data only the size is told. What is no message: `broken` and why.
[[nodiscard]] std::string describe(Bytes frame);

}  // namespace ennead::p9
