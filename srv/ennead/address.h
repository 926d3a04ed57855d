// SPDX-License-Identifier: MIT
// Where 9P is spoken: Plan 9's dial strings, dial(2), of two networks.
#pragma once

#include <cstdint>
#include <string>

#include "synthfs/fault.h"

namespace ennead::srv {

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
[[nodiscard]] synthfs::Checked<Address> parse_address(const std::string& text);

// A dial string whose path, if it has one, no longer depends on the working directory.
[[nodiscard]] std::string absolute_address(const std::string& text);

// The port of Ennead's examples; 9P itself has none that is not the superuser's.
inline constexpr const char* kUsualAddress = "tcp!127.0.0.1!5640";

}  // namespace ennead::srv
