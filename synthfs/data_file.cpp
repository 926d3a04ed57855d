// SPDX-License-Identifier: MIT
// Reads and writes at offsets, handed on to functions.
#include "synthfs/data_file.h"

#include <sys/stat.h>

#include <limits>
#include <utility>

namespace ennead::synthfs {

namespace {

class DataNode final : public SynthNode {
  public:
    explicit DataNode(DataFile file)
        : SynthNode(S_IFREG, {file.mode, file.name, file.errors}), file_(std::move(file)) {}

    [[nodiscard]] const DataFile& file() const { return file_; }
    [[nodiscard]] std::uint64_t size() const override { return file_.size ? file_.size() : 0; }

  protected:
    [[nodiscard]] bool can_read() const override { return static_cast<bool>(file_.read); }
    [[nodiscard]] bool can_write() const override { return file_.write || file_.truncate; }
    Checked<HandlePtr> open_handle(RequestPtr request, int flags) override;

    void truncate(RequestPtr request, std::uint64_t size, CheckedReply<> reply) override {
        if (file_.truncate) {
            auto done = file_.truncate(size);
            if (done) {
                touch();
            }
            reply(std::move(done));
        } else {
            SynthNode::truncate(std::move(request), size, std::move(reply));
        }
    }

  private:
    DataFile file_;
};

class DataHandle final : public SynthHandle {
  public:
    DataHandle(std::shared_ptr<DataNode> node, int flags)
        : SynthHandle(node, flags), data_node_(*node) {}

    void read(RequestPtr request, std::uint64_t offset, std::span<std::byte> into,
              Reply<std::size_t> reply) override {
        if (const int refusal = read_refusal()) {
            reply(error(refusal));
            return;
        }
        data_node_.file().read(request, offset, into, answer(request, std::move(reply), false));
    }

    void write(RequestPtr request, std::uint64_t offset, std::span<const std::byte> data,
               Reply<std::size_t> reply) override {
        if (const int refusal = write_refusal()) {
            reply(error(refusal));
        } else if (!data_node_.file().write) {
            reply(data_node_.refuse(*request, make_fault(EPERM, "this file can only be cleared")));
        } else if (offset > std::numeric_limits<std::uint64_t>::max() - data.size()) {
            reply(error(EFBIG));
        } else {
            const std::uint64_t at = (flags() & O_APPEND) != 0 ? data_node_.size() : offset;
            data_node_.file().write(request, at, data, answer(request, std::move(reply), true));
        }
    }

  private:
    // Keeps this open, and so the node and its functions, until the answer.
    CheckedReply<std::size_t> answer(RequestPtr request, Reply<std::size_t> reply, bool wrote) {
        return [self = std::static_pointer_cast<DataHandle>(shared_from_this()),
                request = std::move(request), reply = std::move(reply),
                wrote](Checked<std::size_t> done) {
            if (!done) {
                reply(self->data_node_.refuse(*request, done.error()));
                return;
            }
            if (wrote) {
                self->data_node_.touch();
            }
            reply(done.value());
        };
    }

    DataNode& data_node_;
};

Checked<HandlePtr> DataNode::open_handle(RequestPtr, int flags) {
    if ((flags & O_TRUNC) != 0 && file_.truncate) {
        if (auto done = file_.truncate(0); !done) {
            return done.error();
        }
        touch();
    }
    return std::make_shared<DataHandle>(std::static_pointer_cast<DataNode>(shared_from_this()),
                                        flags);
}

}  // namespace

SynthNodePtr make_data_file(DataFile file) {
    return std::make_shared<DataNode>(std::move(file));
}

}  // namespace ennead::synthfs
