// SPDX-License-Identifier: MIT
// A name space as text: parsing, changing and printing it.
#include "synthfs/bind_table.h"

#include <climits>

#include <algorithm>
#include <utility>

#include "synthfs/address.h"

namespace ennead::synthfs {

namespace {

const std::string kDefaultRoot;  // as a source: the empty string

enum class Order { replace, before, after };

Fault at_word(Fault fault, const Command& line, std::size_t word) {
    fault.command = line.line;
    fault.column = line.words[word].column;
    return fault;
}

BindPoint default_point() {
    return {"/", {{.sources = {kDefaultRoot}, .overlay = true}}, std::nullopt};
}

// The path without repeated or closing slashes and without "." components.
Checked<std::string> clean_path(const Command& line, std::size_t word, const char* what,
                                bool dot_dot_allowed) {
    const std::string& path = line.words[word].text;
    if (path.empty() || path.front() != '/') {
        return at_word(make_fault(EINVAL, "%s: an absolute path is needed", what), line, word);
    }
    if (path.size() >= PATH_MAX) {
        return at_word(make_fault(ENAMETOOLONG, "%s: the path is too long", what), line, word);
    }
    if (path.find('\n') != path.npos) {
        return at_word(make_fault(EINVAL, "%s: a newline in a path", what), line, word);
    }
    std::string clean;
    for (std::size_t begin = 0; begin < path.size();) {
        const std::size_t end = std::min(path.find('/', begin), path.size());
        const std::string name = path.substr(begin, end - begin);
        begin = end + 1;
        if (name.empty() || name == ".") {
            continue;
        }
        if (name.size() > NAME_MAX) {
            return at_word(make_fault(ENAMETOOLONG, "%s: a name is too long", what), line, word);
        }
        // In the guest's tree it would depend on links what it means.
        if (name == ".." && !dot_dot_allowed) {
            return at_word(make_fault(EINVAL, "%s: .. in a path", what), line, word);
        }
        clean += '/' + name;
    }
    return clean.empty() ? "/" : clean;
}

// A path below `n`, as clean as the others.
Checked<std::string> clean_mounted(const Command& line, std::size_t word) {
    Command rooted = line;
    rooted.words[word].text.insert(0, 1, '/');
    auto clean = clean_path(rooted, word, "source", false);
    if (!clean) {
        Fault fault = clean.error();
        fault.command = line.line;
        return fault;
    }
    std::string path = clean.value().substr(1);
    if (!is_mounted_source(path)) {
        return at_word(make_fault(EINVAL, "source: after n/ comes the name of a mounted tree"),
                       line, word);
    }
    return path;
}

// Two spellings of one address are one source.
Checked<std::string> parse_address_source(const Command& line, std::size_t word) {
    const auto address = parse_remote_address(line, word);
    if (!address) {
        return address.error();
    }
    return address.value().text();
}

Checked<std::string> parse_source(const Command& line, std::size_t word) {
    const std::string& source = line.words[word].text;
    if (source == kRamSource || source == kVmSource) {
        return source;
    }
    if (source.starts_with('#')) {
        return at_word(make_fault(EINVAL, "no such source; there are #ram and #vm"), line, word);
    }
    if (is_mounted_source(source)) {
        return clean_mounted(line, word);
    }
    if (is_address_source(source)) {
        return parse_address_source(line, word);
    }
    return clean_path(line, word, "source", true);
}

// Overlays side by side are one, whose layers are merged all the way down.
bool can_merge(const BindElement& a, const BindElement& b) {
    return a.overlay && b.overlay && a.read_only == b.read_only;
}

void merge_neighbours(BindPoint& point) {
    for (std::size_t at = 1; at < point.elements.size();) {
        BindElement& upper = point.elements[at - 1];
        BindElement& lower = point.elements[at];
        if (point.under == at || !can_merge(upper, lower)) {
            ++at;
            continue;
        }
        upper.sources.insert(upper.sources.end(), lower.sources.begin(), lower.sources.end());
        point.elements.erase(point.elements.begin() + static_cast<std::ptrdiff_t>(at));
        if (point.under && *point.under > at) {
            --*point.under;
        }
    }
}

void print(std::string& text, const BindElement& element, const std::string& source,
           const std::string& target, Order order) {
    std::string flags;
    flags += order == Order::before ? "b" : order == Order::after ? "a" : "";
    flags += element.create ? "c" : "";
    flags += element.overlay ? "o" : "";
    flags += element.read_only ? "r" : "";
    text += is_address_source(source) ? "mount " : "bind ";
    if (!flags.empty()) {
        text += '-' + flags + ' ';
    }
    text += quote(source) + ' ' + quote(target) + '\n';
}

}  // namespace

struct BindTable::Bind {
    std::string source, target;
    Order order = Order::replace;
    bool create = false, overlay = false, read_only = false;
};

struct BindTable::Unbind {
    std::optional<std::string> source;
    std::string target;
};

BindTable::BindTable() : points_{default_point()} {}

Checked<BindTable::Bind> BindTable::parse_bind(const Command& line) {
    Bind bind;
    const bool mount = line.verb() == "mount";
    const std::string_view flags = mount ? "abc" : "abcor";
    bool before = false, after = false;
    std::size_t word = 1;
    // As in getopt(3), flags may stand together or apart.
    for (; word < line.words.size() && line.words[word].text.starts_with('-') &&
           line.words[word].text.size() > 1;
         ++word) {
        for (const char flag : line.words[word].text.substr(1)) {
            if (flags.find(flag) == flags.npos) {
                return at_word(make_fault(EINVAL, "no such flag: -%c; there are %s", flag,
                                          mount ? "-a -b -c" : "-a -b -c -o -r"),
                               line, word);
            }
            switch (flag) {
                case 'a':
                    after = true;
                    break;
                case 'b':
                    before = true;
                    break;
                case 'c':
                    bind.create = true;
                    break;
                case 'o':
                    bind.overlay = true;
                    break;
                default:  // r
                    bind.read_only = true;
                    break;
            }
        }
        if (before && after) {
            return at_word(make_fault(EINVAL, "-a and -b exclude each other"), line, word);
        }
        if (bind.create && bind.read_only) {
            return at_word(make_fault(EINVAL, "-c and -r exclude each other"), line, word);
        }
    }
    if (line.words.size() - word != 2) {
        Fault fault = make_fault(EINVAL, mount ? "usage: mount [-abc] addr target"
                                               : "usage: bind [-abcor] source target");
        fault.command = line.line;
        return fault;
    }
    auto source = mount ? parse_address_source(line, word) : parse_source(line, word);
    if (!source) {
        return source.error();
    }
    if (!mount && is_address_source(source.value())) {
        return at_word(make_fault(EINVAL, "source: an address is mounted, not bound"), line, word);
    }
    auto target = clean_path(line, word + 1, "target", false);
    if (!target) {
        return target.error();
    }
    bind.source = std::move(source.value());
    bind.target = std::move(target.value());
    bind.order = before ? Order::before : after ? Order::after : Order::replace;
    if (bind.overlay && bind.source == kRamSource) {
        return at_word(
            make_fault(EINVAL, "%s needs no overlay: it is the VM's own", bind.source.c_str()),
            line, word);
    }
    if (bind.overlay && (bind.source == kVmSource || is_mounted_source(bind.source))) {
        return at_word(make_fault(EOPNOTSUPP, "an overlay is made over host directories, not %s",
                                  bind.source.c_str()),
                       line, word);
    }
    return bind;
}

Checked<BindTable::Unbind> BindTable::parse_unbind(const Command& line) {
    if (line.arg_count() != 1 && line.arg_count() != 2) {
        Fault fault = make_fault(EINVAL, "usage: %s [source] target", line.verb().c_str());
        fault.command = line.line;
        return fault;
    }
    Unbind unbind;
    if (line.arg_count() == 2) {
        auto source = parse_source(line, 1);
        if (!source) {
            return source.error();
        }
        unbind.source = std::move(source.value());
    }
    auto target = clean_path(line, line.arg_count(), "target", false);
    if (!target) {
        return target.error();
    }
    unbind.target = std::move(target.value());
    return unbind;
}

Checked<> BindTable::check(const Command& line) {
    if (line.verb() == "bind" || line.verb() == "mount") {
        const auto parsed = parse_bind(line);
        return parsed ? Checked<>(success()) : parsed.error();
    }
    if (line.verb() == "unbind" || line.verb() == "unmount") {
        const auto parsed = parse_unbind(line);
        return parsed ? Checked<>(success()) : parsed.error();
    }
    return at_word(
        make_fault(EINVAL, "a line is bind, mount, unbind or unmount, not %s", line.verb().c_str()),
        line, 0);
}

Checked<std::string> BindTable::source_of(const Command& line) {
    auto parsed = parse_bind(line);
    if (!parsed) {
        return parsed.error();
    }
    return std::move(parsed.value().source);
}

std::size_t BindTable::count_of(std::string_view source) const {
    std::size_t count = 0;
    for (const BindPoint& point : points_) {
        for (const BindElement& element : point.elements) {
            count += element.sources.front() == source ? 1 : 0;
        }
    }
    return count;
}

bool BindTable::is_union(const std::string& target) const {
    const auto point = std::ranges::find(points_, target, &BindPoint::target);
    return point != points_.end() && (point->elements.size() > 1 || point->under);
}

Checked<> BindTable::apply(const Command& line, const std::string& default_root) {
    if (line.verb() == "bind" || line.verb() == "mount") {
        return bind(line, default_root);
    }
    if (line.verb() == "unbind" || line.verb() == "unmount") {
        return unbind(line, default_root);
    }
    return check(line);
}

BindPoint* BindTable::find(const std::string& target) {
    const auto found = std::find_if(points_.begin(), points_.end(),
                                    [&](const BindPoint& p) { return p.target == target; });
    return found == points_.end() ? nullptr : &*found;
}

std::size_t BindTable::count_sources() const {
    std::size_t count = 0;
    for (const BindPoint& point : points_) {
        for (const BindElement& element : point.elements) {
            count += element.sources.size();
        }
    }
    return count;
}

Checked<> BindTable::bind(const Command& line, const std::string& default_root) {
    auto parsed = parse_bind(line);
    if (!parsed) {
        return parsed.error();
    }
    Bind& wanted = parsed.value();
    // Named or not, the default root is the same tree, with the same scratch layer.
    if (wanted.target == "/" && wanted.overlay && wanted.source == default_root) {
        wanted.source = kDefaultRoot;
    }
    // An overlay always takes new files: that is what its scratch layer is for.
    BindElement element{
        {wanted.source}, wanted.overlay, wanted.create && !wanted.overlay, wanted.read_only};
    BindTable next = *this;
    BindPoint* point = next.find(wanted.target);
    if (point == nullptr) {
        const auto place =
            std::find_if(next.points_.begin(), next.points_.end(),
                         [&](const BindPoint& p) { return p.target > wanted.target; });
        point = &*next.points_.insert(place, BindPoint{wanted.target, {}, std::size_t{0}});
    }
    if (wanted.order == Order::replace) {
        *point = {wanted.target, {std::move(element)}, std::nullopt};
    } else {
        for (const BindElement& other : point->elements) {
            if (std::find(other.sources.begin(), other.sources.end(), wanted.source) !=
                other.sources.end()) {
                return at_word(make_fault(EEXIST, "this source is bound there already"), line,
                               line.words.size() - 2);
            }
        }
        if (wanted.order == Order::before) {
            point->elements.insert(point->elements.begin(), std::move(element));
            if (point->under) {
                ++*point->under;
            }
        } else {
            point->elements.push_back(std::move(element));
        }
        merge_neighbours(*point);
    }
    if (next.count_sources() > kMaxSources) {
        return at_word(make_fault(EDQUOT, "more than %zu sources", kMaxSources), line, 0);
    }
    *this = std::move(next);
    return success();
}

Checked<> BindTable::unbind(const Command& line, const std::string& default_root) {
    auto parsed = parse_unbind(line);
    if (!parsed) {
        return parsed.error();
    }
    const Unbind& wanted = parsed.value();
    BindTable next = *this;
    BindPoint* const point = next.find(wanted.target);
    if (point == nullptr) {
        return at_word(make_fault(ENOENT, "nothing is bound there"), line, line.words.size() - 1);
    }
    if (*point == default_point()) {
        return at_word(make_fault(EBUSY,
                                  "the root that a VM has by default stays until another "
                                  "is bound"),
                       line, line.words.size() - 1);
    }
    if (!wanted.source) {
        point->elements.clear();
    } else {
        bool found = false;
        for (std::size_t at = 0; at < point->elements.size() && !found; ++at) {
            auto& sources = point->elements[at].sources;
            const auto source =
                std::find_if(sources.begin(), sources.end(), [&](const std::string& s) {
                    return s == wanted.source ||
                           (s == kDefaultRoot && wanted.source == default_root);
                });
            if (source == sources.end()) {
                continue;
            }
            found = true;
            sources.erase(source);
            if (sources.empty()) {
                point->elements.erase(point->elements.begin() + static_cast<std::ptrdiff_t>(at));
                if (point->under && *point->under > at) {
                    --*point->under;
                }
            }
        }
        if (!found) {
            return at_word(make_fault(ENOENT, "this source is not bound there"), line, 1);
        }
        merge_neighbours(*point);
    }
    if (point->elements.empty()) {
        if (wanted.target == "/") {
            *point = default_point();
        } else {
            next.points_.erase(next.points_.begin() + (point - next.points_.data()));
        }
    }
    *this = std::move(next);
    return success();
}

std::string BindTable::text(const std::string& default_root, const Remark& remark) const {
    std::string text;
    for (const BindPoint& point : points_) {
        const auto each_source = [&](const BindElement& element, Order order) {
            const auto line = [&](const std::string& source, Order how) {
                print(text, element, source == kDefaultRoot ? default_root : source, point.target,
                      how);
                if (const std::string said = remark ? remark(source) : ""; !said.empty()) {
                    text += "# " + said + '\n';
                }
            };
            // A layer bound before an overlay comes on top of it, one bound after it at its bottom.
            const std::size_t count = element.sources.size();
            for (std::size_t i = 0; i < count; ++i) {
                const std::size_t at = order == Order::before ? count - 1 - i : i;
                line(element.sources[at], order == Order::replace && i > 0 ? Order::after : order);
            }
        };
        const std::size_t before = point.under.value_or(0);
        for (std::size_t at = before; at-- > 0;) {
            each_source(point.elements[at], Order::before);
        }
        for (std::size_t at = before; at < point.elements.size(); ++at) {
            const bool first = at == 0 && !point.under;
            each_source(point.elements[at], first ? Order::replace : Order::after);
        }
    }
    return text;
}

}  // namespace ennead::synthfs
