// SPDX-License-Identifier: MIT
// Where 9P is spoken: Plan 9's dial strings, dial(2), of two networks.
#pragma once

#include <cstdint>
#include <string>

#include "synthfs/fault.h"
#include "synthfs/words.h"

namespace ennead::synthfs {

struct Address {
    enum class Network { unix, tcp };
    Network network = Network::unix;
    std::string where;  // the socket's path; a host's name or number
    std::uint16_t port = 0;

    // As parse_address takes it.
    [[nodiscard]] std::string text() const;
    bool operator==(const Address&) const = default;
};

// `unix!PATH` or `tcp!HOST!PORT`, the port in decimal. EINVAL otherwise.
[[nodiscard]] Checked<Address> parse_address(const std::string& text);

// What a word of a line says of a server that is to be dialled, by whoever reads the line later: a
// unix socket's path is absolute, a port is not 0. EINVAL, with the line and the word, otherwise.
[[nodiscard]] Checked<Address> parse_remote_address(const Command& line, std::size_t word);

// A dial string whose path, if it has one, no longer depends on the working directory.
[[nodiscard]] std::string absolute_address(const std::string& text);

// The port of Ennead's examples; 9P itself has none that is not the superuser's.
inline constexpr const char* kUsualAddress = "tcp!127.0.0.1!5640";

}  // namespace ennead::synthfs
