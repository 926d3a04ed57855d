// SPDX-License-Identifier: MIT
// The tree over 9P2000.L. A read is called off by Tflush.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <variant>

#include "p9/codec.h"
#include "srv/common/fd.h"
#include "tests/client/files.h"

namespace ennead::client {
namespace {

constexpr std::uint32_t kMsize = 128 * 1024;
constexpr std::uint16_t kTag = 1, kSecondTag = 2, kFlushTag = 3;
constexpr std::uint32_t kRoot = 0;

class NineFiles final : public Files {
  public:
    explicit NineFiles(srv::Fd socket) : socket_(std::move(socket)), in_(2 * kMsize) {}

    bool attach() {
        p9::Rversion version;
        p9::Rattach root;
        return call(p9::Tversion{kMsize, p9::kVersion}, version, p9::kNoTag) == 0 &&
               version.version == p9::kVersion &&
               call(p9::Tattach{kRoot, p9::kNoFid, "", "", geteuid()}, root) == 0;
    }

    int open(const std::string& path, int flags, int& file) override {
        const int failure = walk(path, file);
        p9::Rlopen opened;
        if (failure != 0) {
            return failure;
        }
        const int refused =
            call(p9::Tlopen{static_cast<std::uint32_t>(file), static_cast<std::uint32_t>(flags)},
                 opened);
        if (refused != 0) {
            close(file);
        }
        return refused;
    }
    void close(int file) override {
        p9::Rclunk done;
        call(p9::Tclunk{static_cast<std::uint32_t>(file)}, done);
        free_.push_back(file);
    }
    int read(int file, std::uint64_t offset, std::size_t size, std::string& into) override {
        p9::Rread got;
        const int failure = call(fetch(file, offset, size), got);
        into.assign(reinterpret_cast<const char*>(got.data.data()), got.data.size());
        return failure;
    }
    int read_called_off(int file, std::uint64_t offset, std::size_t size,
                        std::string& into) override {
        // What follows is answered once the read has begun.
        if (!send(kTag, fetch(file, offset, size)) ||
            !send(kSecondTag, p9::Tgetattr{static_cast<std::uint32_t>(file), p9::kAttrBasic})) {
            return ENOTCONN;
        }
        std::optional<int> outcome;
        into.clear();
        for (bool flushing = false;;) {
            const auto answer = receive();
            if (!answer) {
                return ENOTCONN;
            }
            if (answer->tag == kTag) {
                const auto* got = std::get_if<p9::Rread>(&answer->message);
                if (got != nullptr) {
                    into.assign(reinterpret_cast<const char*>(got->data.data()), got->data.size());
                }
                outcome = got != nullptr ? 0 : errno_of(*answer);
            } else if (answer->tag == kSecondTag && !flushing) {
                flushing = send(kFlushTag, p9::Tflush{kTag});
            } else if (answer->tag == kFlushTag) {
                return outcome.value_or(EINTR);
            }
        }
    }
    int write(int file, std::uint64_t offset, std::string_view text) override {
        p9::Rwrite written;
        const int failure = call(
            p9::Twrite{static_cast<std::uint32_t>(file), offset, std::as_bytes(std::span(text))},
            written);
        return failure != 0 ? failure : written.count == text.size() ? 0 : ENODATA;
    }
    int poll(int, bool&) override { return EOPNOTSUPP; }
    int stat(const std::string& path, Stat& stat) override {
        int file = 0;
        if (const int failure = walk(path, file); failure != 0) {
            return failure;
        }
        p9::Rgetattr attr;
        const int failure =
            call(p9::Tgetattr{static_cast<std::uint32_t>(file), p9::kAttrBasic}, attr);
        stat = {attr.mode, attr.size};
        close(file);
        return failure;
    }
    int list(const std::string& path, std::vector<std::string>& names) override {
        int file = 0;
        int failure = open(path, O_RDONLY | O_DIRECTORY, file);
        if (failure != 0) {
            return failure;
        }
        std::uint64_t offset = 0;
        while (true) {
            p9::Rreaddir some;
            failure =
                call(p9::Treaddir{static_cast<std::uint32_t>(file), offset, kMsize / 2}, some);
            if (failure != 0 || some.data.empty()) {
                break;
            }
            // qid[13] offset[8] type[1] name[s]
            p9::Reader reader(some.data);
            while (reader.left() != 0 && reader.ok()) {
                p9::Qid qid;
                std::uint8_t type = 0;
                std::string_view name;
                reader(qid, offset, type, name);
                names.emplace_back(name);
            }
            if (!reader.ok()) {
                failure = EPROTO;
                break;
            }
        }
        close(file);
        return failure;
    }
    int mkdir(const std::string& path) override {
        return in_parent(path, [&](std::uint32_t parent, std::string_view name) {
            p9::Rmkdir made;
            return call(p9::Tmkdir{parent, name, 0755, getegid()}, made);
        });
    }
    int rmdir(const std::string& path) override {
        return in_parent(path, [&](std::uint32_t parent, std::string_view name) {
            p9::Runlinkat done;
            return call(p9::Tunlinkat{parent, name, p9::kUnlinkDirectory}, done);
        });
    }
    int rename(const std::string& from, const std::string& to) override {
        return in_parent(from, [&](std::uint32_t parent, std::string_view name) {
            return in_parent(to, [&](std::uint32_t new_parent, std::string_view new_name) {
                p9::Rrenameat done;
                return call(p9::Trenameat{parent, name, new_parent, new_name}, done);
            });
        });
    }

  private:
    static p9::Tread fetch(int file, std::uint64_t offset, std::size_t size) {
        const std::size_t most = kMsize - p9::kIoHeaderSize;
        return {static_cast<std::uint32_t>(file), offset,
                static_cast<std::uint32_t>(std::min(size, most))};
    }
    static int errno_of(const p9::Frame& answer) {
        const auto* failure = std::get_if<p9::Rlerror>(&answer.message);
        return failure != nullptr ? static_cast<int>(failure->ecode) : EPROTO;
    }

    template <class Do>
    int in_parent(const std::string& path, Do act) {
        const std::size_t slash = path.rfind('/');
        const bool top = slash == std::string::npos;
        int parent = 0;
        if (const int failure = walk(top ? "" : path.substr(0, slash), parent); failure != 0) {
            return failure;
        }
        const int outcome = act(static_cast<std::uint32_t>(parent),
                                std::string_view(path).substr(top ? 0 : slash + 1));
        close(parent);
        return outcome;
    }

    // A new fid at `path`.
    int walk(const std::string& path, int& file) {
        p9::NameList names;
        for (std::size_t begin = 0; begin < path.size();) {
            const std::size_t end = std::min(path.find('/', begin), path.size());
            names.push(std::string_view(path).substr(begin, end - begin));
            begin = end + 1;
        }
        if (free_.empty()) {
            free_.push_back(++last_);
        }
        file = free_.back();
        const auto fid = static_cast<std::uint32_t>(file);
        p9::Rwalk walked;
        if (const int failure = call(p9::Twalk{kRoot, fid, names}, walked); failure != 0) {
            return failure;
        }
        if (walked.qids.count == names.count) {
            free_.pop_back();
            return 0;
        }
        // walk(5): an answer that is short makes no fid and does not say why. Who asks for the name
        // at fault alone is told.
        const std::uint16_t good = walked.qids.count;
        const std::string_view bad = names.items[good];
        names.count = good;
        int failure = call(p9::Twalk{kRoot, fid, names}, walked);
        if (failure == 0 && walked.qids.count == good) {
            p9::NameList last;
            last.push(bad);
            failure = call(p9::Twalk{fid, fid, last}, walked);
            p9::Rclunk done;
            call(p9::Tclunk{fid}, done);
        }
        // It may have come to be there meanwhile.
        return failure != 0 ? failure : ENOENT;
    }

    // The answer's data point into what the next call overwrites.
    template <class Question, class Answer>
    int call(const Question& question, Answer& answer, std::uint16_t tag = kTag) {
        if (!send(tag, question)) {
            return ENOTCONN;
        }
        const auto frame = receive();
        if (!frame) {
            return ENOTCONN;
        }
        const auto* wanted = std::get_if<Answer>(&frame->message);
        if (wanted != nullptr) {
            answer = *wanted;
        }
        return wanted != nullptr ? 0 : errno_of(*frame);
    }
    template <class M>
    bool send(std::uint16_t tag, const M& message) {
        p9::Buffer out(p9::encoded_size(message));
        if (!p9::encode_as(out.span(), tag, message)) {
            return false;
        }
        for (std::size_t sent = 0; sent < out.size();) {
            const ssize_t put =
                ::send(socket_.get(), out.span().data() + sent, out.size() - sent, MSG_NOSIGNAL);
            if (put <= 0) {
                return false;
            }
            sent += static_cast<std::size_t>(put);
        }
        return true;
    }
    // Valid until the next one.
    std::optional<p9::Frame> receive() {
        begin_ = taken_;
        std::uint32_t size = sizeof size;
        if (!have(size)) {
            return std::nullopt;
        }
        p9::Reader(in_.span().subspan(begin_)).field(size);
        if (size < p9::kHeaderSize || size > kMsize || !have(size)) {
            return std::nullopt;
        }
        taken_ = begin_ + size;
        auto frame = p9::decode(in_.span().subspan(begin_, size));
        return frame ? std::optional(std::move(frame.value())) : std::nullopt;
    }
    // So many bytes from begin_ on are in in_.
    bool have(std::size_t size) {
        if (begin_ == end_ || begin_ + size > in_.size()) {
            std::memmove(in_.span().data(), in_.span().data() + begin_, end_ - begin_);
            end_ -= begin_;
            begin_ = 0;
        }
        while (end_ - begin_ < size) {
            const ssize_t got =
                ::recv(socket_.get(), in_.span().data() + end_, in_.size() - end_, 0);
            if (got <= 0) {
                return false;
            }
            end_ += static_cast<std::size_t>(got);
        }
        return true;
    }

    srv::Fd socket_;
    p9::Buffer in_;
    // Of what was received: where a frame begins, where the next one does, where it all ends.
    std::size_t begin_ = 0, taken_ = 0, end_ = 0;
    int last_ = static_cast<int>(kRoot);
    std::vector<int> free_;
};

}  // namespace

std::unique_ptr<Files> nine_files(const std::string& socket_path) {
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    if (socket_path.size() >= sizeof where.sun_path) {
        return nullptr;
    }
    std::memcpy(where.sun_path, socket_path.c_str(), socket_path.size());
    srv::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    // Nothing may take as long; a client must not wait for ever.
    const timeval patience{120, 0};
    if (!socket ||
        ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0 ||
        ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0) {
        return nullptr;
    }
    auto files = std::make_unique<NineFiles>(std::move(socket));
    return files->attach() ? std::move(files) : nullptr;
}

}  // namespace ennead::client
