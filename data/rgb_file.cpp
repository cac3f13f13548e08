#include "data/rgb_file.h"

#include <fmt/format.h>
#include <spng.h>
#include <turbojpeg.h>

#include <cstring>
#include <memory>

#include "data/file.h"
#include "data/resample.h"
#include "engine/core/error.h"

namespace swath {

namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{512} << 20;

/// Where the decoded image goes: straight to the caller when the size is right, else through a buffer.
struct Target {
  const std::string& path;
  std::int64_t height, width;
  std::uint8_t* pixels;
  std::vector<std::uint8_t>& buffer;

  void check(std::int64_t h, std::int64_t w) const {
    if (h <= 0 || w <= 0) throw DataError(fmt::format("{} is a corrupt JPEG or PNG without pixels", path));
    if (h > kMaxPixels / w)
      throw DataError(fmt::format("{} claims {} x {} pixels, more than the limit of 64 Mpixel", path, w, h));
  }
  std::uint8_t* begin(std::int64_t h, std::int64_t w) const {
    if (h == height && w == width) return pixels;
    buffer.resize(static_cast<std::size_t>(h * w * 3));
    return buffer.data();
  }
  void finish(std::int64_t h, std::int64_t w) const {
    if (h == height && w == width) return;
    resample_bilinear(
        {.from = buffer.data(), .from_height = h, .from_width = w, .to = pixels, .to_height = height, .to_width = width});
  }
};

struct Decompressor {
  tjhandle handle = tjInitDecompress();
  Decompressor() = default;
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
  ~Decompressor() {
    if (handle) tjDestroy(handle);
  }
  /// After an error in a header, libjpeg-turbo 2.1 refuses the next image too.
  void renew() {
    if (handle) tjDestroy(handle);
    handle = tjInitDecompress();
  }
};

void decode_jpeg(const std::vector<std::uint8_t>& bytes, const Target& target) {
  thread_local Decompressor decompressor;
  const tjhandle handle = decompressor.handle;
  if (!handle) throw InternalError("libjpeg-turbo gave no decompressor");
  const auto fail = [&] {
    const std::string sentence = fmt::format("{} is a corrupt JPEG: {}", target.path, tjGetErrorStr2(handle));
    decompressor.renew();
    throw DataError(sentence);
  };
  int width = 0, height = 0, subsampling = 0, colourspace = 0;
  const auto size = static_cast<unsigned long>(bytes.size());
  if (tjDecompressHeader3(handle, bytes.data(), size, &width, &height, &subsampling, &colourspace) != 0) fail();
  target.check(height, width);
  if (colourspace == TJCS_CMYK || colourspace == TJCS_YCCK)
    throw DataError(fmt::format("{} is a CMYK JPEG; convert it to RGB or grey", target.path));
  std::uint8_t* to = target.begin(height, width);
  if (tjDecompress2(handle, bytes.data(), size, to, width, 0, height, TJPF_RGB, TJFLAG_LIMITSCANS) != 0) fail();
  target.finish(height, width);
}

void decode_png(const std::vector<std::uint8_t>& bytes, const Target& target) {
  const std::unique_ptr<spng_ctx, void (*)(spng_ctx*)> context(spng_ctx_new(0), spng_ctx_free);
  if (!context) throw InternalError("libspng gave no context");
  const auto check = [&](int code) {
    if (code != 0) throw DataError(fmt::format("{} is a corrupt PNG: {}", target.path, spng_strerror(code)));
  };
  check(spng_set_crc_action(context.get(), SPNG_CRC_ERROR, SPNG_CRC_ERROR));
  check(spng_set_chunk_limits(context.get(), std::size_t{1} << 24, std::size_t{1} << 25));
  check(spng_set_png_buffer(context.get(), bytes.data(), bytes.size()));
  spng_ihdr header{};
  check(spng_get_ihdr(context.get(), &header));
  target.check(header.height, header.width);
  if (header.bit_depth == 16)
    throw DataError(fmt::format("{} is a PNG of 16 bits; convert it to 8 bits or GeoTIFF", target.path));
  std::size_t size = 0;
  check(spng_decoded_image_size(context.get(), SPNG_FMT_RGB8, &size));
  std::uint8_t* to = target.begin(header.height, header.width);
  check(spng_decode_image(context.get(), to, size, SPNG_FMT_RGB8, 0));
  check(spng_decode_chunks(context.get()));
  target.finish(header.height, header.width);
}

void decode(const std::vector<std::uint8_t>& bytes, const Target& target) {
  constexpr std::uint8_t kPng[] = {0x89, 'P', 'N', 'G'};
  if (bytes.size() >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff)
    decode_jpeg(bytes, target);
  else if (bytes.size() >= 4 && std::memcmp(bytes.data(), kPng, 4) == 0)
    decode_png(bytes, target);
  else
    throw DataError(fmt::format("{} is neither JPEG nor PNG", target.path));
}

}  // namespace

void read_rgb(const std::string& path, std::int64_t height, std::int64_t width, std::uint8_t* pixels) {
  thread_local std::vector<std::uint8_t> bytes, buffer;
  read_file(path, kMaxFileBytes, bytes);
  decode(bytes, {path, height, width, pixels, buffer});
}

void decode_rgb(const std::vector<std::uint8_t>& bytes, const std::string& name, std::int64_t height, std::int64_t width,
                std::uint8_t* pixels) {
  std::vector<std::uint8_t> buffer;
  decode(bytes, {name, height, width, pixels, buffer});
}

std::vector<std::uint8_t> encode_jpeg(const std::uint8_t* pixels, std::int64_t height, std::int64_t width, int quality) {
  const std::unique_ptr<void, int (*)(tjhandle)> handle(tjInitCompress(), tjDestroy);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  const int status = handle ? tjCompress2(handle.get(), pixels, static_cast<int>(width), 0, static_cast<int>(height), TJPF_RGB,
                                          &bytes, &size, TJSAMP_420, quality, TJFLAG_ACCURATEDCT)
                            : -1;
  const std::unique_ptr<unsigned char, void (*)(unsigned char*)> owner(bytes, tjFree);
  if (status != 0) throw InternalError("libjpeg-turbo cannot compress an image");
  return std::vector<std::uint8_t>(bytes, bytes + size);
}

}  // namespace swath
