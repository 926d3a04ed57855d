// SPDX-License-Identifier: MIT
// One input as a session of a client with the server, and what must hold meanwhile and afterwards.
#pragma once

#include <cstdint>
#include <span>

#include "tests/fuzz9p/ground.h"

namespace ennead::fuzz9p {

// Aborts, having said why, where the server does what it must not: a reply too many, too few, of
// the wrong kind or with something of the outside in it; an exception; a descriptor left open;
// something changed that was not granted. `told`: prints the conversation.
//
// The input: which tree (1 byte, Kind), how (1 byte, Options), then steps. A step is a byte and
// what it asks for:
//   0 … 223    a message: that of this number if there is one, else one of all; its tag; its fields
//              as Likely fills them (tests/p9/any_message.h)
//   224 … 231  the host changes a granted directory: which way
//   232 … 239  a line of binds: which
//   240 … 243  what was put off is done
//   244 … 247  streams and the slow directory answer
//   248 … 250  the next message is damaged: how comes after it
//   251 … 253  the reply to the next message has little room: how much
//   254        a frame of any bytes: their number, the bytes
//   255        all of the tree is taken away, unless it is a name space
void run_session(Ground& ground, std::span<const std::uint8_t> bytes, bool told);

}  // namespace ennead::fuzz9p
