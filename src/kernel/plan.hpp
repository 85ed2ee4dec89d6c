// What the kernel runs: a compiled circuit as flat lists. Basis states keep one numbering throughout; a rotation of a
// parity of qubits is a set of XORed offsets, so no permutation ever moves an amplitude.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <utility>
#include <vector>

namespace qdllm {

// Rotations made at once in registers, of 2^width amplitudes: those at base ^ offsets[j], where bit i of j is the qubit
// of rotation i. Offsets and walks count reals, not amplitudes.
struct Group {
    std::vector<uint32_t> angles;
    std::vector<uint64_t> offsets;
    std::vector<uint64_t> walk;  // from one set of amplitudes to the others of the sweep
};

// Groups that one sweep over the state applies, piece by piece in the first-level cache.
struct Sweep {
    std::vector<Group> groups;
    std::vector<uint64_t> walk;  // from one piece to the others
};

struct Stage {
    bool diagonal = false;
    // Diagonal: the phase of state k is half the sum of +-angle by the parity of k & mask.
    std::vector<uint64_t> masks;
    std::vector<uint32_t> angles;
    bool of_sample = false;  // an angle depends on inputs: every sample has its own phases
    uint32_t table = 0;      // else: which shared table holds them
    // Local: its rotations.
    std::vector<Sweep> forward, backward;
};

// A term of an affine dependence: angle += coefficient * source[column].
struct Dependence {
    uint32_t angle, column;
    double coefficient;
};

// The XORs of subsets of some masks, as two short tables.
struct Span {
    std::vector<uint64_t> low{0}, high{0};

    void set(const std::vector<uint64_t> &masks) {
        const size_t half = masks.size() / 2;
        low.assign(1, 0);
        high.assign(1, 0);
        for (size_t i = 0; i < masks.size(); ++i) {
            std::vector<uint64_t> &part = i < half ? low : high;
            for (size_t j = 0, n = part.size(); j < n; ++j) part.push_back(part[j] ^ masks[i]);
        }
    }
};

// A term of an observable: value[observable] += coefficient * string.
struct Reading {
    uint32_t observable;
    uint64_t string;  // over the bits of the readout's numbers
    double coefficient;
};

// The strings that flip the same qubits: one pass over pairs of states k and k ^ top. It numbers states anew, so that
// strings are few bits: only the first `rank` are ever read; `single` says that every string is at most one of them.
struct Readout {
    // Z strings weight each state's square; others a pair's real or imaginary part, of psi[k]* psi[k ^ top], and top is
    // what they flip.
    enum { squares, real, imaginary } reads = squares;
    Span rest;  // from a number without its last bit to the state
    uint64_t top = 0;  // the last bit's
    uint32_t rank = 0;
    bool single = true;
    std::vector<Reading> readings;

    uint32_t kept_bits() const { return single ? 0 : rank; }  // left for a transform; the others are folded
};

struct Plan {
    uint32_t n_qubits = 0, n_inputs = 0, n_parameters = 0, n_observables = 0, n_tables = 0;
    std::vector<double> constants;     // per angle
    std::vector<uint8_t> of_sample;    // per angle: depends on an input
    std::vector<Dependence> inputs, parameters;
    std::vector<uint32_t> product_angles;  // rotations of |0...0>
    Span product;                          // the states they reach
    std::vector<Stage> stages;
    std::vector<Readout> readouts;  // the first: Z strings

    uint64_t size() const { return uint64_t(1) << n_qubits; }
    uint64_t n_angles() const { return constants.size(); }
};

// What a forward run leaves for its gradient.
template <class Real>
struct Kept {
    Real *states;   // (blocks, 2^n, 2, lanes), or null
    Real *tables;   // (n_tables, 2, 2^n): cos and sin of the shared phases
    double *angles; // (n_angles): without their inputs' part
};

template <class Real>
struct Call {
    const Plan &plan;
    Kept<Real> kept;
    uint64_t batch;
    uint32_t threads;
    const Real *inputs;            // (batch, n_inputs)
    const Real *parameters;        // (n_parameters)
    Real *values;                  // forward: (batch, n_observables)
    const Real *weights;           // backward: the gradient of the values
    Real *input_gradients;         // (batch, n_inputs)
    Real *parameter_gradients;     // (n_parameters)
};

// products[parent] times a factor; factor 2j is the sine of variable j, 2j + 1 its cosine.
struct Product {
    uint32_t parent, factor;
};

// A trigonometric polynomial of a sample's angles. Without ranks it is the sum of terms left[a] * right[b], where entry
// 0 of either half is 1 and the others are its products in order, and numbers are the coefficients (outputs / 4, terms,
// 4), zero where there is no output. With ranks, one a variable, it is a tensor train: numbers are the matrix (outputs,
// ranks[0]) and for each variable a core (its rank, {1, sine, cosine}, the next rank), the last of which is 1.
template <class Real>
struct Formula {
    uint32_t n_variables = 0, n_outputs = 0;
    std::vector<Product> left, right;
    std::vector<std::pair<uint32_t, uint32_t>> terms;
    std::vector<uint32_t> ranks;
    std::vector<Real> numbers;
};

// What an instruction set offers: vectors of `lanes` samples, passes of up to so many rotations.
template <class Real>
struct Kernel {
    uint32_t lanes, forward_width, backward_width;
    void (*forward)(const Call<Real> &);
    void (*backward)(const Call<Real> &);
    void (*evaluate)(const Formula<Real> &, const Real *angles, uint64_t batch, Real *values);
};

struct InstructionSet {
    const char *name;
    Kernel<float> single_precision;
    Kernel<double> double_precision;
};

extern const InstructionSet baseline, avx2, avx512;

// Aligned memory from a small pool, so that a training step does not ask the system for the same pages again.
void *take(uint64_t bytes);
void give(void *memory, uint64_t bytes);

// Call body(context, worker, begin, end) for consecutive parts of [0, count), one a worker, at once.
typedef void (*Body)(void *context, uint32_t worker, uint64_t begin, uint64_t end);
void parallel(uint64_t count, uint32_t workers, Body body, void *context);

}  // namespace qdllm
