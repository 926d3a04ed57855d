// SPDX-License-Identifier: MIT
// A tree composed of others: unions of directories at chosen names, changed while it is in use.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "synthfs/fault.h"
#include "synthfs/node.h"

namespace ennead::synthfs {

// One member of a union.
struct NamespaceElement {
    NodePtr root;         // a directory
    bool create = false;  // new files may go here
};

// What is bound at one name.
struct NamespacePoint {
    std::string target;  // absolute and clean
    std::vector<NamespaceElement> elements;
    // How many elements come before what is there without them; nothing: that is hidden.
    std::optional<std::size_t> under;
};

// A name space, and the tree that it gives. Only directories are wrapped (NamespaceDir): files are
// the elements' own nodes, so what is done to an open file costs nothing more.
//
// A name belongs to what is bound there, whatever becomes of the directory under it; missing
// directories on the way are shown, empty, while they are needed. They cannot be removed or renamed
// meanwhile: EBUSY.
class Namespace : public std::enable_shared_from_this<Namespace> {
  public:
    [[nodiscard]] static std::shared_ptr<Namespace> make();
    ~Namespace();
    Namespace(const Namespace&) = delete;
    Namespace& operator=(const Namespace&) = delete;

    // "/" as it is now and will be after each change.
    [[nodiscard]] NodePtr root();

    // Shows these points from now on, and no others; all or, after a fault, none. Everybody sees it
    // at the next operation on a directory, those that are in use already too. ENOTDIR if a target,
    // or something on the way to it, is no directory. One change at a time: EBUSY.
    //
    // Elements that are no longer bound are only forgotten; see Node::revoke.
    void set(std::vector<NamespacePoint> points, CheckedReply<> reply);

  private:
    friend class NamespaceDir;
    friend class NamespaceDirHandle;

    // A name at which something is bound, or above such a name.
    struct Place {
        std::string name;
        Place* above = nullptr;
        std::map<std::string, std::unique_ptr<Place>> below;
        std::vector<NamespaceElement> elements;  // empty: nothing is bound here
        std::optional<std::size_t> under_at;     // where `under` stands among them
        // The directory of this name without what is bound here; one of ours if there is none.
        NodePtr under;
    };
    // A change that is being worked out.
    struct Change;

    Namespace();
    [[nodiscard]] std::string path_of(const Place& place) const;
    // The place whose `under` this is; null for directories at which nothing is bound.
    [[nodiscard]] Place* place_of(const Node* under) const;
    // What a place shows, first found first.
    [[nodiscard]] static std::vector<NamespaceElement> shown(const Place& place);
    void settle(const std::shared_ptr<Change>& change);
    void resolve(const std::shared_ptr<Change>& change, std::size_t next);
    // `found` is what the name of `place` leads to without what is bound there; null: nothing.
    void put_under(Place& place, NodePtr found);

    std::unique_ptr<Place> top_;
    std::unordered_map<const Node*, Place*> places_;  // by Place::under, which keeps the key alive
    bool changing_ = false;
};

// Asks the directories for `name`, one after the other, until one has it: its index and node.
// ENOENT if none has. A failure other than ENOENT ends the search.
struct FoundIn {
    std::size_t index = 0;
    NodePtr node;
};
void find_in_union(std::vector<NodePtr> directories, RequestPtr request, std::string name,
                   Reply<FoundIn> reply);

}  // namespace ennead::synthfs
