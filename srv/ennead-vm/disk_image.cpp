// SPDX-License-Identifier: MIT
// Reads and writes of raw images, and the layer over one.
#include "srv/ennead-vm/disk_image.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace ennead::srv {
namespace {

using synthfs::Checked;
using synthfs::Fault;
using synthfs::make_fault;
using vmcore::kSectorSize;

int read_fully(int fd, std::span<std::byte> data, std::uint64_t offset) {
    while (!data.empty()) {
        const ssize_t n = pread(fd, data.data(), data.size(), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? errno : EIO;  // the file became shorter
        }
        data = data.subspan(static_cast<std::size_t>(n));
        offset += static_cast<std::size_t>(n);
    }
    return 0;
}

int write_fully(int fd, std::span<const std::byte> data, std::uint64_t offset) {
    while (!data.empty()) {
        const ssize_t n = pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? errno : EIO;
        }
        data = data.subspan(static_cast<std::size_t>(n));
        offset += static_cast<std::size_t>(n);
    }
    return 0;
}

bool impossible_here(int errnum) {
    return errnum == EOPNOTSUPP || errnum == ENOSYS || errnum == EINVAL;
}

// The host's space of a range is given back; it reads as zeroes then.
int punch(int fd, std::uint64_t sector, std::uint64_t count) {
    if (count == 0) {
        return 0;
    }
    const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return fallocate(fd, mode, static_cast<off_t>(sector * kSectorSize),
                     static_cast<off_t>(count * kSectorSize)) == 0
               ? 0
               : errno;
}

int write_zero_bytes(int fd, std::uint64_t sector, std::uint64_t count) {
    const std::vector<std::byte> zeroes(1024 * 1024);
    std::uint64_t at = sector * kSectorSize, left = count * kSectorSize;
    while (left != 0) {
        const std::size_t n = std::min<std::uint64_t>(left, zeroes.size());
        if (const int bad = write_fully(fd, std::span(zeroes).first(n), at)) {
            return bad;
        }
        at += n;
        left -= n;
    }
    return 0;
}

int zero(int fd, const DiskImage::Range& range) {
    const int bad = range.unmap ? punch(fd, range.sector, range.count) : EOPNOTSUPP;
    return bad != 0 && impossible_here(bad) ? write_zero_bytes(fd, range.sector, range.count) : bad;
}

// fdatasync that does not forget a failure.
class Syncer {
  public:
    int sync(int fd) {
        if (failed_ == 0 && fdatasync(fd) != 0) {
            failed_ = errno;
        }
        return failed_;
    }

  private:
    int failed_ = 0;
};

Fault last_error(const char* what) {
    return make_fault(errno, "%s: %s", what, std::strerror(errno));
}

class RawImage final : public DiskImage {
  public:
    RawImage(Fd image, std::uint64_t sectors) : image_(std::move(image)), sectors_(sectors) {}

    [[nodiscard]] std::uint64_t sectors() const override { return sectors_; }
    int read(std::uint64_t sector, std::span<std::byte> data) override {
        return read_fully(image_.get(), data, sector * kSectorSize);
    }
    int write(std::uint64_t sector, std::span<const std::byte> data) override {
        return write_fully(image_.get(), data, sector * kSectorSize);
    }
    int flush() override { return syncer_.sync(image_.get()); }
    int discard(const Range& range) override {
        const int bad = punch(image_.get(), range.sector, range.count);
        return impossible_here(bad) ? 0 : bad;
    }
    int write_zeroes(const Range& range) override { return zero(image_.get(), range); }

  private:
    Fd image_;
    std::uint64_t sectors_;
    Syncer syncer_;
};

// What the map begins with: the image that the layer belongs to, as it was then. Never leaves this
// host.
struct MapHeader {
    char magic[8];
    std::uint64_t device, inode, bytes;
    std::int64_t changed_s, changed_ns;

    bool operator==(const MapHeader& other) const {
        return std::memcmp(this, &other, sizeof other) == 0;
    }
};
static_assert(sizeof(MapHeader) == 48);
constexpr std::uint64_t kMapStart = 4096;  // of the bits

MapHeader header_of(const struct stat& image) {
    MapHeader header{
        {'E', 'n', 'n', 'c', 'o', 'w', '0', '1'},  image.st_dev,         image.st_ino,
        static_cast<std::uint64_t>(image.st_size), image.st_mtim.tv_sec, image.st_mtim.tv_nsec};
    return header;
}

class LayeredImage final : public DiskImage {
  public:
    LayeredImage(Fd image, Fd layer, Fd map, std::uint64_t sectors)
        : image_(std::move(image)),
          layer_(std::move(layer)),
          map_(std::move(map)),
          sectors_(sectors),
          // Zero, and no host memory before it is touched.
          bits_(static_cast<std::uint8_t*>(std::calloc(sectors / 8 + 1, 1))) {}

    // Makes the files, or reads what is in them.
    Checked<> open() {
        struct stat image {};
        MapHeader found{};
        if (bits_ == nullptr) {
            return make_fault(ENOMEM, "not enough memory for the map of a layer");
        }
        if (fstat(image_.get(), &image) != 0) {
            return last_error("image");
        }
        const MapHeader wanted = header_of(image);
        const auto bytes = std::as_writable_bytes(std::span(&found, 1));
        const ssize_t have = pread(map_.get(), bytes.data(), bytes.size(), 0);
        if (have < 0) {
            return last_error("layer's map");
        }
        if (static_cast<std::size_t>(have) < bytes.size() || found.magic[0] == '\0') {
            return make(wanted);
        }
        bool empty = true;
        if (const int bad = load(empty)) {
            return make_fault(bad, "layer's map: %s", std::strerror(bad));
        }
        if (!(found == wanted)) {
            if (!empty) {
                return make_fault(
                    EINVAL, "the image was changed, and this VM's changes belong to what it was");
            }
            return make(wanted);
        }
        return synthfs::success();
    }

    [[nodiscard]] std::uint64_t sectors() const override { return sectors_; }

    int read(std::uint64_t sector, std::span<std::byte> data) override {
        while (!data.empty()) {
            const std::uint64_t n = run(sector, data.size() / kSectorSize);
            const int fd = in_layer(sector) ? layer_.get() : image_.get();
            if (const int bad = read_fully(fd, data.first(n * kSectorSize), sector * kSectorSize)) {
                return bad;
            }
            data = data.subspan(n * kSectorSize);
            sector += n;
        }
        return 0;
    }

    int write(std::uint64_t sector, std::span<const std::byte> data) override {
        const int bad = write_fully(layer_.get(), data, sector * kSectorSize);
        return bad != 0 ? bad : mark(sector, data.size() / kSectorSize);
    }

    // The data first: a bit on stable storage has its sector there.
    int flush() override {
        const int bad = syncer_.sync(layer_.get());
        return bad != 0 ? bad : syncer_.sync(map_.get());
    }

    // The image cannot be made smaller; what is in the layer can.
    int discard(const Range& range) override {
        for (std::uint64_t at = range.sector, end = at + range.count; at < end;) {
            const std::uint64_t n = run(at, end - at);
            const int bad = in_layer(at) ? punch(layer_.get(), at, n) : 0;
            if (bad != 0 && !impossible_here(bad)) {
                return bad;
            }
            at += n;
        }
        return 0;
    }

    int write_zeroes(const Range& range) override {
        const int bad = zero(layer_.get(), range);
        return bad != 0 ? bad : mark(range.sector, range.count);
    }

  private:
    [[nodiscard]] bool in_layer(std::uint64_t sector) const {
        return (bits_[sector / 8] >> (sector % 8) & 1) != 0;
    }
    // How many of the sectors from `sector` on, at most `limit`, are where it is.
    [[nodiscard]] std::uint64_t run(std::uint64_t sector, std::uint64_t limit) const {
        const bool where = in_layer(sector);
        const std::uint8_t full = where ? 0xff : 0;
        std::uint64_t n = 1;
        while (n < limit) {
            const std::uint64_t at = sector + n;
            if (at % 8 == 0 && limit - n >= 8 && bits_[at / 8] == full) {
                n += 8;
            } else if (in_layer(at) == where) {
                n += 1;
            } else {
                break;
            }
        }
        return n;
    }

    // The sectors are in the layer now.
    int mark(std::uint64_t sector, std::uint64_t count) {
        if (count == 0 || (in_layer(sector) && run(sector, count) == count)) {
            return 0;
        }
        const std::uint64_t first = sector / 8, last = (sector + count - 1) / 8;
        const std::vector<std::uint8_t> before(&bits_[first], &bits_[last] + 1);
        for (std::uint64_t at = sector; at < sector + count; at++) {
            bits_[at / 8] |= static_cast<std::uint8_t>(1u << (at % 8));
        }
        const auto changed = std::as_bytes(std::span(&bits_[first], before.size()));
        const int bad = write_fully(map_.get(), changed, kMapStart + first);
        if (bad != 0) {
            std::copy(before.begin(), before.end(), &bits_[first]);
        }
        return bad;
    }

    // Empty files, as large as they can become; the header comes last.
    Checked<> make(const MapHeader& header) {
        if (ftruncate(map_.get(), 0) != 0 || ftruncate(layer_.get(), 0) != 0 ||
            ftruncate(layer_.get(), static_cast<off_t>(sectors_ * kSectorSize)) != 0) {
            return last_error("layer");
        }
        if (const int bad = write_fully(map_.get(), std::as_bytes(std::span(&header, 1)), 0)) {
            return make_fault(bad, "layer's map: %s", std::strerror(bad));
        }
        return synthfs::success();
    }

    // The bits that are in the file, which has holes and may end early; `none`: there are none.
    int load(bool& none) {
        off_t end = lseek(map_.get(), 0, SEEK_END);
        const auto limit = static_cast<off_t>(kMapStart + sectors_ / 8 + 1);
        end = std::min(end, limit);
        off_t at = kMapStart;
        while (at < end) {
            const off_t data = lseek(map_.get(), at, SEEK_DATA);
            if (data < 0 || data >= end) {
                break;
            }
            const off_t hole = std::min(lseek(map_.get(), data, SEEK_HOLE), end);
            std::uint8_t* const place = &bits_[static_cast<std::uint64_t>(data) - kMapStart];
            const auto n = static_cast<std::size_t>(hole - data);
            if (hole <= data) {
                return EIO;
            }
            if (const int bad = read_fully(map_.get(), std::as_writable_bytes(std::span(place, n)),
                                           static_cast<std::uint64_t>(data))) {
                return bad;
            }
            none = none && std::all_of(place, place + n, [](std::uint8_t b) { return b == 0; });
            at = hole;
        }
        return 0;
    }

    struct Free {
        void operator()(std::uint8_t* p) const { std::free(p); }
    };

    Fd image_, layer_, map_;
    const std::uint64_t sectors_;
    const std::unique_ptr<std::uint8_t[], Free> bits_;
    Syncer syncer_;
};

Checked<std::uint64_t> sectors_of(const Fd& image) {
    struct stat st {};
    if (fstat(image.get(), &st) != 0) {
        return last_error("image");
    }
    if (st.st_size < kSectorSize) {
        return make_fault(EINVAL, "an image of less than 512 bytes");
    }
    return static_cast<std::uint64_t>(st.st_size) / kSectorSize;
}

}  // namespace

Checked<std::unique_ptr<DiskImage>> DiskImage::write_through(Fd image) {
    const auto sectors = sectors_of(image);
    if (!sectors) {
        return sectors.error();
    }
    return std::unique_ptr<DiskImage>(new RawImage(std::move(image), sectors.value()));
}

Checked<std::unique_ptr<DiskImage>> DiskImage::copy_on_write(Fd image, Fd layer, Fd map) {
    const auto sectors = sectors_of(image);
    if (!sectors) {
        return sectors.error();
    }
    auto layered = std::make_unique<LayeredImage>(std::move(image), std::move(layer),
                                                  std::move(map), sectors.value());
    if (auto opened = layered->open(); !opened) {
        return opened.error();
    }
    return std::unique_ptr<DiskImage>(std::move(layered));
}

}  // namespace ennead::srv
