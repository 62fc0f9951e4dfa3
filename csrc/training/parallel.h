// What the training operators share: vectors of pixels, several instruction sets, a thread per
// image.
#pragma once

#include <algorithm>
#include <functional>
#include <thread>
#include <vector>

// The same source compiled for several instruction sets; the loader chooses.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define HORIZON_FOR_EACH_CPU \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define HORIZON_FOR_EACH_CPU
#endif

namespace horizon::training {

// work(image) for every image, each in one thread: what it writes depends on no other image.
inline void for_each_image(int images, int threads, const std::function<void(int)>& work) {
  threads = std::clamp(threads, 1, std::max(images, 1));
  auto share = [&](int thread) {
    for (int image = thread; image < images; image += threads) work(image);
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(share, thread);
  share(0);
  for (std::thread& other : others) other.join();
}

}  // namespace horizon::training
