// What every instruction set shares: the constants of a layer, and how the caller's arrays lie in memory.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

enum Surrogate { FAST_SIGMOID = 0, SIGMOID = 1, ATAN = 2, TRIANGULAR = 3, BOX = 4 };
enum Reset { SUBTRACT = 0, ZERO = 1, NONE = 2 };

// Rows of tables and workspaces are padded to whole cache lines.
constexpr int64_t LINE_BYTES = 64;

template <typename S>
inline int64_t padded(int64_t n) {
  constexpr int64_t per_line = LINE_BYTES / sizeof(S);
  return (n + per_line - 1) / per_line * per_line;
}

// Events of one row: cells, and what each holds, or no counts where all hold 1.
struct Events {
  const uint16_t* index;
  const uint8_t* count;
  int64_t n;
};

// A layer over a batch: T time steps of H neurons a sample, arrays [B, T, H] without gaps.
// `forward` is V^T padded, row j the weights from neuron j; `backward` is V padded, row i the weights to neuron i.
template <typename S>
struct Layer {
  int64_t n_steps, n_neurons;
  const S* forward;
  const S* backward;
  S threshold;
  int reset, surrogate;
  S surrogate_parameter;
};

// Neurons with fixed time constants; timing as in the Python class of that name.
template <typename S>
struct Fixed : Layer<S> {
  S alpha, beta;
  int64_t loop, delay;
  bool clear_before_input;
};

// Adaptive neurons: four numbers for each, [H].
template <typename S>
struct Adaptive : Layer<S> {
  const S *alpha, *beta, *a, *b;
};

// Leaky neurons of feature maps, N in all: what is unconnected has no sample of its own. The neurons of the base are
// those of a block. `through_reset`: gradients pass through a reset to zero.
constexpr int64_t MAPS_BLOCK = 1024;
template <typename S>
struct Maps : Layer<S> {
  int64_t n_all;
  S beta;
  bool through_reset;
};

// Leaky integrators that do not spike.
template <typename S>
struct Readout {
  int64_t n_steps, n_classes;
  S alpha, beta;
  bool takes_mean;
};

// Memory that starts at a cache line, zeroed unless that is not wanted.
template <typename S>
class Buffer {
 public:
  explicit Buffer(int64_t size, bool zeroed = true) {
    const size_t bytes = std::max<int64_t>(LINE_BYTES, (size * sizeof(S) + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES);
    data_ = static_cast<S*>(std::aligned_alloc(LINE_BYTES, bytes));
    if (data_ == nullptr) std::abort();
    if (zeroed) std::memset(data_, 0, bytes);
  }
  ~Buffer() { std::free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  S* get() { return data_; }
  S& operator[](int64_t i) { return data_[i]; }

 private:
  S* data_;
};
