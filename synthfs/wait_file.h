// SPDX-License-Identifier: MIT
// A file whose read waits until something has come about, and then tells it (`wait`, `ready`).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "synthfs/fault.h"
#include "synthfs/synth_node.h"

namespace ennead::synthfs {

// Captured as a text file's text is: what ended the wait stays that open's text until it is
// rewound.
class WaitFile final : public SynthNode {
  public:
    struct Options {
        mode_t mode = 0444;
        std::string name{};
        ErrorSink errors{};
        // The text, once there is one.
        std::function<std::optional<std::string>()> text{};
        // One message; without it the file cannot be written.
        std::function<void(RequestPtr, std::string text, CheckedReply<>)> write{};
    };
    static std::shared_ptr<WaitFile> make(Options options);
    explicit WaitFile(Options options);

    // `text` may have an answer now.
    void wake();

  protected:
    [[nodiscard]] bool can_write() const override { return static_cast<bool>(options_.write); }
    Checked<HandlePtr> open_handle(RequestPtr request, int flags) override;

  private:
    friend class WaitHandle;
    Options options_;
};

}  // namespace ennead::synthfs
