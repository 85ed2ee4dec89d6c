// Values of Pauli strings from a state, and the adjoint state that their gradient starts from.
#pragma once

#include <algorithm>
#include <cstring>

#include "walsh_hadamard.hpp"
#include "workspace.hpp"

namespace qdllm {
namespace {

template <class L>
V<L> squared(const Amplitude<L> &a) { return a.re * a.re + a.im * a.im; }

// Visit the pairs of states that differ in the readout's last bit.
template <class Function>
void visit_pairs(const Readout &readout, Function body) {
    uint64_t y = 0;
    for (const uint64_t high : readout.rest.high)
        for (const uint64_t low : readout.rest.low) body(y++, high ^ low, high ^ low ^ readout.top);
}

// Where a string's sum stands once its readout's sums are made, and its weight before they are spread.
template <class L>
V<L> &place(const Workspace<L> &w, const Readout &readout, uint64_t string) {
    return readout.single && string ? w.weights[__builtin_ctzll(string)] : w.scratch[string];
}

// What a readout's strings weight by +-1 and sum, into scratch; return how many bits of its numbers are left there.
template <class L>
uint32_t correlate(Workspace<L> &w, const Readout &readout, uint32_t n_qubits, const Amplitude<L> *state) {
    V<L> *p = w.scratch;
    switch (readout.reads) {
    case Readout::real:
        visit_pairs(readout, [&](uint64_t y, uint64_t k0, uint64_t k1) {
            p[y] = state[k0].re * state[k1].re + state[k0].im * state[k1].im;
        });
        break;
    case Readout::imaginary:
        visit_pairs(readout, [&](uint64_t y, uint64_t k0, uint64_t k1) {
            p[y] = state[k0].re * state[k1].im - state[k0].im * state[k1].re;
        });
        break;
    case Readout::squares:
        if (readout.kept_bits() == n_qubits) {
            const uint64_t half = uint64_t(1) << (n_qubits - 1);
            visit_pairs(readout, [&](uint64_t y, uint64_t k0, uint64_t k1) {
                p[y] = squared(state[k0]);
                p[y + half] = squared(state[k1]);
            });
            return n_qubits;
        }
        V<L> sum{};
        visit_pairs(readout, [&](uint64_t y, uint64_t k0, uint64_t k1) {
            const V<L> a = squared(state[k0]), b = squared(state[k1]);
            sum += a - b;
            p[y] = a + b;
        });
        w.weights[n_qubits - 1] = sum;
    }
    return n_qubits - 1;
}

// Sums of all strings over the numbers' first `bits` bits.
template <class L>
void sum_strings(Workspace<L> &w, const Readout &readout, uint32_t bits) {
    V<L> *p = w.scratch;
    for (uint32_t bit = bits; bit-- > readout.kept_bits();) {
        const uint64_t half = uint64_t(1) << bit;
        V<L> sum{};
        for (uint64_t y = 0; y < half; ++y) {
            const V<L> a = p[y], b = p[y + half];
            sum += a - b;
            p[y] = a + b;
        }
        w.weights[bit] = sum;
    }
    if (!readout.single) walsh_hadamard(p, uint64_t(1) << readout.rank);
}

// The observables of one block of samples.
template <class L>
void read(Workspace<L> &w, const Call<Real<L>> &call, const Amplitude<L> *state, V<L> scale, uint64_t first) {
    const Plan &plan = call.plan;
    const uint64_t end = std::min(first + L::lanes, call.batch);
    std::fill(call.values + first * plan.n_observables, call.values + end * plan.n_observables, Real<L>(0));
    for (const Readout &readout : plan.readouts) {
        if (readout.readings.empty()) continue;
        sum_strings(w, readout, correlate(w, readout, plan.n_qubits, state));
        const V<L> square = scale * scale * Real<L>(readout.reads == Readout::squares ? 1 : 2);  // a pair counts twice
        for (uint64_t sample = first; sample < end; ++sample) {
            Real<L> *values = call.values + sample * plan.n_observables;
            for (const Reading &r : readout.readings)
                values[r.observable] +=
                    Real<L>(r.coefficient) * square[sample - first] * place(w, readout, r.string)[sample - first];
        }
    }
}

// Each sample's weighted sum of a readout's strings, of every number but for its last bit; return that bit's weight.
template <class L>
V<L> spread_weights(Workspace<L> &w, const Call<Real<L>> &call, const Readout &readout, uint64_t first) {
    const uint32_t n_qubits = call.plan.n_qubits, kept = readout.kept_bits();
    V<L> *p = w.scratch;
    std::memset(static_cast<void *>(w.weights), 0, n_qubits * sizeof(V<L>));
    std::memset(static_cast<void *>(p), 0, (uint64_t(1) << kept) * sizeof(V<L>));
    for (uint64_t sample = first; sample < std::min(first + L::lanes, call.batch); ++sample) {
        const Real<L> *weights = call.weights + sample * call.plan.n_observables;
        for (const Reading &r : readout.readings)
            place(w, readout, r.string)[sample - first] += Real<L>(r.coefficient) * weights[r.observable];
    }
    if (!readout.single) walsh_hadamard(p, uint64_t(1) << readout.rank);
    for (uint32_t bit = kept; bit + 1 < n_qubits; ++bit)
        for (uint64_t y = 0, half = uint64_t(1) << bit; y < half; ++y) {
            const V<L> value = p[y];
            p[y + half] = value - w.weights[bit];
            p[y] = value + w.weights[bit];
        }
    return w.weights[n_qubits - 1];
}

// The adjoint state, the weighted sum of observables times the state; and a copy of the state to work on.
template <class L>
void seed(Workspace<L> &w, const Call<Real<L>> &call, const Amplitude<L> *state, V<L> scale, uint64_t first) {
    const uint32_t n_qubits = call.plan.n_qubits;
    const V<L> *p = w.scratch;
    for (const Readout &readout : call.plan.readouts) {
        const V<L> sum = spread_weights(w, call, readout, first);
        // Where the transform has gone over the last bit, both its values' weights are there.
        const uint64_t half = readout.kept_bits() == n_qubits ? uint64_t(1) << (n_qubits - 1) : 0;
        visit_pairs(readout, [&](uint64_t y, uint64_t k0, uint64_t k1) {
            if (readout.reads == Readout::squares) {
                for (const uint64_t k : {k0, k1}) {
                    const V<L> d = k == k0 ? p[y] + sum : p[y + half] - sum;
                    const Amplitude<L> a = {scale * state[k].re, scale * state[k].im};
                    w.state[k] = a;
                    w.adjoint[k] = {d * a.re, d * a.im};
                }
                return;
            }
            const Amplitude<L> a = w.state[k0], b = w.state[k1];
            if (readout.reads == Readout::real) {
                w.adjoint[k0].re += p[y] * b.re;
                w.adjoint[k0].im += p[y] * b.im;
                w.adjoint[k1].re += p[y] * a.re;
                w.adjoint[k1].im += p[y] * a.im;
            } else {
                w.adjoint[k0].re += p[y] * b.im;
                w.adjoint[k0].im -= p[y] * b.re;
                w.adjoint[k1].re -= p[y] * a.im;
                w.adjoint[k1].im += p[y] * a.re;
            }
        });
    }
}

}  // namespace
}  // namespace qdllm
