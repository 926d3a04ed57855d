// SPDX-License-Identifier: MIT
// The places at which something is bound, and how a change of them comes about.
#include "synthfs/namespace.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "synthfs/namespace_dir.h"

namespace ennead::synthfs {

namespace {

// Stands for a directory that is not there while something is bound at its name or below.
class MissingDir final : public Node {
  public:
    Identity identity() const override { return {source_, 1, 1}; }
    mode_t type() const override { return S_IFDIR; }
    void getattr(RequestPtr, Reply<Attr> reply) override {
        Attr attr;
        attr.mode = S_IFDIR | 0755;
        attr.nlink = 1;
        attr.atime = attr.mtime = attr.ctime = since_;
        attr.identity = identity();
        reply(attr);
    }
    void open(RequestPtr, int flags, Reply<HandlePtr> reply) override {
        if ((flags & O_ACCMODE) != O_RDONLY) {
            reply(error(EISDIR));
            return;
        }
        reply(HandlePtr(std::make_shared<Empty>()));
    }
    void setattr(RequestPtr, SetAttr, Reply<> reply) override { reply(error(EROFS)); }
    void create(RequestPtr, std::string, int, mode_t, gid_t, Reply<Created> reply) override {
        reply(error(EROFS));
    }
    void mkdir(RequestPtr, std::string, mode_t, gid_t, Reply<NodePtr> reply) override {
        reply(error(EROFS));
    }
    void symlink(RequestPtr, std::string, std::string, gid_t, Reply<NodePtr> reply) override {
        reply(error(EROFS));
    }
    void mknod(RequestPtr, std::string, mode_t, std::uint64_t, gid_t,
               Reply<NodePtr> reply) override {
        reply(error(EROFS));
    }
    void link(RequestPtr, std::string, NodePtr, Reply<> reply) override { reply(error(EROFS)); }
    void unlink(RequestPtr, std::string, bool, Reply<> reply) override { reply(error(ENOENT)); }
    void rename(RequestPtr, std::string, NodePtr, std::string, Reply<> reply) override {
        reply(error(ENOENT));
    }

  private:
    class Empty final : public Handle {
        void readdir(RequestPtr, std::uint64_t, std::size_t,
                     Reply<std::vector<DirEntry>> reply) override {
            reply(std::vector<DirEntry>());
        }
    };
    static std::timespec now() {
        std::timespec t{};
        clock_gettime(CLOCK_REALTIME, &t);
        return t;
    }
    const std::uint64_t source_ = next_source();
    const std::timespec since_ = now();
};

std::vector<NodePtr> roots(const std::vector<NamespaceElement>& elements) {
    std::vector<NodePtr> nodes;
    nodes.reserve(elements.size());
    for (const NamespaceElement& element : elements) {
        nodes.push_back(element.root);
    }
    return nodes;
}

}  // namespace

struct Namespace::Change {
    std::unique_ptr<Place> top;
    std::vector<Place*> order;  // all below the top, each after the one above it
    CheckedReply<> reply;
    RequestPtr request = std::make_shared<Request>();
};

Namespace::Namespace() = default;
Namespace::~Namespace() = default;

std::shared_ptr<Namespace> Namespace::make() {
    std::shared_ptr<Namespace> made(new Namespace());
    made->top_ = std::make_unique<Place>();
    made->top_->under = std::make_shared<MissingDir>();
    made->places_.emplace(made->top_->under.get(), made->top_.get());
    return made;
}

NodePtr Namespace::root() {
    return std::make_shared<NamespaceDir>(shared_from_this(), top_->under);
}

std::string Namespace::path_of(const Place& place) const {
    return place.above == nullptr ? "" : path_of(*place.above) + '/' + place.name;
}

Namespace::Place* Namespace::place_of(const Node* under) const {
    const auto found = places_.find(under);
    return found == places_.end() ? nullptr : found->second;
}

std::vector<NamespaceElement> Namespace::shown(const Place& place) {
    if (place.elements.empty()) {
        // Creating takes no flag where nothing is bound.
        return {{place.under, true}};
    }
    std::vector<NamespaceElement> all = place.elements;
    if (all.size() == 1 && !place.under_at) {
        // -c says where new files of a union go; here is no choice.
        all.front().create = true;
    }
    if (place.under_at) {
        all.insert(all.begin() + static_cast<std::ptrdiff_t>(*place.under_at),
                   {place.under, false});
    }
    return all;
}

void Namespace::set(std::vector<NamespacePoint> points, CheckedReply<> reply) {
    if (std::exchange(changing_, true)) {
        reply(make_fault(EBUSY, "the name space is being changed"));
        return;
    }
    const auto change = std::make_shared<Change>();
    change->reply = std::move(reply);
    change->top = std::make_unique<Place>();
    change->top->under = top_->under;  // what the root is known by stays
    for (NamespacePoint& point : points) {
        Place* place = change->top.get();
        for (std::size_t begin = 1; begin < point.target.size();) {
            const std::size_t end = std::min(point.target.find('/', begin), point.target.size());
            const std::string name = point.target.substr(begin, end - begin);
            begin = end + 1;
            auto& next = place->below[name];
            if (!next) {
                next = std::make_unique<Place>();
                next->name = name;
                next->above = place;
            }
            place = next.get();
        }
        place->elements = std::move(point.elements);
        place->under_at = point.under;
    }
    std::vector<Place*> left{change->top.get()};
    while (!left.empty()) {
        Place* const place = left.back();
        left.pop_back();
        for (const auto& [name, next] : place->below) {
            change->order.push_back(next.get());
            left.push_back(next.get());
        }
    }
    resolve(change, 0);
}

// Finds the directory under each place, in the tree as it will be.
void Namespace::resolve(const std::shared_ptr<Change>& change, std::size_t next) {
    if (next == change->order.size()) {
        settle(change);
        return;
    }
    Place& place = *change->order[next];
    find_in_union(
        roots(shown(*place.above)), change->request, place.name,
        [self = shared_from_this(), change, next, &place](Result<FoundIn> found) {
            if (found && S_ISDIR(found.value().node->type())) {
                place.under = std::move(found.value().node);
            } else if (!found && found.error() == error(ENOENT)) {
                // The same as before, if there was one: somebody may be in it.
                const Place* known = self->top_.get();
                std::vector<const std::string*> names;
                for (const Place* at = &place; at->above != nullptr; at = at->above) {
                    names.push_back(&at->name);
                }
                for (; known != nullptr && !names.empty(); names.pop_back()) {
                    const auto below = known->below.find(*names.back());
                    known = below == known->below.end() ? nullptr : below->second.get();
                }
                const bool missing =
                    known != nullptr && dynamic_cast<MissingDir*>(known->under.get()) != nullptr;
                place.under = missing ? known->under : std::make_shared<MissingDir>();
            } else {
                const int errnum = found ? ENOTDIR : to_errno(found.error());
                const char* what = found && S_ISLNK(found.value().node->type())
                                       ? "is a symbolic link: bind at what it leads to"
                                   : found ? "is no directory"
                                           : std::strerror(errnum);
                self->changing_ = false;
                change->reply(make_fault(errnum, "%s %s", self->path_of(place).c_str(), what));
                return;
            }
            self->resolve(change, next + 1);
        });
}

void Namespace::settle(const std::shared_ptr<Change>& change) {
    std::unordered_map<const Node*, Place*> places;
    places.emplace(change->top->under.get(), change->top.get());
    for (Place* const place : change->order) {
        places.emplace(place->under.get(), place);
    }
    std::swap(places_, places);
    std::swap(top_, change->top);
    changing_ = false;
    change->reply(success());
}

void Namespace::put_under(Place& place, NodePtr found) {
    if (!found && dynamic_cast<MissingDir*>(place.under.get()) != nullptr) {
        return;
    }
    if (!found) {
        found = std::make_shared<MissingDir>();
    }
    if (found == place.under || places_.contains(found.get())) {
        return;
    }
    places_.erase(place.under.get());
    place.under = std::move(found);
    places_.emplace(place.under.get(), &place);
}

namespace {

struct Search : std::enable_shared_from_this<Search> {
    std::vector<NodePtr> directories;
    RequestPtr request;
    std::string name;
    Reply<FoundIn> reply;

    void ask(std::size_t index) {
        if (index == directories.size()) {
            reply(error(ENOENT));
            return;
        }
        directories[index]->walk(request, name,
                                 [self = shared_from_this(), index](Result<NodePtr> node) {
                                     if (node) {
                                         self->reply(FoundIn{index, std::move(node.value())});
                                     } else if (node.error() == error(ENOENT)) {
                                         self->ask(index + 1);
                                     } else {
                                         self->reply(node.error());
                                     }
                                 });
    }
};

}  // namespace

void find_in_union(std::vector<NodePtr> directories, RequestPtr request, std::string name,
                   Reply<FoundIn> reply) {
    auto search = std::make_shared<Search>();
    search->directories = std::move(directories);
    search->request = std::move(request);
    search->name = std::move(name);
    search->reply = std::move(reply);
    search->ask(0);
}

}  // namespace ennead::synthfs
