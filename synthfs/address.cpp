// SPDX-License-Identifier: MIT
// Parses and prints dial strings.
#include "synthfs/address.h"

#include <charconv>
#include <filesystem>

namespace ennead::synthfs {

std::string Address::text() const {
    return network == Network::unix ? "unix!" + where : "tcp!" + where + '!' + std::to_string(port);
}

Checked<Address> parse_address(const std::string& text) {
    const auto refuse = [&](const char* why) {
        return make_fault(EINVAL, "%s: %s", text.c_str(), why);
    };
    const std::size_t bang = text.find('!');
    const std::string network = text.substr(0, bang);
    if (bang == text.npos || (network != "unix" && network != "tcp")) {
        return refuse("an address is unix!PATH or tcp!HOST!PORT");
    }
    Address address;
    address.where = text.substr(bang + 1);
    if (network == "unix") {
        if (address.where.empty() || address.where.find('\0') != text.npos) {
            return refuse("unix! is followed by a path");
        }
        return address;
    }
    address.network = Address::Network::tcp;
    const std::size_t last = address.where.rfind('!');
    if (last == text.npos || last == 0) {
        return refuse("tcp! is followed by a host, ! and a port");
    }
    const char* const end = address.where.data() + address.where.size();
    const auto [stop, failure] =
        std::from_chars(address.where.data() + last + 1, end, address.port);
    if (failure != std::errc{} || stop != end) {
        return refuse("a port is a number up to 65535");
    }
    address.where.resize(last);
    return address;
}

Checked<Address> parse_remote_address(const Command& line, std::size_t word) {
    const std::string& text = line.words[word].text;
    const auto at_word = [&](Fault fault) {
        fault.command = line.line;
        fault.column = line.words[word].column;
        return fault;
    };
    auto address = parse_address(text);
    if (!address) {
        return at_word(address.error());
    }
    const bool unix = address.value().network == Address::Network::unix;
    if (unix && !address.value().where.starts_with('/')) {
        return at_word(make_fault(EINVAL, "%s: the path must be absolute", text.c_str()));
    }
    if (!unix && address.value().port == 0) {
        return at_word(make_fault(EINVAL, "%s: a port is a number from 1 to 65535", text.c_str()));
    }
    return address;
}

std::string absolute_address(const std::string& text) {
    const auto address = parse_address(text);
    if (!address || address.value().network != Address::Network::unix) {
        return text;
    }
    std::error_code failure;
    const auto path = std::filesystem::absolute(address.value().where, failure);
    return failure ? text : "unix!" + path.string();
}

}  // namespace ennead::synthfs
