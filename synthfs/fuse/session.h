// SPDX-License-Identifier: MIT
// What the FUSE operations work on: the kernel's numbers, the open handles, and the requests under
// way.
#pragma once

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif
#include <fuse3/fuse_lowlevel.h>
#include <sys/stat.h>

#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "synthfs/fuse/mount.h"
#include "synthfs/fuse/node_ids.h"

namespace ennead::synthfs::fuse {

class Operation;
using OperationPtr = std::shared_ptr<Operation>;

class Session {
  public:
    Session(NodePtr root, LogSink log);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ~Session();

    Checked<> mount(const MountOptions& options, std::string dir);
    void process();
    void unmount();
    [[nodiscard]] int fd() const { return fd_; }
    [[nodiscard]] bool ended() const { return ended_; }
    [[nodiscard]] const std::string& dir() const { return dir_; }
    [[nodiscard]] const LogSink& log() const { return log_; }

    [[nodiscard]] NodeIds& ids() { return ids_; }

    using HandleId = std::uint64_t;
    [[nodiscard]] HandleId add_handle(HandlePtr handle);
    [[nodiscard]] HandlePtr handle(HandleId id) const;
    // Cancels what still waits in it.
    void close(HandleId id);

    // The kernel's view of attributes, and of a file that has been looked up once more.
    [[nodiscard]] struct stat stat_of(const Attr& attr) const;
    [[nodiscard]] std::uint64_t inode_of(std::uint64_t source, std::uint64_t path) const;
    [[nodiscard]] fuse_entry_param entry_of(const NodePtr& node, const Attr& attr);

    void begin(Operation& operation) { under_way_.insert(&operation); }
    void end(Operation& operation) { under_way_.erase(&operation); }
    // `operation` uses bytes of the request being processed; if it is not done when processing
    // returns, the buffer becomes its own, which saves copying every write.
    void uses_request_buffer(OperationPtr operation) { buffer_user_ = std::move(operation); }

    // Alive until the unmount; then nothing may be sent any more.
    [[nodiscard]] std::weak_ptr<const bool> lifetime() const { return lifetime_; }

  private:
    [[nodiscard]] std::vector<OperationPtr> under_way() const;

    NodeIds ids_;
    std::uint64_t root_source_;
    LogSink log_;
    std::string dir_;
    fuse_session* session_ = nullptr;
    int fd_ = -1;
    bool ended_ = false;
    fuse_buf buffer_{};
    OperationPtr buffer_user_;
    std::unordered_map<HandleId, HandlePtr> handles_;
    HandleId last_handle_ = 0;
    std::unordered_set<Operation*> under_way_;  // each leaves when it is answered
    std::shared_ptr<const bool> lifetime_ = std::make_shared<const bool>(true);
};

// One request of the kernel, from its arrival to its answer. The replies given to nodes hold it; it
// is answered once, and what comes after the session's end goes nowhere.
class Operation : public std::enable_shared_from_this<Operation> {
  public:
    Operation(Session& session, fuse_req_t req, bool nonblocking);
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;
    // A node that drops its reply is our bug; the caller gets EIO rather than waiting for ever.
    ~Operation();

    [[nodiscard]] bool done() const { return req_ == nullptr; }
    // Null once done.
    [[nodiscard]] Session* session() const { return session_; }
    [[nodiscard]] fuse_req_t req() const { return req_; }
    [[nodiscard]] const RequestPtr& request() const { return request_; }

    void set_handle_id(Session::HandleId id) { handle_id_ = id; }
    [[nodiscard]] Session::HandleId handle_id() const { return handle_id_; }

    // Room for what a node reads; lives as long as this.
    [[nodiscard]] std::span<std::byte> buffer(std::size_t size);
    [[nodiscard]] const char* buffer_text() const {
        return reinterpret_cast<const char*>(buffer_.get());
    }
    void adopt(void* request_buffer) { request_buffer_.reset(request_buffer); }

    // From now on FUSE_INTERRUPT cancels the request.
    void watch_interrupt();

    // Answers. Each ends the operation; all but the first do nothing.
    void error(int errnum);  // 0: success without data
    void entry(const NodePtr& node, const Attr& attr);
    void opened(const NodePtr& node, HandlePtr handle);
    void opened_directory(HandlePtr handle);
    void created(const NodePtr& node, const Attr& attr, HandlePtr handle);
    void data(const char* bytes, std::size_t size);
    // Sends the request away and gives it to a libfuse reply function.
    template <class Send>
    int answer(Send send) {
        if (done()) {
            return 0;
        }
        return send(take());
    }

  private:
    fuse_req_t take();

    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };

    Session* session_;
    fuse_req_t req_;
    RequestPtr request_;
    Session::HandleId handle_id_ = 0;
    std::unique_ptr<std::byte[]> buffer_;
    std::unique_ptr<void, Free> request_buffer_;
};

// Exceptions never cross into libfuse or into a node's reply: they are logged, and the caller gets
// EIO.
template <class F>
void guarded(const OperationPtr& operation, F function) noexcept {
    try {
        function();
    } catch (const std::exception& failure) {
        if (!operation->done()) {
            log_line(operation->session()->log(), LogLevel::error, "what=exception text=\"%s\"",
                     failure.what());
            operation->error(EIO);
        }
    } catch (...) {
        operation->error(EIO);
    }
}

// A reply that answers the kernel with a failure's errno, and hands a success on unless the session
// has ended.
template <class T = void, class F>
[[nodiscard]] Reply<T> then(OperationPtr operation, F function) {
    return [operation = std::move(operation), function = std::move(function)](Result<T> result) {
        if (operation->done()) {
            return;
        }
        if (!result) {
            operation->error(to_errno(result.error()));
            return;
        }
        guarded(operation, [&] {
            if constexpr (std::is_void_v<T>) {
                function();
            } else {
                function(std::move(result.value()));
            }
        });
    };
}

// The table that libfuse calls.
[[nodiscard]] const fuse_lowlevel_ops& operations();

}  // namespace ennead::synthfs::fuse
