#include "executor/threads.h"

#include <sched.h>
#include <unistd.h>

#include <memory>

namespace horizon {
namespace {

// Waking a sleeping thread takes longer than most gaps between two instructions. So a member looks
// for work before it sleeps: first for 20 to 50 microseconds without a break, then for about half a
// millisecond during which it yields the core to others.
constexpr int kSpins = 1000;
constexpr int kYields = 1000;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");  // unlike yield, it takes as long as an x86 pause
#endif
}

// Waits until `value` is no longer `old`; returns the new one.
std::uint32_t wait_for_change(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  for (int i = 0; i < kSpins + kYields; ++i) {
    const std::uint32_t now = value.load(std::memory_order_acquire);
    if (now != old) return now;
    if (i < kSpins) {
      relax();
    } else {
      sched_yield();
    }
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

}  // namespace

Threads::Threads(int count) : owner_(getpid()) {
  workers_.reserve(static_cast<std::size_t>(count - 1));
  try {
    for (int member = 1; member < count; ++member) {
      workers_.emplace_back([this, member] { serve(member); });
    }
  } catch (...) {
    stop();
    throw;
  }
}

Threads::~Threads() { stop(); }

void Threads::stop() {
  if (getpid() != owner_) {
    // A forked process: the workers do not exist here, and their handles may belong to new threads.
    for (std::thread& worker : workers_) std::construct_at(&worker);
    return;
  }
  work_ = nullptr;
  round_.fetch_add(1);
  round_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Threads::run(Work work, const void* context) {
  if (workers_.empty() || getpid() != owner_) {
    for (int member = 0; member < count(); ++member) work(context, member);
    return;
  }
  work_ = work;
  context_ = context;
  working_.store(static_cast<std::uint32_t>(workers_.size()), std::memory_order_relaxed);
  round_.fetch_add(1);
  round_.notify_all();
  work(context, 0);
  std::uint32_t left = working_.load(std::memory_order_acquire);
  while (left != 0) left = wait_for_change(working_, left);
}

void Threads::serve(int member) {
  std::uint32_t round = 0;
  while (true) {
    round = wait_for_change(round_, round);
    if (work_ == nullptr) return;
    work_(context_, member);
    if (working_.fetch_sub(1) == 1) working_.notify_one();
  }
}

}  // namespace horizon
