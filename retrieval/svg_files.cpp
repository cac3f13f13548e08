// Files of pictures: PNG by libspng, SVG to PNG by rsvg-convert (methods.md §8).
#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <spng.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "engine/core/error.h"
#include "retrieval/svg.h"

extern char** environ;

namespace swath {
namespace {

struct FreeSpawnActions {
  void operator()(posix_spawn_file_actions_t* actions) const { posix_spawn_file_actions_destroy(actions); }
};

/// Runs a program without a shell, its output dropped; the exit status, or 127 when it cannot be started.
int run_program(const char* name, const std::vector<std::string>& arguments) {
  std::vector<char*> argv = {const_cast<char*>(name)};
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const std::unique_ptr<posix_spawn_file_actions_t, FreeSpawnActions> owner(&actions);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  pid_t pid = 0;
  if (posix_spawnp(&pid, name, &actions, nullptr, argv.data(), environ) != 0) return 127;
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return 127;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

struct FreeSpng {
  void operator()(spng_ctx* context) const { spng_ctx_free(context); }
};

}  // namespace

void require_svg_to_png() {
  if (run_program("rsvg-convert", {"--version"}) != 0)
    throw UserError("PNG pictures need rsvg-convert, which cannot be started; install librsvg2-bin or keep the SVG");
}

void svg_to_png(const std::string& svg_file, const std::string& png_file) {
  const int status = run_program("rsvg-convert", {"--format=png", "--output=" + png_file, "--", svg_file});
  if (status == 127)
    throw UserError(
        fmt::format("cannot draw {}: rsvg-convert is not installed; install librsvg2-bin or keep the SVG", png_file));
  if (status != 0)
    throw DataError(fmt::format("rsvg-convert could not turn {} into {}; check that both can be accessed", svg_file, png_file));
}

std::vector<std::uint8_t> encode_png(const std::uint8_t* rgb, std::int64_t height, std::int64_t width) {
  SWATH_CHECK(height > 0 && width > 0, "{} x {}", height, width);
  const std::unique_ptr<spng_ctx, FreeSpng> context(spng_ctx_new(SPNG_CTX_ENCODER));
  SWATH_CHECK(context != nullptr);
  spng_ihdr header{};
  header.width = static_cast<std::uint32_t>(width);
  header.height = static_cast<std::uint32_t>(height);
  header.bit_depth = 8;
  header.color_type = SPNG_COLOR_TYPE_TRUECOLOR;
  int error = spng_set_option(context.get(), SPNG_ENCODE_TO_BUFFER, 1);
  if (!error) error = spng_set_ihdr(context.get(), &header);
  if (!error)
    error =
        spng_encode_image(context.get(), rgb, static_cast<std::size_t>(height * width * 3), SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
  std::size_t size = 0;
  const std::unique_ptr<void, decltype(&std::free)> buffer(error ? nullptr : spng_get_png_buffer(context.get(), &size, &error),
                                                           &std::free);
  SWATH_CHECK(!error && buffer, "libspng: {}", spng_strerror(error));
  const auto* bytes = static_cast<const std::uint8_t*>(buffer.get());
  return {bytes, bytes + size};
}

}  // namespace swath
