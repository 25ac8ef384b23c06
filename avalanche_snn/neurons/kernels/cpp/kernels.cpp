// Spiking layers on the CPU: input events, neurons through time, and their gradients.
//
// Everything that does arithmetic is compiled once for each instruction set and chosen when the library is loaded, so
// that one file runs on every machine of its kind. Threads share out samples, or columns where sums run over samples:
// what is computed does not depend on how many there are. The interface is plain C, called through ctypes.

#include "common.h"

namespace {

// What one instruction set offers for one floating point type.
template <typename S>
struct Operations {
  void (*forward_fixed)(const Fixed<S>&, S*, S*);
  void (*backward_fixed)(const Fixed<S>&, int64_t, const S*, const S*, S*);
  void (*forward_adaptive)(const Adaptive<S>&, S*, S*);
  void (*backward_adaptive)(const Adaptive<S>&, int64_t, const S*, const S*, S*, S*);
  void (*add_rows)(const S*, int64_t, Events, S*);
  void (*scatter_row)(S*, int64_t, int64_t, Events, const S*);
  void (*multiply)(const S*, int64_t, int64_t, int64_t, const S*, int64_t, S*);
  int64_t (*list_spikes)(const S*, int64_t, S, uint16_t*);
  void (*integrate)(const Readout<S>&, const S*, S*, int32_t*);
  void (*integrate_backward)(const Readout<S>&, const S*, const int32_t*, S*);
  void (*forward_maps)(const Maps<S>&, int64_t, int64_t, const S*, S*, S*);
  void (*backward_maps)(const Maps<S>&, int64_t, int64_t, const S*, const S*, S*);
  void (*drop)(uint64_t, int64_t, uint32_t, S, const S*, int64_t, S*);
};

namespace plain {
#define VECTOR_BYTES 16
#define MAX_TILE 8
#define MULTIPLY_ROWS 4
#include "instruction_set.inc"
}  // namespace plain

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
namespace avx2 {
#define VECTOR_BYTES 32
#define MAX_TILE 12
#define MULTIPLY_ROWS 4
#include "instruction_set.inc"
}  // namespace avx2
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif
namespace avx512 {
#define VECTOR_BYTES 64
#define MAX_TILE 24
#define MULTIPLY_ROWS 8
#include "instruction_set.inc"
}  // namespace avx512
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

enum InstructionSet { PLAIN, AVX2, AVX512 };

InstructionSet best_instruction_set() {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return avx512 ? AVX512 : avx2 ? AVX2 : PLAIN;
}

InstructionSet chosen = best_instruction_set();

template <typename S>
Operations<S> operations() {
  switch (chosen) {
    case AVX512: return avx512::operations<S>();
    case AVX2: return avx2::operations<S>();
    default: return plain::operations<S>();
  }
}

#else

template <typename S>
Operations<S> operations() { return plain::operations<S>(); }

#endif

// Samples that go back through time together: enough for each weight that is read to be used several times.
constexpr int64_t BLOCK = 8;
// Rows of a dense product that a thread takes at a time.
constexpr int64_t ROWS = 64;

// Columns that belong to one thread: whole cache lines.
template <typename S>
std::pair<int64_t, int64_t> columns_of(int64_t thread, int64_t n_threads, int64_t stride) {
  constexpr int64_t per_line = LINE_BYTES / sizeof(S);
  const int64_t n_lines = stride / per_line;
  return {n_lines * thread / n_threads * per_line, n_lines * (thread + 1) / n_threads * per_line};
}

// Events of many rows: those of row r from starts[r] to ends[r]. They come in groups of rows; of each group, the first
// n_used go with the rows `shift` further on in another array.
struct Rows {
  const uint16_t* index;
  const uint8_t* count;
  const int64_t *starts, *ends;
  int64_t n_groups, group_size, n_used, shift;

  Events of(int64_t row) const {
    return {index + starts[row], count ? count + starts[row] : nullptr, ends[row] - starts[row]};
  }
};

// What the cells seem to hold multiples of: 1, or the least that some of them hold where not all are counts, as behind
// a dropout.
template <typename X>
X unit_of(const X* x, int64_t n) {
  X least = X(0);
  bool counts = true;
  for (int64_t i = 0, n_seen = 0; i < n && n_seen < 256; ++i) {
    if (x[i] == X(0)) continue;
    if (!(x[i] > X(0))) return X(1);
    counts &= x[i] < X(256) && X(uint8_t(x[i])) == x[i];
    least = n_seen++ == 0 ? x[i] : std::min(least, x[i]);
  }
  return counts ? X(1) : least;
}

// Returns how many events there are, or -1 as list_events does; `counted` is whether any cell holds more than a unit.
template <typename X>
int64_t list_all_events(const X* x, int64_t n_rows, int64_t n_cells, X unit, uint16_t* index, uint8_t* count,
                        int64_t room, int64_t* starts, int32_t* counted, int n_threads) {
  const int64_t n_parts = std::max<int64_t>(1, std::min<int64_t>(n_threads, n_rows));
  std::vector<int64_t> totals(n_parts, 0);
  std::vector<char> more(n_parts, 0);
  // Every part of the rows fills a part of the room; the parts are moved together afterwards.
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t part = 0; part < n_parts; ++part) {
    const int64_t offset = room * part / n_parts, space = room * (part + 1) / n_parts - offset;
    int64_t n = 0;
    bool any = false;
    for (int64_t row = n_rows * part / n_parts; row < n_rows * (part + 1) / n_parts && n >= 0; ++row) {
      starts[row] = n;
      const int64_t found =
          plain::list_events(x + row * n_cells, n_cells, unit, index + offset + n, count + offset + n, space - n, any);
      n = found < 0 ? -1 : n + found;
    }
    totals[part] = n;
    more[part] = any;
  }
  int64_t n = 0;
  *counted = 0;
  for (int64_t part = 0; part < n_parts; ++part) {
    if (totals[part] < 0) {
      // One part may be denser than all together: how many threads there are must not decide what becomes of them.
      return n_parts == 1 ? -1 : list_all_events(x, n_rows, n_cells, unit, index, count, room, starts, counted, 1);
    }
    std::memmove(index + n, index + room * part / n_parts, totals[part] * sizeof(uint16_t));
    std::memmove(count + n, count + room * part / n_parts, totals[part] * sizeof(uint8_t));
    for (int64_t row = n_rows * part / n_parts; row < n_rows * (part + 1) / n_parts; ++row) starts[row] += n;
    n += totals[part];
    *counted |= more[part];
  }
  starts[n_rows] = n;
  return n;
}

template <typename S>
void project(const Rows& events, int64_t n_neurons, const S* table, const S* bias, S* currents, int n_threads) {
  const int64_t stride = padded<S>(n_neurons);
  const auto add_rows = operations<S>().add_rows;
#pragma omp parallel num_threads(n_threads)
  {
    Buffer<S> sum(stride);
#pragma omp for schedule(static)
    for (int64_t row = 0; row < events.group_size; ++row) {
      if (bias != nullptr) std::memcpy(sum.get(), bias, n_neurons * sizeof(S));
      else std::memset(sum.get(), 0, stride * sizeof(S));
      add_rows(table, stride, events.of(row), sum.get());
      std::memcpy(currents + row * n_neurons, sum.get(), n_neurons * sizeof(S));
    }
  }
}

// product [n_rows, n_out] = a [n_rows, n_inner] table [n_inner, padded n_out] (+ bias [n_out]).
template <typename S>
void product(const S* a, int64_t n_rows, int64_t n_inner, int64_t n_out, const S* table, const S* bias, S* out,
             int n_threads) {
  const int64_t stride = padded<S>(n_out);
  const auto multiply = operations<S>().multiply;
#pragma omp parallel num_threads(n_threads)
  {
    Buffer<S> block(ROWS * stride);
#pragma omp for schedule(static)
    for (int64_t from = 0; from < n_rows; from += ROWS) {
      const int64_t n = std::min(ROWS, n_rows - from);
      multiply(a + from * n_inner, n, n_inner, n_inner, table, stride, block.get());
      for (int64_t row = 0; row < n; ++row) {
        S* target = out + (from + row) * n_out;
        const S* source = block.get() + row * stride;
        if (bias == nullptr) std::memcpy(target, source, n_out * sizeof(S));
        else
          for (int64_t i = 0; i < n_out; ++i) target[i] = source[i] + bias[i];
      }
    }
  }
}

// table [n_cells, padded H] = sum over rows of events^T grad.
template <typename S>
void scatter(const Rows& events, int64_t n_cells, int64_t n_neurons, const S* grad, S* table, int n_threads) {
  const int64_t stride = padded<S>(n_neurons);
  const auto scatter_row = operations<S>().scatter_row;
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int thread = 0; thread < n_threads; ++thread) {
    const auto [from, to] = columns_of<S>(thread, n_threads, stride);
    if (from == to) continue;
    const int64_t width = to - from, n_there = std::min(to, n_neurons) - from;
    // Sums of one's own, copied at the end: neighbouring lines that two cores write at a time slow both down.
    Buffer<S> sums(n_cells * width), whole(width);
    for (int64_t group = 0; group < events.n_groups; ++group)
      for (int64_t row = group * events.group_size; row < group * events.group_size + events.n_used; ++row) {
        const Events here = events.of(row);
        if (here.n == 0) continue;
        const S* values = grad + (row + events.shift) * n_neurons + from;
        if (n_there < width) {  // columns that are there for padding only
          std::memcpy(whole.get(), values, n_there * sizeof(S));
          values = whole.get();
        }
        scatter_row(sums.get(), width, width, here, values);
      }
    for (int64_t cell = 0; cell < n_cells; ++cell)
      std::memcpy(table + cell * stride + from, sums.get() + cell * width, width * sizeof(S));
  }
}

// grad_table [H (from), padded H (to)] = sum over t of S[t]^T dI[t + loop], the spikes S told by the membranes.
template <typename S>
void recurrent_backward(const Layer<S>& layer, int64_t loop, int64_t delay, int64_t n_samples, const S* membranes,
                        const S* grad, S* grad_table, int n_threads) {
  const int64_t T = layer.n_steps, H = layer.n_neurons, n_used = T - delay - loop;
  if (n_used <= 0) return;
  const auto list_spikes = operations<S>().list_spikes;
  const int64_t n_rows = n_samples * T;
  Buffer<uint16_t> index(n_rows * H, false);
  std::vector<int64_t> starts(n_rows), ends(n_rows);
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int thread = 0; thread < n_threads; ++thread) {
    const int64_t from = n_rows * thread / n_threads, to = n_rows * (thread + 1) / n_threads;
    int64_t n = from * H;
    for (int64_t row = from; row < to; ++row) {
      starts[row] = n;
      ends[row] = n += list_spikes(membranes + row * H, H, layer.threshold, index.get() + n);
    }
  }
  scatter(Rows{index.get(), nullptr, starts.data(), ends.data(), n_samples, T, n_used, loop}, H, H, grad, grad_table,
          n_threads);
}

template <typename S>
void run_fixed(const Fixed<S>& layer, int64_t n_samples, S* currents, S* spikes, int n_threads) {
  const auto forward = operations<S>().forward_fixed;
  const int64_t size = layer.n_steps * layer.n_neurons;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 4)
  for (int64_t sample = 0; sample < n_samples; ++sample) forward(layer, currents + sample * size, spikes + sample * size);
}

template <typename S>
void run_fixed_backward(const Fixed<S>& layer, int64_t n_samples, const S* membranes, const S* grad_spikes,
                        S* grad_currents, int n_threads) {
  const auto backward = operations<S>().backward_fixed;
  const int64_t size = layer.n_steps * layer.n_neurons;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic)
  for (int64_t from = 0; from < n_samples; from += BLOCK)
    backward(layer, std::min(BLOCK, n_samples - from), membranes + from * size, grad_spikes + from * size,
             grad_currents + from * size);
}

template <typename S>
void run_adaptive(const Adaptive<S>& layer, int64_t n_samples, S* currents, S* spikes, int n_threads) {
  const auto forward = operations<S>().forward_adaptive;
  const int64_t size = layer.n_steps * layer.n_neurons;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 4)
  for (int64_t sample = 0; sample < n_samples; ++sample) forward(layer, currents + sample * size, spikes + sample * size);
}

// sums [blocks, 4, H]: gradients of alpha, beta, a, b of every block of samples.
template <typename S>
void run_adaptive_backward(const Adaptive<S>& layer, int64_t n_samples, const S* membranes, const S* grad_spikes,
                           S* grad_currents, S* sums, int n_threads) {
  const auto backward = operations<S>().backward_adaptive;
  const int64_t size = layer.n_steps * layer.n_neurons;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic)
  for (int64_t from = 0; from < n_samples; from += BLOCK)
    backward(layer, std::min(BLOCK, n_samples - from), membranes + from * size, grad_spikes + from * size,
             grad_currents + from * size, sums + from / BLOCK * 4 * layer.n_neurons);
}

template <typename S>
void integrate_all(const Readout<S>& readout, int64_t n_samples, const S* currents, S* logits, int32_t* when,
                   int n_threads) {
  const auto integrate = operations<S>().integrate;
  const int64_t K = readout.n_classes, size = readout.n_steps * K;
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t sample = 0; sample < n_samples; ++sample)
    integrate(readout, currents + sample * size, logits + sample * K, when + sample * K);
}

template <typename S>
void integrate_all_backward(const Readout<S>& readout, int64_t n_samples, const S* grad_logits, const int32_t* when,
                            S* grad_currents, int n_threads) {
  const auto backward = operations<S>().integrate_backward;
  const int64_t K = readout.n_classes, size = readout.n_steps * K;
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t sample = 0; sample < n_samples; ++sample)
    backward(readout, grad_logits + sample * K, when + sample * K, grad_currents + sample * size);
}

template <typename S>
void run_maps(const Maps<S>& maps, const S* currents, S* membranes, S* spikes, int n_threads) {
  const auto forward = operations<S>().forward_maps;
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t from = 0; from < maps.n_all; from += MAPS_BLOCK)
    forward(maps, from, std::min(MAPS_BLOCK, maps.n_all - from), currents, membranes, spikes);
}

template <typename S>
void run_maps_backward(const Maps<S>& maps, const S* membranes, const S* grad_spikes, S* grad_currents, int n_threads) {
  const auto backward = operations<S>().backward_maps;
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t from = 0; from < maps.n_all; from += MAPS_BLOCK)
    backward(maps, from, std::min(MAPS_BLOCK, maps.n_all - from), membranes, grad_spikes, grad_currents);
}

template <typename S>
void drop_all(uint64_t seed, uint32_t threshold, S scale, int64_t n, const S* x, S* out, int n_threads) {
  const auto drop = operations<S>().drop;
  constexpr int64_t SIZE = plain::DROP_BLOCK;
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t block = 0; block < (n + SIZE - 1) / SIZE; ++block) {
    const int64_t from = block * SIZE;
    drop(seed, block, threshold, scale, x + from, std::min(SIZE, n - from), out + from);
  }
}

}  // namespace

// ---- what Python calls; the structures are mirrored in cpp_library.py ----

struct FixedArguments {
  int64_t n_samples, n_steps, n_neurons, loop, delay;
  int32_t clear_before_input, reset, surrogate, n_threads;
  double threshold, surrogate_parameter, alpha, beta;
  const void *forward, *backward;
};

struct AdaptiveArguments {
  int64_t n_samples, n_steps, n_neurons;
  int32_t reset, surrogate, n_threads, unused;
  double threshold, surrogate_parameter;
  const void *alpha, *beta, *a, *b, *forward, *backward;
};

struct MapsArguments {
  int64_t n_steps, n_neurons;
  int32_t reset, surrogate, through_reset, n_threads;
  double threshold, surrogate_parameter, beta;
};

namespace {

template <typename S, typename Arguments>
void fill_neurons(Layer<S>& layer, const Arguments& given) {
  layer.n_steps = given.n_steps;
  layer.n_neurons = given.n_neurons;
  layer.threshold = S(given.threshold);
  layer.reset = given.reset;
  layer.surrogate = given.surrogate;
  layer.surrogate_parameter = S(given.surrogate_parameter);
}

template <typename S, typename Arguments>
void fill(Layer<S>& layer, const Arguments& given) {
  fill_neurons(layer, given);
  layer.forward = static_cast<const S*>(given.forward);
  layer.backward = static_cast<const S*>(given.backward);
}

template <typename S>
Fixed<S> fixed_layer(const FixedArguments& given) {
  Fixed<S> layer;
  fill(layer, given);
  layer.alpha = S(given.alpha);
  layer.beta = S(given.beta);
  layer.loop = given.loop;
  layer.delay = given.delay;
  layer.clear_before_input = given.clear_before_input != 0;
  return layer;
}

template <typename S>
Adaptive<S> adaptive_layer(const AdaptiveArguments& given) {
  Adaptive<S> layer;
  fill(layer, given);
  layer.alpha = static_cast<const S*>(given.alpha);
  layer.beta = static_cast<const S*>(given.beta);
  layer.a = static_cast<const S*>(given.a);
  layer.b = static_cast<const S*>(given.b);
  return layer;
}

template <typename S>
Maps<S> maps_of(const MapsArguments& given) {
  Maps<S> maps;
  fill_neurons(maps, given);
  maps.forward = maps.backward = nullptr;
  maps.n_all = given.n_neurons;
  maps.beta = S(given.beta);
  maps.through_reset = given.through_reset != 0;
  return maps;
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

#define EXPORT_EVENTS(name, X)                                                                                 \
  EXPORT int64_t list_events_##name(const X* x, int64_t n_rows, int64_t n_cells, uint16_t* index, uint8_t* count, \
                                    int64_t room, int64_t* starts, int32_t* counted, double* unit,             \
                                    int32_t n_threads) {                                                       \
    const X found = unit_of(x, n_rows * n_cells);                                                              \
    *unit = double(found);                                                                                     \
    return list_all_events(x, n_rows, n_cells, found, index, count, room, starts, counted, n_threads);         \
  }

#define EXPORT_LAYERS(name, S)                                                                                 \
  EXPORT void project_##name(const uint16_t* index, const uint8_t* count, const int64_t* starts, int64_t n_rows, \
                             int64_t n_neurons, const S* table, const S* bias, S* currents, int32_t n_threads) { \
    project(Rows{index, count, starts, starts + 1, 1, n_rows, n_rows, 0}, n_neurons, table, bias, currents,    \
            n_threads);                                                                                        \
  }                                                                                                            \
  EXPORT void product_##name(const S* a, int64_t n_rows, int64_t n_inner, int64_t n_out, const S* table,       \
                             const S* bias, S* out, int32_t n_threads) {                                       \
    product<S>(a, n_rows, n_inner, n_out, table, bias, out, n_threads);                                        \
  }                                                                                                            \
  EXPORT void project_backward_##name(const uint16_t* index, const uint8_t* count, const int64_t* starts,      \
                                      int64_t n_rows, int64_t n_cells, int64_t n_neurons, const S* grad,       \
                                      S* grad_table,                                                           \
                                      int32_t n_threads) {                                                     \
    scatter(Rows{index, count, starts, starts + 1, 1, n_rows, n_rows, 0}, n_cells, n_neurons, grad, grad_table, n_threads); \
  }                                                                                                            \
  EXPORT void run_fixed_##name(const FixedArguments* given, S* currents, S* spikes) {                          \
    run_fixed(fixed_layer<S>(*given), given->n_samples, currents, spikes, given->n_threads);                   \
  }                                                                                                            \
  EXPORT void run_fixed_backward_##name(const FixedArguments* given, const S* membranes, const S* grad_spikes, \
                                        S* grad_currents, S* grad_table) {                                     \
    const auto layer = fixed_layer<S>(*given);                                                                 \
    run_fixed_backward(layer, given->n_samples, membranes, grad_spikes, grad_currents, given->n_threads);      \
    if (grad_table != nullptr)                                                                                 \
      recurrent_backward<S>(layer, layer.loop, layer.delay, given->n_samples, membranes, grad_currents,        \
                            grad_table, given->n_threads);                                                     \
  }                                                                                                            \
  EXPORT void run_adaptive_##name(const AdaptiveArguments* given, S* currents, S* spikes) {                    \
    run_adaptive(adaptive_layer<S>(*given), given->n_samples, currents, spikes, given->n_threads);             \
  }                                                                                                            \
  EXPORT void run_adaptive_backward_##name(const AdaptiveArguments* given, const S* membranes,                 \
                                           const S* grad_spikes, S* grad_currents, S* sums, S* grad_table) {   \
    const auto layer = adaptive_layer<S>(*given);                                                              \
    run_adaptive_backward(layer, given->n_samples, membranes, grad_spikes, grad_currents, sums,                \
                          given->n_threads);                                                                   \
    if (grad_table != nullptr)                                                                                 \
      recurrent_backward<S>(layer, 1, 0, given->n_samples, membranes, grad_currents, grad_table,               \
                            given->n_threads);                                                                 \
  }                                                                                                            \
  EXPORT void run_maps_##name(const MapsArguments* given, const S* currents, S* membranes, S* spikes) {        \
    run_maps(maps_of<S>(*given), currents, membranes, spikes, given->n_threads);                               \
  }                                                                                                            \
  EXPORT void run_maps_backward_##name(const MapsArguments* given, const S* membranes, const S* grad_spikes,   \
                                       S* grad_currents) {                                                     \
    run_maps_backward(maps_of<S>(*given), membranes, grad_spikes, grad_currents, given->n_threads);            \
  }                                                                                                            \
  EXPORT void integrate_##name(const S* currents, int64_t n_samples, int64_t n_steps, int64_t n_classes,       \
                               double alpha, double beta, int32_t takes_mean, S* logits, int32_t* when,        \
                               int32_t n_threads) {                                                            \
    const Readout<S> readout{n_steps, n_classes, S(alpha), S(beta), takes_mean != 0};                          \
    integrate_all(readout, n_samples, currents, logits, when, n_threads);                                      \
  }                                                                                                            \
  EXPORT void integrate_backward_##name(const S* grad_logits, int64_t n_samples, int64_t n_steps,              \
                                        int64_t n_classes, double alpha, double beta, int32_t takes_mean,      \
                                        const int32_t* when, S* grad_currents, int32_t n_threads) {            \
    const Readout<S> readout{n_steps, n_classes, S(alpha), S(beta), takes_mean != 0};                          \
    integrate_all_backward(readout, n_samples, grad_logits, when, grad_currents, n_threads);                   \
  }                                                                                                            \
  EXPORT void drop_##name(uint64_t seed, uint32_t threshold, double scale, int64_t n, const S* x, S* out,      \
                          int32_t n_threads) {                                                                 \
    drop_all(seed, threshold, S(scale), n, x, out, n_threads);                                                 \
  }

EXPORT_EVENTS(u8, uint8_t)
EXPORT_EVENTS(f32, float)
EXPORT_EVENTS(f64, double)
EXPORT_LAYERS(f32, float)
EXPORT_LAYERS(f64, double)

EXPORT int64_t samples_of_a_block() { return BLOCK; }

// The instruction sets that run here, the best last; for tests, which try all of them.
EXPORT int32_t best_set() {
#if defined(__x86_64__)
  return best_instruction_set();
#else
  return 0;
#endif
}

EXPORT void use_set(int32_t set) {
#if defined(__x86_64__)
  chosen = static_cast<InstructionSet>(set);
#else
  (void)set;
#endif
}
