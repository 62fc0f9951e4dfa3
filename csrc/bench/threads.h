// Threads that begin at the same time.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

// Seconds by the clock until all of them have done `work`.
template <class Work>
double seconds_of(int threads, const Work& work) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> workers;
  for (int t = 0; t < threads; ++t) {
    workers.emplace_back([&] {
      ++ready;
      while (!go) std::this_thread::yield();
      work();
    });
  }
  while (ready < threads) std::this_thread::yield();
  const auto start = std::chrono::steady_clock::now();
  go = true;
  for (std::thread& worker : workers) worker.join();
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  return passed.count();
}
