// SPDX-License-Identifier: MIT
// The error category of vmcore, each error with the errno that users see.
#include "vmcore/result.h"

namespace ennead::vmcore {
namespace {

class Category : public std::error_category {
  public:
    const char* name() const noexcept override { return "vmcore"; }

    std::string message(int value) const override {
        // clang-format off
        switch (static_cast<Error>(value)) {
            case Error::range_overlap: return "two devices claim one address range";
            case Error::bad_memory_size: return "memory size out of range or not a multiple of 4096";
            case Error::unknown_kernel: return "kernel image is of no known format";
            case Error::image_too_large: return "image does not fit into guest memory";
            case Error::bad_value: return "value out of range";
            case Error::unmapped_address: return "no memory at this address";
            case Error::wrong_state: return "not possible in this state of the machine";
        }
        // clang-format on
        return "unknown vmcore error";
    }

    std::error_condition default_error_condition(int value) const noexcept override {
        // clang-format off
        switch (static_cast<Error>(value)) {
            case Error::range_overlap: return std::errc::file_exists;
            case Error::bad_memory_size: return std::errc::invalid_argument;
            case Error::unknown_kernel: return std::errc::executable_format_error;
            case Error::image_too_large: return std::errc::not_enough_memory;
            case Error::bad_value: return std::errc::invalid_argument;
            case Error::unmapped_address: return std::errc::bad_address;
            case Error::wrong_state: return std::errc::device_or_resource_busy;
        }
        // clang-format on
        return std::errc::io_error;
    }
};

}  // namespace

const std::error_category& error_category() {
    static const Category category;
    return category;
}

std::error_code make_error_code(Error e) {
    return {static_cast<int>(e), error_category()};
}

}  // namespace ennead::vmcore
