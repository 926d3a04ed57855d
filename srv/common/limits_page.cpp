// SPDX-License-Identifier: MIT
// A sealed file in memory, mapped.
#include "srv/common/limits_page.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace ennead::srv {

using synthfs::Checked;
using synthfs::make_fault;

Checked<std::shared_ptr<LimitsPage>> map_limits(Fd file) {
    struct stat st {};
    if (fstat(file.get(), &st) != 0 || st.st_size < static_cast<off_t>(sizeof(LimitsPage))) {
        return make_fault(EPROTO, "limits: no file of the right size");
    }
    void* const at =
        mmap(nullptr, sizeof(LimitsPage), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (at == MAP_FAILED) {
        return make_fault(errno, "limits: %s", std::strerror(errno));
    }
    return std::shared_ptr<LimitsPage>(static_cast<LimitsPage*>(at),
                                       [](LimitsPage* page) { munmap(page, sizeof *page); });
}

Checked<SharedLimits> make_limits() {
    Fd file(memfd_create("limits", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!file || ftruncate(file.get(), sizeof(LimitsPage)) != 0 ||
        fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        return make_fault(errno, "limits: %s", std::strerror(errno));
    }
    Fd copy(fcntl(file.get(), F_DUPFD_CLOEXEC, 0));
    if (!copy) {
        return make_fault(errno, "limits: %s", std::strerror(errno));
    }
    auto page = map_limits(std::move(copy));
    if (!page) {
        return page.error();
    }
    return SharedLimits{std::move(page.value()), std::move(file)};
}

}  // namespace ennead::srv
