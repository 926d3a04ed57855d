// SPDX-License-Identifier: MIT
// What `mount` and `unmount` lines mean, and the name space they make.
#include "srv/ennead/mounts.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace ennead::srv {

using synthfs::Address;
using synthfs::Checked;
using synthfs::Command;
using synthfs::Fault;
using synthfs::parse_remote_address;
using synthfs::Verb;
using synthfs::Word;

namespace {

constexpr const char* kMountUsage = "mount [-abc] addr n/name";
constexpr const char* kUnmountUsage = "unmount [addr] n/name";

Fault at_word(int errnum, std::string text, const Command& line, const Word& word) {
    return {errnum, std::move(text), line.line, word.column};
}

Fault usage(const char* text, const Command& line) {
    return {EINVAL, std::string("usage: ") + text, line.line, {}};
}

Checked<std::string> parse_name(const Command& line, const Word& word) {
    const std::string& path = word.text;
    const std::string name = path.starts_with("n/") ? path.substr(2) : "";
    if (name.empty() || name.size() > 255 || name == "." || name == ".." ||
        std::ranges::any_of(name,
                            [](unsigned char c) { return c < ' ' || c == '/' || c == 0x7f; })) {
        return at_word(EINVAL, path + ": trees are mounted at n/ and one name", line, word);
    }
    return name;
}

struct MountLine {
    Address address;
    std::string name;
    bool after = false, before = false, create = false;
};

Checked<MountLine> parse_mount(const Command& line) {
    MountLine result;
    std::size_t next = 0;
    for (; next < line.arg_count() && line.arg(next).text.starts_with('-'); ++next) {
        const std::string& flags = line.arg(next).text;
        for (std::size_t i = 1; i < flags.size(); ++i) {
            bool* const flag = flags[i] == 'a'   ? &result.after
                               : flags[i] == 'b' ? &result.before
                               : flags[i] == 'c' ? &result.create
                                                 : nullptr;
            if (flag == nullptr) {
                return at_word(EINVAL, flags + ": the flags of mount are a, b and c", line,
                               line.arg(next));
            }
            *flag = true;
        }
        if (flags.size() == 1 || (result.after && result.before)) {
            return at_word(EINVAL, flags + ": -a is after, -b before what is there, -c with either",
                           line, line.arg(next));
        }
    }
    if (line.arg_count() != next + 2) {
        return usage(kMountUsage, line);
    }
    auto address = parse_remote_address(line, next + 1);
    if (!address) {
        return address.error();
    }
    auto name = parse_name(line, line.arg(next + 1));
    if (!name) {
        return name.error();
    }
    result.address = std::move(address.value());
    result.name = std::move(name.value());
    return result;
}

struct UnmountLine {
    std::optional<Address> address;
    std::string name;
};

Checked<UnmountLine> parse_unmount(const Command& line) {
    UnmountLine result;
    auto name = parse_name(line, line.arg(line.arg_count() - 1));
    if (!name) {
        return name.error();
    }
    result.name = std::move(name.value());
    if (line.arg_count() == 2) {
        auto address = parse_remote_address(line, 1);
        if (!address) {
            return address.error();
        }
        result.address = std::move(address.value());
    }
    return result;
}

}  // namespace

Mounts::Mounts(Options options) : options_(std::move(options)) {
    base_ = synthfs::Directory::make({.mode = 0755, .name = "n", .errors = options_.errors});
    // Bound at the top, it gives `n` itself its owner and mode.
    [[maybe_unused]] const auto shown = show({});
}

std::shared_ptr<RemoteTree> Mounts::connect(const Address& address, const std::string& name) {
    return RemoteTree::start(address, {.io = options_.io,
                                       .hidden = options_.hidden,
                                       .changed = [options = options_, file = "n/" + name](
                                                      const std::string& text, bool connected) {
                                           options.log(file + ": " + text);
                                           if (options.errors && !connected) {
                                               options.errors({EIO, 0, file, text, {}, {}});
                                           }
                                       }});
}

Checked<> Mounts::show(std::vector<Point> points) {
    std::vector<synthfs::NamespacePoint> shown;
    shown.push_back({"/", {{base_, false}}, std::nullopt});
    for (const Point& point : points) {
        synthfs::NamespacePoint& at = shown.emplace_back();
        at.target = '/' + point.name;
        for (const Member& member : point.members) {
            at.elements.push_back({member.tree->node(), member.create});
        }
    }
    // The names are looked for in a directory of ours, so the answer comes at once.
    Checked<> outcome = synthfs::make_fault(EBUSY, "n is being changed");
    names_->set(std::move(shown), [&outcome](Checked<> result) { outcome = std::move(result); });
    if (!outcome) {
        return outcome;
    }
    for (const Point& point : points) {
        for (const Member& member : point.members) {
            member.tree->set_in_union(point.members.size() > 1);
        }
    }
    const auto stays = [&](const std::shared_ptr<RemoteTree>& tree) {
        return std::ranges::any_of(points, [&](const Point& point) {
            return std::ranges::any_of(point.members,
                                       [&](const Member& member) { return member.tree == tree; });
        });
    };
    const std::vector<Point> before = std::exchange(points_, points);
    for (const Point& point : before) {
        for (const Member& member : point.members) {
            if (!stays(member.tree)) {
                member.tree->close();
            }
        }
    }
    return outcome;
}

Checked<> Mounts::mount(const Command& line) {
    const auto parsed = parse_mount(line);
    if (!parsed) {
        return parsed.error();
    }
    const MountLine& m = parsed.value();
    std::vector<Point> points = points_;
    auto point = std::ranges::find(points, m.name, &Point::name);
    if (point == points.end()) {
        point = points.insert(
            std::ranges::find_if(points, [&](const Point& each) { return each.name > m.name; }),
            Point{m.name, {}});
    }
    auto& members = point->members;
    const auto known = std::ranges::find_if(
        members, [&](const Member& each) { return each.tree->address() == m.address; });
    if (known != members.end() && (m.after || m.before)) {
        return synthfs::make_fault(EEXIST, "%s is mounted at n/%s already",
                                   m.address.text().c_str(), m.name.c_str());
    }
    const bool kept = known != members.end();
    Member member{kept ? known->tree : nullptr, m.create};
    std::size_t count = 0;
    for (const Point& each : points_) {
        count += each.members.size();
    }
    if (!kept && count >= kMost) {
        return synthfs::make_fault(EDQUOT, "no more than %zu trees are mounted", kMost);
    }
    if (!kept) {
        member.tree = connect(m.address, m.name);
    }
    if (!m.after && !m.before) {
        members.clear();
    }
    members.insert(m.after ? members.end() : members.begin(), std::move(member));
    return show(std::move(points));
}

Checked<> Mounts::unmount(const Command& line) {
    const auto parsed = parse_unmount(line);
    if (!parsed) {
        return parsed.error();
    }
    const UnmountLine& u = parsed.value();
    std::vector<Point> points = points_;
    const auto point = std::ranges::find(points, u.name, &Point::name);
    if (point == points.end()) {
        return synthfs::make_fault(ENOENT, "nothing is mounted at n/%s", u.name.c_str());
    }
    const auto gone = std::erase_if(point->members, [&](const Member& each) {
        return !u.address || each.tree->address() == *u.address;
    });
    if (gone == 0) {
        return synthfs::make_fault(ENOENT, "%s is not mounted at n/%s", u.address->text().c_str(),
                                   u.name.c_str());
    }
    if (point->members.empty()) {
        points.erase(point);
    }
    return show(std::move(points));
}

void Mounts::close() {
    for (const Point& point : std::exchange(points_, {})) {
        for (const Member& member : point.members) {
            member.tree->close();
        }
    }
}

std::vector<Verb> Mounts::verbs() {
    const auto checked = [](auto parse) {
        return [parse](const Command& line) -> Checked<> {
            const auto parsed = parse(line);
            return parsed ? Checked<>(synthfs::success()) : parsed.error();
        };
    };
    return {
        Verb{.name = "mount",
             .min_args = 2,
             .max_args = 5,
             .usage = kMountUsage,
             .run = synthfs::at_once([this](const Command& line) { return mount(line); }),
             .check = checked(parse_mount)},
        Verb{.name = "unmount",
             .min_args = 1,
             .max_args = 2,
             .usage = kUnmountUsage,
             .run = synthfs::at_once([this](const Command& line) { return unmount(line); }),
             .check = checked(parse_unmount)},
    };
}

std::string Mounts::text() const {
    std::string text;
    for (const Point& point : points_) {
        const char* place = "";
        for (const Member& member : point.members) {
            const std::string flags = std::string(place) + (member.create ? "c" : "");
            text += "mount " + (flags.empty() ? "" : '-' + flags + ' ') +
                    synthfs::quote(member.tree->address().text()) + ' ' +
                    synthfs::quote("n/" + point.name) + '\n';
            if (!member.tree->root()) {
                text += "# not connected: " + member.tree->reason() + '\n';
            }
            place = "a";
        }
    }
    return text;
}

}  // namespace ennead::srv
