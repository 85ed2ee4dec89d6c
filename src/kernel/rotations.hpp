// Local stages: rotations of pairs of amplitudes, several qubits at once in registers.
#pragma once

#include <cmath>

#include "workspace.hpp"

namespace qdllm {
namespace {

// Multiply a scale by the cosines of a stage's rotations; if too little would be left, do not, and return false.
template <class L>
bool shrink(V<L> &scale, const Workspace<L> &w, const std::vector<Sweep> &sweeps) {
    V<L> product = scale;
    for (const Sweep &sweep : sweeps)
        for (const Group &group : sweep.groups)
            for (const uint32_t angle : group.angles) product *= w.rotations[angle].cosine;
    for (int lane = 0; lane < L::lanes; ++lane)
        if (!(std::abs(product[lane]) > Real<L>(1e-12))) return false;
    scale = product;
    return true;
}

// Visit base XOR every sum of the walk's steps, one XOR a visit (a Gray code).
template <class Function>
void visit(const std::vector<uint64_t> &walk, uint64_t base, Function body) {
    const uint64_t count = uint64_t(1) << walk.size();
    for (uint64_t i = 1;; ++i) {
        body(base);
        if (i == count) return;
        base ^= walk[__builtin_ctzll(i)];
    }
}

template <class L, int K, bool PLAIN>
struct Turn {
    static constexpr int size = 1 << K;
    const uint64_t *offsets;
    V<L> t[K], s[K];

    Turn(const Group &group, const Rotation<L> *rotations) : offsets(group.offsets.data()) {
        for (int i = 0; i < K; ++i) {
            const Rotation<L> &rotation = rotations[group.angles[i]];
            t[i] = PLAIN ? rotation.tangent : rotation.half_tangent;
            s[i] = rotation.sine;
        }
    }

    void load(const Real<L> *from, uint64_t base, V<L> (&v)[size]) const {
#pragma GCC unroll 16
        for (int j = 0; j < size; ++j) v[j] = L::load(from + (base ^ offsets[j]));
    }

    void store(Real<L> *to, uint64_t base, const V<L> (&v)[size]) const {
#pragma GCC unroll 16
        for (int j = 0; j < size; ++j) L::store(to + (base ^ offsets[j]), v[j]);
    }

    template <bool BACK>
    void apply(V<L> (&v)[size]) const {
#pragma GCC unroll 4
        for (int i = 0; i < K; ++i) {
#pragma GCC unroll 16
            for (int j = 0; j < size; ++j) {
                if (j >> i & 1) continue;
                V<L> &a = v[j], &b = v[j | 1 << i];
                if constexpr (PLAIN) {
                    const V<L> before = a;
                    a = BACK ? a + t[i] * b : a - t[i] * b;
                    b = BACK ? b - t[i] * before : b + t[i] * before;
                } else {
                    a = BACK ? a + t[i] * b : a - t[i] * b;
                    b = BACK ? b - s[i] * a : b + s[i] * a;
                    a = BACK ? a + t[i] * b : a - t[i] * b;
                }
            }
        }
    }
};

template <bool PLAIN, int K, class L>
void rotate(const Group &group, uint64_t start, const Workspace<L> &w, Real<L> *state) {
    if constexpr (K > 1)
        if (group.angles.size() < K) return rotate<PLAIN, K - 1>(group, start, w, state);
    const Turn<L, K, PLAIN> turn(group, w.rotations);
    visit(group.walk, start, [&](uint64_t base) {
        for (Real<L> *plane : {state, state + L::lanes}) {
            V<L> v[1 << K];
            turn.load(plane, base, v);
            turn.template apply<false>(v);
            turn.store(plane, base, v);
        }
    });
}

// Undo a group's rotations of the state and its adjoint; what the adjoint sees of each is its gradient.
template <bool PLAIN, int K, class L>
void rotate_back(const Group &group, uint64_t start, Workspace<L> &w, V<L> square) {
    if constexpr (K > 1)
        if (group.angles.size() < K) return rotate_back<PLAIN, K - 1>(group, start, w, square);
    const Turn<L, K, PLAIN> turn(group, w.rotations);
    V<L> sums[K] = {};
    visit(group.walk, start, [&](uint64_t base) {
        for (const int plane : {0, L::lanes}) {
            Real<L> *state = reinterpret_cast<Real<L> *>(w.state) + plane;
            Real<L> *adjoint = reinterpret_cast<Real<L> *>(w.adjoint) + plane;
            V<L> a[1 << K], b[1 << K];
            turn.load(state, base, a);
            turn.load(adjoint, base, b);
#pragma GCC unroll 16
            for (int j = 0; j < 1 << K; ++j)
#pragma GCC unroll 4
                for (int i = 0; i < K; ++i) {
                    if (j >> i & 1) continue;
                    sums[i] += b[j | 1 << i] * a[j];
                    sums[i] -= b[j] * a[j | 1 << i];
                }
            turn.template apply<true>(a);
            turn.store(state, base, a);
            turn.template apply<true>(b);
            turn.store(adjoint, base, b);
        }
    });
    for (int i = 0; i < K; ++i) w.gradients[group.angles[i]] += square * sums[i];
}

template <int WIDTH, class L>
void local(const Workspace<L> &w, const Stage &stage, Amplitude<L> *state, V<L> &scale) {
    Real<L> *reals = reinterpret_cast<Real<L> *>(state);
    const bool plain = shrink(scale, w, stage.forward);
    for (const Sweep &sweep : stage.forward)
        visit(sweep.walk, 0, [&](uint64_t start) {
            for (const Group &group : sweep.groups)
                plain ? rotate<true, WIDTH>(group, start, w, reals) : rotate<false, WIDTH>(group, start, w, reals);
        });
}

template <int WIDTH, class L>
void local_backward(Workspace<L> &w, const Stage &stage, V<L> &scale) {
    V<L> after = scale;
    const bool plain = shrink(after, w, stage.backward);
    for (const Sweep &sweep : stage.backward) {
        V<L> squares[8];  // of the scale before each group; a sweep has no more
        for (size_t g = 0; g < sweep.groups.size(); ++g) {
            squares[g] = scale * scale;
            if (plain)
                for (const uint32_t angle : sweep.groups[g].angles) scale *= w.rotations[angle].cosine;
        }
        visit(sweep.walk, 0, [&](uint64_t start) {
            for (size_t g = 0; g < sweep.groups.size(); ++g)
                plain ? rotate_back<true, WIDTH>(sweep.groups[g], start, w, squares[g])
                      : rotate_back<false, WIDTH>(sweep.groups[g], start, w, squares[g]);
        });
    }
}

}  // namespace
}  // namespace qdllm
