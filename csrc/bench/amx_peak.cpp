// How many int8 multiply-accumulates per second the cores can do with AMX: TDPBSSD on tiles alone.
//
// Four tiles of sums, more than latency over throughput asks for, and nothing is loaded or stored
// in the loop. benchmarks/peaks.py builds this, checks the machine code and calls it.
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

#include "threads.h"

namespace {

constexpr long kMacsPerStep = 4L * 16 * 16 * 64;

__attribute__((noinline)) void steps(long count) {
  struct alignas(64) {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } shapes;
  asm volatile("" ::"m"(shapes));
  _tile_loadconfig(&shapes);
  for (long i = 0; i < count; ++i) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
}

}  // namespace

// Seconds by the clock in which `threads` threads do `count` steps each; negative without
// permission to use tiles.
extern "C" double peak_seconds(int threads, long count) {
  constexpr long kRequestPermission = 0x1023, kTileContents = 18;
  if (syscall(SYS_arch_prctl, kRequestPermission, kTileContents) != 0) return -1;
  return seconds_of(threads, [count] { steps(count); });
}

extern "C" long peak_macs_per_step() { return kMacsPerStep; }
