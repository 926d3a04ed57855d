// SPDX-License-Identifier: MIT
#include "tests/fuzz9p/trees.h"

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "synthfs/host_dir.h"
#include "synthfs/overlay.h"
#include "synthfs/ram_tree.h"
#include "synthfs/read_only.h"

namespace ennead::fuzz9p {
namespace {

using synthfs::NodePtr;

// Small, so that sessions reach the limits.
constexpr std::size_t kDescriptors = 12;
constexpr std::uint64_t kRamBytes = 128 * 1024;

constexpr std::string_view kDefaultRoot = "/base";
// Of the source that is a tree in this process's memory, with streams and a directory that is slow.
constexpr std::string_view kWorld = "n/world";

constexpr const char* kLines[] = {
    "bind -c /share /host",
    "bind -r /share /ro",
    "bind -c #ram /ram",
    "bind -c n/world /world",
    "bind -bc /share /union",
    "bind -a /base /union",
    "bind -ac #ram /union",
    "bind -o /base /dir",
    "bind -co /base /ram/over",
    "bind /share/dir /dir/deep",
    "unbind /host",
    "unbind /union",
    "unbind /dir",
    "unbind /ram",
    "unbind /share /union",
    "bind -bc #ram /",
    "bind -c /share /",
    "unbind #ram /",
    "unbind /",
    "bind -r /base /world/slow",
    "unbind /world/slow",
};

}  // namespace

const std::uint64_t Trees::kBindLines = std::size(kLines);

Trees::Trees(const Ground& ground, Kind kind, bool offloaded)
    : ground_(ground),
      kind_(kind),
      later_(offloaded ? std::make_shared<synthfs::test::Kept>() : nullptr) {
    switch (kind) {
        case Kind::host:
            root_ = make("", {.sources = {"/share"}, .create = true}).value();
            break;
        case Kind::overlay:
            root_ = make("", {.sources = {"/base"}, .overlay = true}).value();
            break;
        case Kind::ram:
            root_ = make("", {.sources = {std::string(synthfs::kRamSource)}}).value();
            break;
        case Kind::names:
            names_ = synthfs::Namespace::make();
            root_ = names_->root();
            for (std::uint64_t line = 0; line < 7; ++line) {
                rebind(line);
            }
            break;
    }
}

Trees::~Trees() {
    settle();
    world_.stream->finish();
    while (!world_.slow->waiting.empty()) {
        feed(true);
    }
    settle();
}

synthfs::Result<NodePtr> Trees::make(const std::string& target,
                                     const synthfs::BindElement& element) {
    const std::string& source = element.sources.front();
    if (source == synthfs::kRamSource) {
        return synthfs::make_ram_tree({.limit = kRamBytes, .read_only = element.read_only});
    }
    if (source == kWorld) {
        return NodePtr(world_.root);
    }
    const std::string directory = source.empty() ? "base" : source.substr(1);
    const int fd = ground_.grant(directory);
    if (fd < 0) {
        return synthfs::error(errno);
    }
    if (!element.overlay) {
        return synthfs::make_host_dir(
            fd,
            {.read_only = element.read_only, .max_descriptors = kDescriptors, .offload = later_});
    }
    // By the target, so that a layer is opened again with what it has; if it is still in use, not
    // at all.
    std::string name = target;
    std::replace(name.begin(), name.end(), '/', '-');
    const int scratch = element.read_only ? -1 : ground_.grant("scratch/at" + name);
    return synthfs::make_overlay({fd}, scratch,
                                 {.max_descriptors = kDescriptors, .offload = later_});
}

void Trees::rebind(std::uint64_t which) {
    if (!names_) {
        root_->revoke();
        return;
    }
    const auto lines = synthfs::parse_commands(kLines[which]);
    synthfs::BindTable table = table_;
    if (table.apply(lines.value().front(), std::string(kDefaultRoot))) {
        show(table);
    }
}

// As the machine's process does it (srv/ennead-vm/guest_namespace): what stays is kept, what goes
// is revoked.
void Trees::show(const synthfs::BindTable& table) {
    std::map<std::string, NodePtr> elements;
    std::vector<synthfs::NamespacePoint> points;
    for (const synthfs::BindPoint& point : table.points()) {
        synthfs::NamespacePoint shown{point.target, {}, point.under};
        for (const synthfs::BindElement& element : point.elements) {
            const std::string key = point.target + ' ' + element.sources.front() +
                                    (element.overlay ? " o" : "") + (element.read_only ? " r" : "");
            const auto known = elements_.find(key);
            auto made = known != elements_.end() ? synthfs::Result<NodePtr>(known->second)
                                                 : make(point.target, element);
            if (!made) {
                return;
            }
            elements[key] = made.value();
            shown.elements.push_back({std::move(made.value()), element.create});
        }
        points.push_back(std::move(shown));
    }
    names_->set(std::move(points), [this, table, elements](synthfs::Checked<> done) {
        if (!done) {
            return;
        }
        for (const auto& [key, root] : std::exchange(elements_, elements)) {
            if (!elements_.contains(key)) {
                root->revoke();
            }
        }
        table_ = table;
    });
}

void Trees::settle() {
    while (later_ && later_->jobs() != 0) {
        later_->do_all();
    }
}

void Trees::feed(bool fail) {
    world_.stream->feed("x");
    if (world_.slow->waiting.empty()) {
        return;
    }
    const auto reply = std::move(world_.slow->waiting.front());
    world_.slow->waiting.pop_front();
    fail ? reply(synthfs::error(EINTR)) : reply(NodePtr(world_.hello));
}

}  // namespace ennead::fuzz9p
