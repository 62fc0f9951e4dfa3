// Code that the training operators share: vectors of pixels, compilation for several instruction
// sets, one thread per image.
#pragma once

#include <algorithm>
#include <functional>
#include <thread>
#include <vector>

// Compiles the same source for several instruction sets; the dynamic loader chooses one.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define HORIZON_FOR_EACH_CPU \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define HORIZON_FOR_EACH_CPU
#endif

namespace horizon::training {

// Calls work(image) for every image, each in one thread. The results for an image must not depend
// on other images.
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
