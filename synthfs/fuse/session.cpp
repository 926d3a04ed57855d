// SPDX-License-Identifier: MIT
// Mounting, the processing of what arrives, and the answers that change the tables.
#include "synthfs/fuse/session.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>

#include "synthfs/fuse/mount_point.h"

namespace ennead::synthfs::fuse {

namespace {

// libfuse logs through one function for the whole process and says nothing of the session; all its
// calls come from within ours, so the sink in use is that of the calling thread.
thread_local const LogSink* current_sink = nullptr;

void log_from_libfuse(fuse_log_level level, const char* format, va_list args) {
    if (current_sink == nullptr) {
        return;
    }
    std::array<char, 512> line{};
    std::vsnprintf(line.data(), line.size(), format, args);
    std::string text = line.data();
    text.erase(text.find_last_not_of('\n') + 1);
    log_line(*current_sink, level <= FUSE_LOG_ERR ? LogLevel::error : LogLevel::info,
             "from=libfuse text=\"%s\"", text.c_str());
}

class UseSink {
  public:
    explicit UseSink(const LogSink& sink) : before_(std::exchange(current_sink, &sink)) {}
    UseSink(const UseSink&) = delete;
    UseSink& operator=(const UseSink&) = delete;
    ~UseSink() { current_sink = before_; }

  private:
    const LogSink* before_;
};

// fusermount3 and libfuse write their complaints to standard error; while one of these lives they
// are collected, so that the user sees one line and not three.
class CollectStderr {
  public:
    CollectStderr()
        : saved_(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)),
          memory_(::memfd_create("stderr", MFD_CLOEXEC)) {
        if (saved_ >= 0 && memory_ >= 0) {
            ::dup2(memory_, STDERR_FILENO);
        }
    }
    CollectStderr(const CollectStderr&) = delete;
    CollectStderr& operator=(const CollectStderr&) = delete;
    ~CollectStderr() { finish(); }

    // What was written, as one line.
    std::string finish() {
        std::string text;
        if (saved_ >= 0 && memory_ >= 0) {
            ::dup2(saved_, STDERR_FILENO);
            std::array<char, 1024> bytes{};
            const ssize_t length = ::pread(memory_, bytes.data(), bytes.size(), 0);
            text.assign(bytes.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
        }
        for (int* fd : {&saved_, &memory_}) {
            if (*fd >= 0) {
                ::close(std::exchange(*fd, -1));
            }
        }
        text.erase(text.find_last_not_of('\n') + 1);
        std::ranges::replace(text, '\n', ';');
        return text;
    }

  private:
    int saved_;
    int memory_;
};

}  // namespace

Session::Session(NodePtr root, LogSink log)
    : ids_(root), root_source_(root->identity().source), log_(std::move(log)) {}

Session::~Session() {
    unmount();
    if (session_ != nullptr) {
        const UseSink sink(log_);
        ::fuse_session_destroy(session_);
    }
    std::free(buffer_.mem);
}

Checked<> Session::mount(const MountOptions& options, std::string dir) {
    const UseSink sink(log_);
    ::fuse_set_log_func(log_from_libfuse);
    dir_ = std::move(dir);
    std::string fsname = options.fsname;
    std::ranges::replace(fsname, ',', '_');  // would end the option
    // The kernel checks modes (default_permissions), so letting others in gives them only what
    // chmod gave.
    std::string mount_options = std::string("default_permissions,subtype=") + kSubtype +
                                ",fsname=" + fsname + (may_allow_other() ? ",allow_other" : "");
    std::string program = "ennead";
    std::string flag = "-o";
    std::array<char*, 4> argv{program.data(), flag.data(), mount_options.data(), nullptr};
    fuse_args args = FUSE_ARGS_INIT(3, argv.data());

    CollectStderr complaints;
    session_ = ::fuse_session_new(&args, &operations(), sizeof(fuse_lowlevel_ops), this);
    const bool mounted = session_ != nullptr && ::fuse_session_mount(session_, dir_.c_str()) == 0;
    const std::string text = complaints.finish();
    ::fuse_opt_free_args(&args);
    if (!mounted) {
        ended_ = true;
        return make_fault(EPERM,
                          "%s: cannot mount (%s); run as root, or check that fusermount3 is %s",
                          dir_.c_str(), text.empty() ? "refused" : text.c_str(),
                          "set-uid and mounting is allowed here");
    }
    if (!text.empty()) {
        log_line(log_, LogLevel::warn, "what=mounted text=\"%s\"", text.c_str());
    }
    fd_ = ::fuse_session_fd(session_);
    ::fcntl(fd_, F_SETFD, FD_CLOEXEC);
    ::fcntl(fd_, F_SETFL, ::fcntl(fd_, F_GETFL) | O_NONBLOCK);
    return success();
}

void Session::process() {
    constexpr int kBatch = 32;  // then the owner's loop has its turn
    const UseSink sink(log_);
    for (int i = 0; i < kBatch && !ended_; ++i) {
        const int length = ::fuse_session_receive_buf(session_, &buffer_);
        if (length == -EINTR) {
            continue;
        }
        if (length == -EAGAIN) {
            return;
        }
        if (length <= 0) {
            // 0: unmounted. Anything else: the connection was aborted, and will answer nothing
            // more.
            log_line(log_, LogLevel::info, "what=unmounted dir=%s", dir_.c_str());
            unmount();
            return;
        }
        ::fuse_session_process_buf(session_, &buffer_);
        if (const OperationPtr user = std::exchange(buffer_user_, nullptr); user && !user->done()) {
            user->adopt(std::exchange(buffer_.mem, nullptr));
        }
        if (!ended_ && ::fuse_session_exited(session_) != 0) {
            unmount();
        }
    }
}

std::vector<OperationPtr> Session::under_way() const {
    std::vector<OperationPtr> operations;
    for (Operation* operation : under_way_) {
        if (OperationPtr alive = operation->weak_from_this().lock()) {
            operations.push_back(std::move(alive));
        }
    }
    return operations;
}

void Session::unmount() {
    if (std::exchange(ended_, true) || session_ == nullptr) {
        return;
    }
    const UseSink sink(log_);
    ::fuse_session_exit(session_);  // libfuse keeps quiet about answers that no one takes any more
    for (const OperationPtr& operation : under_way()) {
        operation->request()->cancel();
        operation->error(ENODEV);
    }
    // Handles end outside the table: their ends may lead back here.
    const auto handles = std::exchange(handles_, {});
    lifetime_.reset();
    ::fuse_session_unmount(session_);
    fd_ = -1;
}

Session::HandleId Session::add_handle(HandlePtr handle) {
    handles_.emplace(++last_handle_, std::move(handle));
    return last_handle_;
}

HandlePtr Session::handle(HandleId id) const {
    const auto found = handles_.find(id);
    return found == handles_.end() ? nullptr : found->second;
}

void Session::close(HandleId id) {
    const auto found = handles_.find(id);
    if (found == handles_.end()) {
        return;
    }
    const HandlePtr last_hold = std::move(found->second);
    handles_.erase(found);
    for (const OperationPtr& operation : under_way()) {
        if (operation->handle_id() == id) {
            operation->request()->cancel();
        }
    }
}

std::uint64_t Session::inode_of(std::uint64_t source, std::uint64_t path) const {
    return inode_number(root_source_, source, path);
}

struct stat Session::stat_of(const Attr& attr) const {
    struct stat info {};
    info.st_ino = inode_of(attr.identity.source, attr.identity.path);
    info.st_mode = attr.mode;
    info.st_nlink = attr.nlink;
    info.st_uid = attr.uid;
    info.st_gid = attr.gid;
    info.st_rdev = attr.rdev;
    info.st_size = static_cast<off_t>(attr.size);
    info.st_blksize = static_cast<blksize_t>(attr.block_size);
    info.st_blocks = static_cast<blkcnt_t>(attr.blocks);
    info.st_atim = attr.atime;
    info.st_mtim = attr.mtime;
    info.st_ctim = attr.ctime;
    return info;
}

fuse_entry_param Session::entry_of(const NodePtr& node, const Attr& attr) {
    fuse_entry_param entry{};
    entry.ino = ids_.remember(node);
    entry.generation = 1;
    entry.attr = stat_of(attr);
    // Timeouts stay 0: contents, names and attributes change without the kernel's doing.
    return entry;
}

Operation::Operation(Session& session, fuse_req_t req, bool nonblocking)
    : session_(&session), req_(req) {
    const fuse_ctx* context = ::fuse_req_ctx(req);
    request_ =
        std::make_shared<Request>(Caller{context->uid, context->gid, context->pid}, nonblocking);
    session.begin(*this);
}

Operation::~Operation() {
    if (!done()) {
        log_line(session_->log(), LogLevel::error, "what=request-dropped");
        error(EIO);
    }
}

fuse_req_t Operation::take() {
    session_->end(*this);
    session_ = nullptr;
    request_->settle();
    return std::exchange(req_, nullptr);
}

std::span<std::byte> Operation::buffer(std::size_t size) {
    buffer_ = std::make_unique_for_overwrite<std::byte[]>(size);
    return {buffer_.get(), size};
}

void Operation::watch_interrupt() {
    if (done()) {
        return;
    }
    const auto self = shared_from_this();
    // libfuse calls the function at once if the interrupt came first, but then holds a lock inside
    // the request, which an answer frees. Only this thread reads the device, so the two cases
    // cannot change places here.
    if (::fuse_req_interrupted(req_) != 0) {
        request_->cancel();
        return;
    }
    ::fuse_req_interrupt_func(
        req_,
        [](fuse_req_t, void* data) {
            const OperationPtr operation = static_cast<Operation*>(data)->shared_from_this();
            guarded(operation, [&] { operation->request()->cancel(); });
        },
        this);
}

void Operation::error(int errnum) {
    answer([errnum](fuse_req_t req) { return ::fuse_reply_err(req, errnum); });
}

void Operation::data(const char* bytes, std::size_t size) {
    answer([=](fuse_req_t req) { return ::fuse_reply_buf(req, bytes, size); });
}

// In the three below the kernel may have given up meanwhile (ENOENT): then it has not taken what it
// was given.

void Operation::entry(const NodePtr& node, const Attr& attr) {
    Session& session = *session_;
    const fuse_entry_param entry = session.entry_of(node, attr);
    if (answer([&](fuse_req_t req) { return ::fuse_reply_entry(req, &entry); }) == -ENOENT) {
        session.ids().forget(entry.ino, 1);
    }
}

void Operation::opened(const NodePtr& node, HandlePtr handle) {
    Session& session = *session_;
    const Session::HandleId id = session.add_handle(std::move(handle));
    // Made by hand: libfuse 3.14 has no field for FOPEN_STREAM, without which the kernel locks the
    // file's offset over every read, and a read that waits blocks the writes of its own descriptor.
    fuse_open_out open{};
    open.fh = id;
    if (node->is_stream()) {
        open.open_flags = FOPEN_DIRECT_IO | FOPEN_NONSEEKABLE | FOPEN_STREAM;
    } else if (node->identity().version == 0) {
        open.open_flags = FOPEN_DIRECT_IO;
    }
    const auto* bytes = reinterpret_cast<const char*>(&open);
    if (answer([&](fuse_req_t req) { return ::fuse_reply_buf(req, bytes, sizeof(open)); }) ==
        -ENOENT) {
        session.close(id);
    }
}

void Operation::opened_directory(HandlePtr handle) {
    Session& session = *session_;
    fuse_file_info info{};
    info.fh = session.add_handle(std::move(handle));
    if (answer([&](fuse_req_t req) { return ::fuse_reply_open(req, &info); }) == -ENOENT) {
        session.close(info.fh);
    }
}

void Operation::created(const NodePtr& node, const Attr& attr, HandlePtr handle) {
    Session& session = *session_;
    const fuse_entry_param entry = session.entry_of(node, attr);
    fuse_file_info info{};
    info.fh = session.add_handle(std::move(handle));
    info.direct_io = node->identity().version == 0 ? 1 : 0;
    if (answer([&](fuse_req_t req) { return ::fuse_reply_create(req, &entry, &info); }) ==
        -ENOENT) {
        session.ids().forget(entry.ino, 1);
        session.close(info.fh);
    }
}

}  // namespace ennead::synthfs::fuse
