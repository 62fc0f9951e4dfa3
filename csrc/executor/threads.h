// A team of threads that runs one parallel loop after the other.
//
// The caller is a member, so a team of N has N - 1 threads of its own. After a loop, a member looks
// for the next one for half a millisecond, longer than the gap between two instructions of a
// program. Then it sleeps.
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

  // Calls work(context, member) once for each member 0..count-1; returns when all are done. Only
  // one caller at a time. In a forked process, which lacks the threads, the caller does all the
  // work. `work` must not throw.
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
