// A team of threads that carries out one parallel loop after the other.
//
// The caller is a member: a team of N has N - 1 threads of its own. Between two loops a member
// looks for the next one for half a millisecond, more than lies between two instructions of a
// program, then sleeps.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace horizon {

class Threads {
 public:
  using Work = void (*)(const void* context, int member);

  // `count` >= 1, the caller included. Throws std::system_error if the system refuses a thread.
  explicit Threads(int count);
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  int count() const { return static_cast<int>(workers_.size()) + 1; }

  // work(context, member) for each member 0..count-1 once; returns when all are done. From one
  // caller at a time. In a process that was forked off, where the threads are missing, the caller
  // does it all. `work` must not throw.
  void run(Work work, const void* context);

 private:
  void serve(int member);
  void stop();

  std::vector<std::thread> workers_;
  const pid_t owner_;
  Work work_ = nullptr;  // null asks the workers to leave
  const void* context_ = nullptr;
  alignas(64) std::atomic<std::uint32_t> round_{0};    // of the current loop
  alignas(64) std::atomic<std::uint32_t> working_{0};  // workers that have not finished it
};

}  // namespace horizon
