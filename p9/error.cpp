// SPDX-License-Identifier: MIT
// The texts of this room's errors and the errno each one stands for.
#include "p9/error.h"

namespace ennead::p9 {
namespace {

class Category final : public std::error_category {
  public:
    const char* name() const noexcept override { return "9p"; }

    std::string message(int value) const override {
        switch (static_cast<Error>(value)) {
            case Error::short_frame:
                return "frame shorter than a header";
            case Error::wrong_size:
                return "size field does not match the frame";
            case Error::oversized_frame:
                return "frame larger than msize";
            case Error::unknown_type:
                return "unknown message type";
            case Error::bad_body:
                return "message field out of bounds";
            case Error::trailing_bytes:
                return "bytes after the last field";
            case Error::unexpected_type:
                return "message of this type does not belong here";
            case Error::unknown_tag:
                return "reply to a tag that is not in use";
            case Error::bad_reply:
                return "reply that the protocol does not allow";
            case Error::bad_version:
                return "no common protocol version";
        }
        return "unknown error";
    }

    std::error_condition default_error_condition(int value) const noexcept override {
        return static_cast<Error>(value) == Error::bad_version ? std::errc::protocol_not_supported
                                                               : std::errc::protocol_error;
    }
};

}  // namespace

const std::error_category& error_category() {
    static const Category category;
    return category;
}

}  // namespace ennead::p9
