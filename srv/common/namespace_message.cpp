// SPDX-License-Identifier: MIT
// Name spaces as lines of text, and text with descriptors over a socket.
#include "srv/common/namespace_message.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "synthfs/words.h"

namespace ennead::srv {

using synthfs::Checked;
using synthfs::Command;
using synthfs::make_fault;

namespace {

using Kind = NamespaceMessage::Kind;

// Larger than any that is sent: 64 sources, each with a target that has its own line.
constexpr std::size_t kMaxText = 512 * 1024;

constexpr std::pair<Kind, const char*> kKinds[] = {{Kind::known, "known"},
                                                   {Kind::host, "host"},
                                                   {Kind::overlay, "overlay"},
                                                   {Kind::ram, "ram"},
                                                   {Kind::tree, "tree"}};

const char* name_of(Kind kind) {
    for (const auto& [known, name] : kKinds) {
        if (known == kind) {
            return name;
        }
    }
    return "?";
}

// `KIND ID FLAGS [FIGURE]`: the layers of an overlay, the bytes of a memory tree.
Checked<NamespaceMessage::Element> decode_element(const Command& line) {
    NamespaceMessage::Element element;
    bool found = false;
    for (const auto& [kind, name] : kKinds) {
        if (line.verb() == name) {
            element.kind = kind;
            found = true;
        }
    }
    const bool figure = element.kind == Kind::overlay || element.kind == Kind::ram;
    if (!found || line.arg_count() != (figure ? 3u : 2u)) {
        return make_fault(EINVAL, "name space message: %s", line.line.c_str());
    }
    const auto id = synthfs::parse_number(line.arg(0));
    if (!id) {
        return id.error();
    }
    element.id = id.value();
    const std::string& flags = line.arg(1).text;
    element.create = flags == "c";
    element.read_only = flags == "r";
    if (!element.create && !element.read_only && flags != "-") {
        return make_fault(EINVAL, "name space message: flags %s", flags.c_str());
    }
    if (figure) {
        const bool overlay = element.kind == Kind::overlay;
        const auto number = overlay ? synthfs::parse_number(line.arg(2), {1, kMaxDescriptors - 1})
                                    : synthfs::parse_number(line.arg(2));
        if (!number) {
            return number.error();
        }
        if (overlay) {
            element.layers = static_cast<unsigned>(number.value());
        } else {
            element.size_bytes = number.value();
        }
    }
    return element;
}

// `hide DEVICE [INODE]`
Checked<> decode_hidden(const Command& line, NamespaceMessage& message) {
    if (line.arg_count() != 1 && line.arg_count() != 2) {
        return make_fault(EINVAL, "name space message: %s", line.line.c_str());
    }
    const auto device = synthfs::parse_number(line.arg(0));
    if (!device) {
        return device.error();
    }
    if (line.arg_count() == 1) {
        message.hidden_device = device.value();
        return synthfs::success();
    }
    const auto inode = synthfs::parse_number(line.arg(1));
    if (!inode) {
        return inode.error();
    }
    message.hidden.emplace_back(device.value(), inode.value());
    return synthfs::success();
}

}  // namespace

std::size_t NamespaceMessage::Element::descriptors() const {
    switch (kind) {
        case Kind::known:
        case Kind::ram:
            return 0;
        case Kind::host:
        case Kind::tree:
            return 1;
        case Kind::overlay:
            return layers + (read_only ? 0u : 1u);
    }
    return 0;
}

std::size_t NamespaceMessage::descriptors() const {
    std::size_t count = 0;
    for (const Point& point : points) {
        for (const Element& element : point.elements) {
            count += element.descriptors();
        }
    }
    return count;
}

std::string NamespaceMessage::encode() const {
    std::string text;
    if (hidden_device != 0) {
        text += "hide " + std::to_string(hidden_device) + '\n';
    }
    for (const auto& [device, inode] : hidden) {
        text += "hide " + std::to_string(device) + ' ' + std::to_string(inode) + '\n';
    }
    for (const Point& point : points) {
        text += "at " + synthfs::quote(point.target) + '\n';
        for (std::size_t i = 0; i <= point.elements.size(); ++i) {
            if (point.under == i) {
                text += "under\n";
            }
            if (i == point.elements.size()) {
                break;
            }
            const Element& element = point.elements[i];
            text += std::string(name_of(element.kind)) + ' ' + std::to_string(element.id) + ' ' +
                    (element.create      ? "c"
                     : element.read_only ? "r"
                                         : "-");
            if (element.kind == Kind::overlay) {
                text += ' ' + std::to_string(element.layers);
            } else if (element.kind == Kind::ram) {
                text += ' ' + std::to_string(element.size_bytes);
            }
            text += '\n';
        }
    }
    return text;
}

Checked<NamespaceMessage> NamespaceMessage::decode(std::string_view text) {
    const auto lines = synthfs::parse_commands(text);
    if (!lines) {
        return lines.error();
    }
    NamespaceMessage message;
    for (const Command& line : lines.value()) {
        if (line.verb() == "hide") {
            if (auto hidden = decode_hidden(line, message); !hidden) {
                return hidden.error();
            }
            continue;
        }
        if (line.verb() == "at") {
            if (line.arg_count() != 1 || !line.arg(0).text.starts_with('/')) {
                return make_fault(EINVAL, "name space message: %s", line.line.c_str());
            }
            message.points.push_back({line.arg(0).text, {}, std::nullopt});
            continue;
        }
        if (message.points.empty()) {
            return make_fault(EINVAL, "name space message: %s before at", line.verb().c_str());
        }
        Point& point = message.points.back();
        if (line.verb() == "under") {
            if (point.under || line.arg_count() != 0) {
                return make_fault(EINVAL, "name space message: %s", line.line.c_str());
            }
            point.under = point.elements.size();
            continue;
        }
        auto element = decode_element(line);
        if (!element) {
            return element.error();
        }
        point.elements.push_back(element.value());
    }
    return message;
}

Checked<> send_message(int socket, std::string_view text, std::span<const int> descriptors) {
    if (descriptors.size() > kMaxDescriptors) {
        return make_fault(EDQUOT, "more than %zu descriptors at once", kMaxDescriptors);
    }
    iovec data{const_cast<char*>(text.data()), text.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))] = {};
    if (!descriptors.empty()) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
        cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
    }
    ssize_t sent = 0;
    do {
        sent = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent != static_cast<ssize_t>(text.size())) {
        return make_fault(sent < 0 ? errno : EIO, "name space socket: %s",
                          sent < 0 ? std::strerror(errno) : "cut");
    }
    return synthfs::success();
}

Checked<ReceivedMessage> receive_message(int socket, bool dont_wait) {
    ReceivedMessage received;
    received.text.resize(kMaxText);
    iovec data{received.text.data(), received.text.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t size = 0;
    do {
        size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | (dont_wait ? MSG_DONTWAIT : 0));
    } while (size < 0 && errno == EINTR);
    if (size < 0) {
        return make_fault(errno, "name space socket: %s", std::strerror(errno));
    }
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
            received.descriptors.emplace_back(fd);
        }
    }
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        // MSG_CTRUNC also if the process may open no more files.
        return make_fault(EMSGSIZE, "name space message: cut, or too many open files");
    }
    received.text.resize(static_cast<std::size_t>(size));
    return received;
}

std::string encode_answer(const Checked<>& answer) {
    if (answer) {
        return "ok\n";
    }
    std::string text = answer.error().text;
    for (char& c : text) {
        c = c == '\n' || c == '\0' ? '?' : c;
    }
    return "error " + std::to_string(answer.error().errnum) + ' ' + synthfs::quote(text) + '\n';
}

Checked<> decode_answer(std::string_view text) {
    const auto lines = synthfs::parse_commands(text);
    if (lines && lines.value().size() == 1) {
        const Command& line = lines.value().front();
        if (line.verb() == "ok" && line.arg_count() == 0) {
            return synthfs::success();
        }
        if (line.verb() == "error" && line.arg_count() == 2) {
            const auto number = synthfs::parse_number(line.arg(0), {1, 511});
            return make_fault(number ? static_cast<int>(number.value()) : EIO, "%s",
                              line.arg(1).text.c_str());
        }
    }
    return make_fault(EIO, "the VM's process said something unintelligible");
}

}  // namespace ennead::srv
