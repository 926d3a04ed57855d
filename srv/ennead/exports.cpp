// SPDX-License-Identifier: MIT
// Lets clients in, each with the rights of its user.
#include "srv/ennead/exports.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "srv/ennead/peer.h"
#include "srv/ennead/vm_link.h"
#include "synthfs/guarded.h"
#include "synthfs/read_only.h"

namespace ennead::srv {

using synthfs::Checked;
using synthfs::Command;
using synthfs::make_fault;
using synthfs::NodePtr;
using synthfs::parse_address;
using synthfs::Result;
using synthfs::Verb;

struct Exports::Export {
    std::string path;  // clean: "/" or names with slashes between them
    bool read_only = false;
    std::unique_ptr<Listener> listener;
    std::unordered_map<std::string, std::shared_ptr<p9::ServerConnection>> clients;  // by name
};

namespace {

// "/" or "1/cons": no empty names, no `.`. EINVAL for `..`.
Checked<std::string> clean_path(const std::string& path) {
    std::string clean;
    for (std::size_t begin = 0; begin <= path.size();) {
        const std::size_t end = std::min(path.find('/', begin), path.size());
        const std::string name = path.substr(begin, end - begin);
        begin = end + 1;
        if (name == "..") {
            return make_fault(EINVAL, "%s: there is no .. in a path of the tree", path.c_str());
        }
        if (!name.empty() && name != ".") {
            clean += (clean.empty() ? "" : "/") + name;
        }
    }
    return clean.empty() ? "/" : clean;
}

void find_part(const NodePtr& root, const std::string& path, synthfs::Reply<NodePtr> reply) {
    if (path == "/") {
        reply(root);
    } else {
        walk_path(root, path, std::make_shared<synthfs::Request>(), std::move(reply));
    }
}

// The words of `export`, in any order of the flag.
struct ExportLine {
    std::string address, path = "/";
    bool read_only = false;
};
Checked<ExportLine> parse_export(const Command& line) {
    ExportLine result;
    std::vector<std::string> words;
    for (std::size_t i = 0; i < line.arg_count(); ++i) {
        const synthfs::Word& word = line.arg(i);
        if (word.text == "-r") {
            result.read_only = true;
        } else if (word.text.starts_with('-') || words.size() == 2) {
            return synthfs::Fault{EINVAL, "usage: export addr [path] [-r]", line.line, word.column};
        } else {
            words.push_back(word.text);
        }
    }
    if (words.empty()) {
        return synthfs::Fault{EINVAL, "usage: export addr [path] [-r]", line.line, {}};
    }
    result.address = words[0];
    result.path = words.size() == 2 ? words[1] : "/";
    return result;
}

}  // namespace

Checked<> Exports::add(const std::string& address_text, const std::string& path_text,
                       bool read_only) {
    const auto address = parse_address(address_text);
    if (!address) {
        return address.error();
    }
    const auto path = clean_path(path_text);
    if (!path) {
        return path.error();
    }
    for (const auto& known : exports_) {
        if (known->listener->address() == address.value()) {
            if (known->path == path.value() && known->read_only == read_only) {
                return synthfs::success();
            }
            return make_fault(EEXIST, "%s: something else is exported there", address_text.c_str());
        }
    }
    // What is on another machine is not waited for.
    const auto failure = std::make_shared<std::error_code>();
    find_part(root_, path.value(), [failure](Result<NodePtr> found) {
        *failure = found ? std::error_code() : found.error();
    });
    if (*failure) {
        return make_fault(synthfs::to_errno(*failure), "%s: %s", path.value().c_str(),
                          synthfs::fault_of(*failure).text.c_str());
    }
    const auto added = std::make_shared<Export>();
    added->path = path.value();
    added->read_only = read_only;
    auto listener = Listener::open(options_.io, address.value(),
                                   {.anyway = options_.anyway,
                                    .hidden = &options_.hidden,
                                    .accepted =
                                        [this, weak = std::weak_ptr<Export>(added)](Fd client) {
                                            if (const auto to = weak.lock()) {
                                                accept(to, std::move(client));
                                            }
                                        },
                                    .log = options_.log});
    if (!listener) {
        return listener.error();
    }
    added->listener = std::move(listener.value());
    exports_.push_back(added);
    return synthfs::success();
}

Checked<> Exports::remove(const std::string& address_text) {
    const auto address = parse_address(address_text);
    if (!address) {
        return address.error();
    }
    const auto found = std::ranges::find_if(
        exports_, [&](const auto& each) { return each->listener->address() == address.value(); });
    if (found == exports_.end()) {
        return make_fault(ENOENT, "%s: nothing is exported there", address_text.c_str());
    }
    const auto removed = *found;
    exports_.erase(found);
    // Who asked may be one of the clients, and is answered first.
    boost::asio::post(options_.io, [removed] { removed->clients.clear(); });
    removed->listener = nullptr;
    return synthfs::success();
}

void Exports::close() {
    const auto all = std::exchange(exports_, {});
    for (const auto& each : all) {
        each->listener = nullptr;
        const auto clients = std::exchange(each->clients, {});
    }
}

void Exports::accept(const std::shared_ptr<Export>& to, Fd client) {
    const std::string name =
        to->listener->address().text() + " client " + std::to_string(++last_client_);
    if (clients() >= kMostClients) {
        options_.log(name + ": there are too many clients");
        return;
    }
    // What is exported may have become another file since, or be on a machine that has to be asked.
    const auto fd = std::make_shared<Fd>(std::move(client));
    find_part(
        root_, to->path,
        [options = options_, weak = std::weak_ptr<Export>(to), fd, name](Result<NodePtr> part) {
            const auto to = weak.lock();
            if (!part) {
                options.log(name + ": what is exported is not there: " +
                            synthfs::fault_of(part.error()).text);
            } else if (to && to->listener) {
                serve(options, to, std::move(*fd), name, std::move(part.value()));
            }
        });
}

void Exports::serve(const Options& options, const std::shared_ptr<Export>& to, Fd client,
                    const std::string& name, NodePtr part) {
    const auto user = peer_of(client.get());
    if (!user) {
        options.log(name + ": " + user.error().text);
        return;
    }
    const PeerUser& peer = user.value();
    p9::ServerOptions server;
    server.client = name;
    if (peer.uid != 0) {
        server.caller =
            synthfs::Caller{.uid = peer.uid, .gid = peer.gid, .pid = static_cast<int>(peer.pid)};
    }
    server.anonymous_uid = peer.uid;
    server.log = [log = options.log](p9::LogLevel level, std::string_view line) {
        if (level <= p9::LogLevel::info) {
            log(std::string(line));
        }
    };
    // Inside, the connection must still be there: it goes once the loop has it back.
    server.on_end = [&io = options.io, weak = std::weak_ptr<Export>(to), name,
                     log = options.log](std::string_view reason) {
        log("9p what=client-gone client=\"" + name + "\" reason=\"" + std::string(reason) + '"');
        boost::asio::post(io, [weak, name] {
            if (const auto to = weak.lock()) {
                to->clients.erase(name);
            }
        });
    };
    if (to->read_only) {
        part = synthfs::make_read_only(std::move(part));
    }
    part = synthfs::make_guarded(std::move(part), {.uid = peer.uid, .groups = peer.groups});
    try {
        auto connection = p9::ServerConnection::start(
            p9::adopt_socket(options.io, client.release()), std::move(part), std::move(server));
        to->clients.emplace(name, std::move(connection));
    } catch (const std::exception& failure) {
        options.log(name + ": " + failure.what());
    }
}

std::vector<Verb> Exports::verbs() {
    Verb add_verb{.name = "export",
                  .min_args = 1,
                  .max_args = 3,
                  .usage = "export addr [path] [-r]",
                  .run = synthfs::at_once([this](const Command& command) -> Checked<> {
                      const auto line = parse_export(command);
                      if (!line) {
                          return line.error();
                      }
                      return add(line.value().address, line.value().path, line.value().read_only);
                  }),
                  .check = [](const Command& command) -> Checked<> {
                      const auto line = parse_export(command);
                      if (!line) {
                          return line.error();
                      }
                      const auto address = parse_address(line.value().address);
                      return address ? Checked<>(synthfs::success()) : address.error();
                  }};
    Verb remove_verb{.name = "unexport",
                     .min_args = 1,
                     .max_args = 1,
                     .usage = "unexport addr",
                     .run = synthfs::at_once(
                         [this](const Command& command) { return remove(command.arg(0).text); })};
    return {std::move(add_verb), std::move(remove_verb)};
}

std::string Exports::text() const {
    std::string text;
    for (const auto& each : exports_) {
        text += "export " + synthfs::quote(each->listener->address().text());
        text += each->path == "/" ? "" : ' ' + synthfs::quote(each->path);
        text += each->read_only ? " -r\n" : "\n";
    }
    return text;
}

std::size_t Exports::clients() const {
    std::size_t count = 0;
    for (const auto& each : exports_) {
        count += each->clients.size();
    }
    return count;
}

}  // namespace ennead::srv
