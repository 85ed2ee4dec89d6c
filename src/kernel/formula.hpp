// A student's classical formula, on blocks of samples: products of sines and cosines, or a tensor train of them.
#pragma once

#include <algorithm>

#include "workspace.hpp"

namespace qdllm {
namespace {

template <class L>
void fill_products(V<L> *products, const std::vector<Product> &plan, const V<L> *factors) {
    products[0] = L::all(1);
    for (size_t i = 0; i < plan.size(); ++i) products[i + 1] = products[plan[i].parent] * factors[plan[i].factor];
}

// Outputs of one block by the sum of products, `tile` of them at once in registers.
constexpr uint32_t tile = 4;
template <class L>
void sum_products(const Formula<Real<L>> &f, const V<L> *left, const V<L> *right, V<L> *outputs) {
    for (uint32_t first = 0; first < f.n_outputs; first += tile) {
        V<L> sums[tile] = {};
        const Real<L> *coefficients = f.numbers.data() + first * f.terms.size();
        for (const auto &[a, b] : f.terms) {
            const V<L> product = left[a] * right[b];
            for (uint32_t i = 0; i < tile; ++i) sums[i] += product * coefficients[i];
            coefficients += tile;
        }
        for (uint32_t i = 0; i < std::min(tile, f.n_outputs - first); ++i) outputs[first + i] = sums[i];
    }
}

// Outputs of one block by contracting the train from its end; `other` holds every second vector.
template <class L>
void contract(const Formula<Real<L>> &f, const V<L> *factors, V<L> *vector, V<L> *other, V<L> *outputs) {
    const Real<L> *end = f.numbers.data() + f.numbers.size();
    vector[0] = L::all(1);
    uint32_t columns = 1;
    for (uint32_t j = f.n_variables; j-- > 0; std::swap(vector, other)) {
        const uint32_t rows = f.ranks[j];
        const Real<L> *core = end -= uint64_t(rows) * 3 * columns;
        for (uint32_t row = 0; row < rows; ++row) {
            V<L> one{}, sine{}, cosine{};  // three sums at once, so that none waits for its own last addition
            for (uint32_t k = 0; k < columns; ++k, ++core) {
                one += vector[k] * core[0];
                sine += vector[k] * core[columns];
                cosine += vector[k] * core[2 * columns];
            }
            core += 2 * columns;
            other[row] = one + factors[2 * j] * sine + factors[2 * j + 1] * cosine;
        }
        columns = rows;
    }
    const Real<L> *lead = f.numbers.data();
    for (uint32_t c = 0; c < f.n_outputs; ++c) {
        outputs[c] = V<L>{};
        for (uint32_t k = 0; k < columns; ++k) outputs[c] += vector[k] * *lead++;
    }
}

template <class L>
void evaluate(const Formula<Real<L>> &f, const Real<L> *angles, uint64_t batch, Real<L> *values) {
    const uint64_t n_left = f.left.size() + 1, n_right = f.right.size() + 1;
    const uint64_t rank = f.ranks.empty() ? 0 : *std::max_element(f.ranks.begin(), f.ranks.end()) + 1;
    Arena arena;
    V<L> *factors = nullptr, *outputs = nullptr, *one = nullptr, *two = nullptr;
    for (int pass = 0; pass < 2; ++pass) {  // measure, then lay out
        const uint64_t bytes = arena.used;
        if (pass) arena = {static_cast<char *>(take(bytes)), 0};
        factors = arena.get<V<L>>(2 * f.n_variables);
        outputs = arena.get<V<L>>(f.n_outputs);
        one = arena.get<V<L>>(std::max(n_left, rank));
        two = arena.get<V<L>>(std::max(n_right, rank));
    }
    for (uint64_t first = 0; first < batch; first += L::lanes) {
        for (uint32_t j = 0; j < f.n_variables; ++j) {
            V<L> angle;
            for (int lane = 0; lane < L::lanes; ++lane)
                angle[lane] = angles[std::min(first + lane, batch - 1) * f.n_variables + j];
            L::sincos(angle, factors[2 * j], factors[2 * j + 1]);
        }
        if (f.ranks.empty()) {
            fill_products<L>(one, f.left, factors);
            fill_products<L>(two, f.right, factors);
            sum_products<L>(f, one, two, outputs);
        } else {
            contract<L>(f, factors, one, two, outputs);
        }
        for (uint64_t sample = first; sample < std::min(first + L::lanes, batch); ++sample)
            for (uint32_t c = 0; c < f.n_outputs; ++c) values[sample * f.n_outputs + c] = outputs[c][sample - first];
    }
    give(arena.at, arena.used);
}

}  // namespace
}  // namespace qdllm
