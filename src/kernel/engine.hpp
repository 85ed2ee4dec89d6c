// The stages on blocks of samples. Included once an instruction set and all in an unnamed namespace, so that no set's
// code is ever linked in place of another's. A state is [amplitude][real, imaginary][lane].
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "plan.hpp"
#include "vector.hpp"

namespace {

using qdllm::Call;
using qdllm::Group;
using qdllm::Plan;
using qdllm::Stage;
using qdllm::Sweep;

template <class Real, int N, int FORWARD, int BACKWARD>
struct Engine {
    typedef Lanes<Real, N> L;
    typedef typename L::V V;

    struct Amplitude {
        V re, im;
    };

    // A rotation by angle/2 of pairs (a, b) in two ways. Plain, two fused multiply-adds: a - t b and b + t a, with
    // t = tan(angle/2), too long by 1/cos(angle/2), which the state's scale takes up. Where that would grow too large,
    // three shears: a -= u b, b += s a, a -= u b, with u = tan(angle/4).
    struct Rotation {
        V tangent, cosine, half_tangent, sine;
    };

    // One worker's memory.
    struct Workspace {
        V *angles, *gradients;             // per angle
        Rotation *rotations;               // per angle
        V *low, *high;                     // the two factors of the product state
        V *low_gradients, *high_gradients;
        V *weights;                        // per bit read and for their sum
        Amplitude *state, *adjoint;
        Amplitude *phases;                 // cos, sin of a diagonal stage that differs between samples
        V *scratch;                        // one vector a basis state
        V *phase_gradients;                // (n_tables, 2^n), summed over blocks
        double *totals;                    // per angle, gradients summed over samples
    };

    // ---- memory -------------------------------------------------------------------------------------------------

    struct Arena {
        char *at = nullptr;
        uint64_t used = 0;

        template <class T>
        T *get(uint64_t count) {
            T *place = at ? reinterpret_cast<T *>(at + used) : nullptr;
            used += (count * sizeof(T) + 63) / 64 * 64;
            return place;
        }
    };

    static Workspace lay_out(Arena &arena, const Plan &plan, bool keeps, bool backward) {
        const uint64_t size = plan.size(), angles = plan.n_angles();
        const bool varies = std::any_of(plan.stages.begin(), plan.stages.end(),
                                        [](const Stage &stage) { return stage.diagonal && stage.of_sample; });
        Workspace w;
        w.angles = arena.get<V>(angles);
        w.gradients = arena.get<V>(angles);
        w.rotations = arena.get<Rotation>(angles);
        w.low = arena.get<V>(plan.product.low.size());
        w.high = arena.get<V>(plan.product.high.size());
        w.low_gradients = arena.get<V>(plan.product.low.size());
        w.high_gradients = arena.get<V>(plan.product.high.size());
        w.weights = arena.get<V>(plan.n_qubits + 1);
        w.state = arena.get<Amplitude>(keeps ? 0 : size);
        w.adjoint = arena.get<Amplitude>(backward ? size : 0);
        w.phases = arena.get<Amplitude>(varies ? size : 0);
        w.scratch = arena.get<V>(size);
        w.phase_gradients = arena.get<V>(backward ? size * plan.n_tables : 0);
        w.totals = arena.get<double>(angles);
        return w;
    }

    struct Job {
        const Call<Real> &call;
        char *memory;
        uint64_t stride;  // bytes a worker
        bool backward;

        Workspace workspace(uint32_t worker) const {
            Arena arena{memory + worker * stride, 0};
            return lay_out(arena, call.plan, call.kept.states && !backward, backward);
        }
    };

    // ---- angles and phases --------------------------------------------------------------------------------------

    static Rotation rotation(V angle) {
        Rotation r;
        V sine;
        L::sincos(angle * Real(0.5), sine, r.cosine);
        r.tangent = sine / r.cosine;
        // The shears turn by 2 pi less where that keeps u within +-1; the whole state changes its sign, no more.
        const typename L::M back = r.cosine < 0;
        r.sine = back ? -sine : sine;
        r.half_tangent = r.sine / ((back ? -r.cosine : r.cosine) + Real(1));
        return r;
    }

    // Multiply a scale by the cosines of a stage's rotations; if too little would be left, do not, and return false.
    static bool shrink(V &scale, const Workspace &w, const std::vector<Sweep> &sweeps) {
        V product = scale;
        for (const Sweep &sweep : sweeps)
            for (const Group &group : sweep.groups)
                for (const uint32_t angle : group.angles) product *= w.rotations[angle].cosine;
        for (int lane = 0; lane < N; ++lane)
            if (!(std::abs(product[lane]) > Real(1e-12))) return false;
        scale = product;
        return true;
    }

    static Real reduced(double angle) {  // within +-2 pi
        return Real(angle - 12.566370614359172 * std::nearbyint(angle * 0.07957747154594767));
    }

    // The angles of one block of samples; lanes beyond the batch repeat its last sample.
    static void set_angles(Workspace &w, const Call<Real> &call, uint64_t first) {
        const Plan &plan = call.plan;
        for (int lane = 0; lane < N; ++lane) {
            const Real *inputs = call.inputs + std::min(first + lane, call.batch - 1) * plan.n_inputs;
            double angle = 0;
            for (size_t i = 0; i < plan.inputs.size(); ++i) {  // sorted by angle
                const auto &d = plan.inputs[i];
                if (i == 0 || plan.inputs[i - 1].angle != d.angle) angle = call.kept.angles[d.angle];
                angle += d.coefficient * double(inputs[d.column]);
                w.angles[d.angle][lane] = reduced(angle);
            }
        }
        for (uint64_t a = 0; a < plan.n_angles(); ++a)
            if (plan.of_sample[a]) w.rotations[a] = rotation(w.angles[a]);
    }

    static void set_shared_angles(Workspace &w, const Call<Real> &call) {
        const Plan &plan = call.plan;
        for (uint64_t a = 0; a < plan.n_angles(); ++a) {
            if (plan.of_sample[a]) continue;
            w.angles[a] = L::all(reduced(call.kept.angles[a]));
            w.rotations[a] = rotation(w.angles[a]);
        }
    }

    template <class T>
    static void walsh_hadamard(T *values, uint64_t size) {
        uint64_t step = 1;
        for (; step * 4 <= size; step *= 4)
            for (uint64_t i = 0; i < size; i += 4 * step)
                for (uint64_t j = i; j < i + step; ++j) {
                    const T a = values[j] + values[j + step], b = values[j] - values[j + step];
                    const T c = values[j + 2 * step] + values[j + 3 * step];
                    const T d = values[j + 2 * step] - values[j + 3 * step];
                    values[j] = a + c;
                    values[j + step] = b + d;
                    values[j + 2 * step] = a - c;
                    values[j + 3 * step] = b - d;
                }
        for (; step < size; step *= 2)
            for (uint64_t i = 0; i < size; i += 2 * step)
                for (uint64_t j = i; j < i + step; ++j) {
                    const T a = values[j], b = values[j + step];
                    values[j] = a + b;
                    values[j + step] = a - b;
                }
    }

    // cos and sin of every basis state's shared phase.
    static void fill_tables(const Call<Real> &call) {
        const Plan &plan = call.plan;
        const uint64_t size = plan.size();
        typedef Lanes<double, N> D;
        double *phases = static_cast<double *>(qdllm::take((size + N) * sizeof(double)));
        for (const Stage &stage : plan.stages) {
            if (!stage.diagonal || stage.of_sample) continue;
            std::memset(phases, 0, (size + N) * sizeof(double));
            for (size_t i = 0; i < stage.masks.size(); ++i)
                phases[stage.masks[i]] += 0.5 * double(reduced(call.kept.angles[stage.angles[i]]));
            walsh_hadamard(phases, size);
            Real *cosines = call.kept.tables + stage.table * size * 2, *sines = cosines + size;
            for (uint64_t k = 0; k < size; k += N) {
                typename D::V sine, cosine;
                D::sincos(D::load(phases + k), sine, cosine);
                for (uint64_t lane = 0; lane < std::min<uint64_t>(N, size - k); ++lane) {
                    cosines[k + lane] = Real(cosine[lane]);
                    sines[k + lane] = Real(sine[lane]);
                }
            }
        }
        qdllm::give(phases, (size + N) * sizeof(double));
    }

    static void fill_phases(Workspace &w, const Stage &stage, uint64_t size) {
        std::memset(static_cast<void *>(w.scratch), 0, size * sizeof(V));
        for (size_t i = 0; i < stage.masks.size(); ++i)
            w.scratch[stage.masks[i]] += Real(0.5) * w.angles[stage.angles[i]];
        walsh_hadamard(w.scratch, size);
        for (uint64_t k = 0; k < size; ++k) L::sincos(w.scratch[k], w.phases[k].im, w.phases[k].re);
    }

    // Where a diagonal stage's cos and sin come from: one table for all samples, or a vector each.
    struct Shared {
        const Real *cosines, *sines;
        V cos(uint64_t k) const { return L::all(cosines[k]); }
        V sin(uint64_t k) const { return L::all(sines[k]); }
    };
    struct Own {
        const Amplitude *phases;
        V cos(uint64_t k) const { return phases[k].re; }
        V sin(uint64_t k) const { return phases[k].im; }
    };
    struct None {
        V cos(uint64_t) const { return L::all(1); }
        V sin(uint64_t) const { return V{}; }
    };

    // Call body with the source of a stage's phases and the place of their gradients.
    template <class Function>
    static void with_phases(Workspace &w, const Call<Real> &call, const Stage *stage, Function body) {
        const uint64_t size = call.plan.size();
        if (!stage) {
            body(None{}, w.scratch);
        } else if (stage->of_sample) {
            fill_phases(w, *stage, size);
            std::memset(static_cast<void *>(w.scratch), 0, size * sizeof(V));
            body(Own{w.phases}, w.scratch);
        } else {
            V *gradients = w.phase_gradients ? w.phase_gradients + stage->table * size : nullptr;
            const Real *table = call.kept.tables + stage->table * size * 2;
            body(Shared{table, table + size}, gradients);
        }
    }

    // Twice the gradients of a stage's own phases, in scratch, become gradients of its angles.
    static void collect_own(Workspace &w, const Stage *stage, uint64_t size) {
        if (!stage || !stage->of_sample) return;
        walsh_hadamard(w.scratch, size);
        for (size_t i = 0; i < stage->masks.size(); ++i)
            w.gradients[stage->angles[i]] += w.scratch[stage->masks[i]];
    }

    // ---- the product state, with the phases that follow it ------------------------------------------------------

    static void factor(V *out, const Workspace &w, const uint32_t *angles, size_t count) {
        out[0] = L::all(1);
        for (size_t i = 0; i < count; ++i) {
            V sine, cosine;
            L::sincos(w.angles[angles[i]] * Real(0.5), sine, cosine);
            for (size_t j = 0; j < size_t(1) << i; ++j) {
                out[j + (size_t(1) << i)] = out[j] * sine;
                out[j] *= cosine;
            }
        }
    }

    static void set_factors(Workspace &w, const Plan &plan) {
        const size_t count = plan.product_angles.size();
        factor(w.low, w, plan.product_angles.data(), count / 2);
        factor(w.high, w, plan.product_angles.data() + count / 2, count - count / 2);
    }

    static void product(Workspace &w, const Call<Real> &call, const Stage *phases, Amplitude *state) {
        const Plan &plan = call.plan;
        set_factors(w, plan);
        if (plan.product_angles.size() < plan.n_qubits)
            std::memset(static_cast<void *>(state), 0, plan.size() * sizeof(Amplitude));
        with_phases(w, call, phases, [&](auto phase, V *) {
            for (size_t h = 0; h < plan.product.high.size(); ++h)
                for (size_t l = 0; l < plan.product.low.size(); ++l) {
                    const uint64_t k = plan.product.high[h] ^ plan.product.low[l];
                    const V value = w.high[h] * w.low[l];
                    state[k] = {value * phase.cos(k), -value * phase.sin(k)};
                }
        });
    }

    static void product_backward(Workspace &w, const Call<Real> &call, const Stage *phases, V scale) {
        const Plan &plan = call.plan;
        set_factors(w, plan);
        for (size_t l = 0; l < plan.product.low.size(); ++l) w.low_gradients[l] = V{};
        with_phases(w, call, phases, [&](auto phase, V *gradients) {
            for (size_t h = 0; h < plan.product.high.size(); ++h) {
                V sum{};
                const V high = w.high[h];
                for (size_t l = 0; l < plan.product.low.size(); ++l) {
                    const uint64_t k = plan.product.high[h] ^ plan.product.low[l];
                    const Amplitude a = w.adjoint[k];
                    const V c = scale * phase.cos(k), s = scale * phase.sin(k);
                    const V real = a.re * c - a.im * s;
                    gradients[k] -= (a.re * s + a.im * c) * (high * w.low[l]);
                    w.low_gradients[l] += real * high;
                    sum += real * w.low[l];
                }
                w.high_gradients[h] = sum;
            }
        });
        collect_own(w, phases, plan.size());
        const size_t count = plan.product_angles.size();
        collect_factor(w, plan.product_angles.data(), count / 2, w.low, w.low_gradients);
        collect_factor(w, plan.product_angles.data() + count / 2, count - count / 2, w.high, w.high_gradients);
    }

    static void collect_factor(Workspace &w, const uint32_t *angles, size_t count, const V *values, const V *gradients) {
        for (size_t i = 0; i < count; ++i) {
            const size_t bit = size_t(1) << i;
            V sum{};
            for (size_t j = 0; j < size_t(1) << count; ++j)
                if (!(j & bit)) sum += gradients[j | bit] * values[j] - gradients[j] * values[j | bit];
            w.gradients[angles[i]] += sum;
        }
    }

    // ---- diagonal stages ----------------------------------------------------------------------------------------

    static void diagonal(Workspace &w, const Call<Real> &call, const Stage &stage, Amplitude *state, V scale) {
        with_phases(w, call, &stage, [&](auto phase, V *) {
            for (uint64_t k = 0; k < call.plan.size(); ++k) {
                const Amplitude a = state[k];
                const V c = scale * phase.cos(k), s = scale * phase.sin(k);
                state[k] = {a.re * c + a.im * s, a.im * c - a.re * s};
            }
        });
    }

    static void diagonal_backward(Workspace &w, const Call<Real> &call, const Stage &stage, V scale) {
        const V square = scale * scale;
        with_phases(w, call, &stage, [&](auto phase, V *gradients) {
            for (uint64_t k = 0; k < call.plan.size(); ++k) {
                const Amplitude a = w.state[k], b = w.adjoint[k];
                const V c = scale * phase.cos(k), s = scale * phase.sin(k);
                gradients[k] += square * (b.re * a.im - b.im * a.re);
                w.state[k] = {a.re * c - a.im * s, a.im * c + a.re * s};
                w.adjoint[k] = {b.re * c - b.im * s, b.im * c + b.re * s};
            }
        });
        collect_own(w, &stage, call.plan.size());
    }

    // ---- local stages -------------------------------------------------------------------------------------------

    // Visit base XOR every sum of the walk's steps, one XOR a visit (a Gray code).
    template <class Function>
    static void visit(const std::vector<uint64_t> &walk, uint64_t base, Function body) {
        const uint64_t count = uint64_t(1) << walk.size();
        for (uint64_t i = 1;; ++i) {
            body(base);
            if (i == count) return;
            base ^= walk[__builtin_ctzll(i)];
        }
    }

    template <int K, bool PLAIN>
    struct Turn {
        static constexpr int size = 1 << K;
        const uint64_t *offsets;
        V t[K], s[K];

        Turn(const Group &group, const Rotation *rotations) : offsets(group.offsets.data()) {
            for (int i = 0; i < K; ++i) {
                const Rotation &rotation = rotations[group.angles[i]];
                t[i] = PLAIN ? rotation.tangent : rotation.half_tangent;
                s[i] = rotation.sine;
            }
        }

        void load(const Real *from, uint64_t base, V (&v)[size]) const {
#pragma GCC unroll 16
            for (int j = 0; j < size; ++j) v[j] = L::load(from + (base ^ offsets[j]));
        }

        void store(Real *to, uint64_t base, const V (&v)[size]) const {
#pragma GCC unroll 16
            for (int j = 0; j < size; ++j) L::store(to + (base ^ offsets[j]), v[j]);
        }

        template <bool BACK>
        void apply(V (&v)[size]) const {
#pragma GCC unroll 4
            for (int i = 0; i < K; ++i) {
#pragma GCC unroll 16
                for (int j = 0; j < size; ++j) {
                    if (j >> i & 1) continue;
                    V &a = v[j], &b = v[j | 1 << i];
                    if constexpr (PLAIN) {
                        const V before = a;
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

    template <bool PLAIN, int K = FORWARD>
    static void rotate(const Group &group, uint64_t start, const Workspace &w, Real *state) {
        if constexpr (K > 1)
            if (group.angles.size() < K) return rotate<PLAIN, K - 1>(group, start, w, state);
        const Turn<K, PLAIN> turn(group, w.rotations);
        visit(group.walk, start, [&](uint64_t base) {
            for (Real *plane : {state, state + N}) {
                V v[1 << K];
                turn.load(plane, base, v);
                turn.template apply<false>(v);
                turn.store(plane, base, v);
            }
        });
    }

    // Undo a group's rotations of the state and its adjoint; what the adjoint sees of each is its gradient.
    template <bool PLAIN, int K = BACKWARD>
    static void rotate_back(const Group &group, uint64_t start, Workspace &w, V square) {
        if constexpr (K > 1)
            if (group.angles.size() < K) return rotate_back<PLAIN, K - 1>(group, start, w, square);
        const Turn<K, PLAIN> turn(group, w.rotations);
        V sums[K] = {};
        visit(group.walk, start, [&](uint64_t base) {
            for (const int plane : {0, N}) {
                Real *state = reinterpret_cast<Real *>(w.state) + plane;
                Real *adjoint = reinterpret_cast<Real *>(w.adjoint) + plane;
                V a[1 << K], b[1 << K];
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

    static void local(const Workspace &w, const Stage &stage, Amplitude *state, V &scale) {
        Real *reals = reinterpret_cast<Real *>(state);
        const bool plain = shrink(scale, w, stage.forward);
        for (const Sweep &sweep : stage.forward)
            visit(sweep.walk, 0, [&](uint64_t start) {
                for (const Group &group : sweep.groups)
                    plain ? rotate<true>(group, start, w, reals) : rotate<false>(group, start, w, reals);
            });
    }

    static void local_backward(Workspace &w, const Stage &stage, V &scale) {
        V after = scale;
        const bool plain = shrink(after, w, stage.backward);
        for (const Sweep &sweep : stage.backward) {
            V squares[8];  // of the scale before each group; a sweep has no more
            for (size_t g = 0; g < sweep.groups.size(); ++g) {
                squares[g] = scale * scale;
                if (plain)
                    for (const uint32_t angle : sweep.groups[g].angles) scale *= w.rotations[angle].cosine;
            }
            visit(sweep.walk, 0, [&](uint64_t start) {
                for (size_t g = 0; g < sweep.groups.size(); ++g)
                    plain ? rotate_back<true>(sweep.groups[g], start, w, squares[g])
                          : rotate_back<false>(sweep.groups[g], start, w, squares[g]);
            });
        }
    }

    // ---- readout ------------------------------------------------------------------------------------------------

    static V squared(const Amplitude &a) { return a.re * a.re + a.im * a.im; }

    // Visit pairs of states that differ in the readout's last bit.
    template <class Function>
    static void visit_readout(const Plan &plan, Function body) {
        uint64_t y = 0;
        for (const uint64_t high : plan.rest.high)
            for (const uint64_t low : plan.rest.low) body(y++, high ^ low, high ^ low ^ plan.top);
    }

    static void read(Workspace &w, const Call<Real> &call, const Amplitude *state, V scale, uint64_t first) {
        const Plan &plan = call.plan;
        const uint32_t fold = plan.single ? 0 : plan.rank;  // bits below stay for the transform
        V *sums = w.weights;
        V *p = w.scratch;
        uint64_t half = plan.size() / 2;
        if (fold == plan.n_qubits) {
            visit_readout(plan, [&](uint64_t y, uint64_t k0, uint64_t k1) {
                p[y] = squared(state[k0]);
                p[y + half] = squared(state[k1]);
            });
        } else {
            V sum{};
            visit_readout(plan, [&](uint64_t y, uint64_t k0, uint64_t k1) {
                const V a = squared(state[k0]), b = squared(state[k1]);
                sum += a - b;
                p[y] = a + b;
            });
            sums[plan.n_qubits - 1] = sum;
            for (int bit = int(plan.n_qubits) - 2; bit >= int(fold); --bit) {
                half = uint64_t(1) << bit;
                sum = V{};
                for (uint64_t y = 0; y < half; ++y) {
                    const V a = p[y], b = p[y + half];
                    sum += a - b;
                    p[y] = a + b;
                }
                sums[bit] = sum;
            }
        }
        if (!plan.single) walsh_hadamard(p, uint64_t(1) << plan.rank);
        const V square = scale * scale;
        for (uint64_t sample = first; sample < std::min(first + N, call.batch); ++sample) {
            Real *values = call.values + sample * plan.n_observables;
            std::fill(values, values + plan.n_observables, Real(0));
            for (const auto &r : plan.readings) {
                const V &value = plan.single && r.string ? sums[__builtin_ctzll(r.string)] : p[r.string];
                values[r.observable] += Real(r.coefficient) * square[sample - first] * value[sample - first];
            }
        }
    }

    // The adjoint state, the weighted sum of observables times the state; and a copy of the state to work on.
    static void seed(Workspace &w, const Call<Real> &call, const Amplitude *state, V scale, uint64_t first) {
        const Plan &plan = call.plan;
        const uint32_t fold = plan.single ? 0 : plan.rank;
        V *sums = w.weights, *p = w.scratch;
        std::memset(static_cast<void *>(sums), 0, (plan.n_qubits + 1) * sizeof(V));
        std::memset(static_cast<void *>(p), 0, (uint64_t(1) << fold) * sizeof(V));
        for (uint64_t sample = first; sample < std::min(first + N, call.batch); ++sample) {
            const Real *weights = call.weights + sample * plan.n_observables;
            for (const auto &r : plan.readings) {
                V &value = plan.single && r.string ? sums[__builtin_ctzll(r.string)] : p[r.string];
                value[sample - first] += Real(r.coefficient) * weights[r.observable];
            }
        }
        if (!plan.single) walsh_hadamard(p, uint64_t(1) << plan.rank);
        for (uint32_t bit = fold; bit + 1 < plan.n_qubits; ++bit)
            for (uint64_t y = 0, half = uint64_t(1) << bit; y < half; ++y) {
                const V value = p[y];
                p[y + half] = value - sums[bit];
                p[y] = value + sums[bit];
            }
        // Of a number's last bit, the weights hold the sign alone, unless the transform has gone over it.
        const uint64_t last = fold == plan.n_qubits ? plan.size() : plan.size() / 2;
        const V sum = fold == plan.n_qubits ? V{} : sums[plan.n_qubits - 1];
        uint64_t k = 0;
        for (const uint64_t high : plan.numbers.high)
            for (const uint64_t low : plan.numbers.low) {
                const uint64_t y = high ^ low;
                const V d = y & last ? p[y ^ last] - sum : p[y] + sum;
                const Amplitude a = {scale * state[k].re, scale * state[k].im};
                w.state[k] = a;
                w.adjoint[k] = {d * a.re, d * a.im};
                ++k;
            }
    }

    // ---- whole runs ---------------------------------------------------------------------------------------------

    // The diagonal stage right after the product state, which is applied while that is written.
    static const Stage *first_phases(const Plan &plan) {
        return !plan.stages.empty() && plan.stages[0].diagonal ? &plan.stages[0] : nullptr;
    }

    // The scale that the forward run left the final state with.
    static V kept_scale(const Workspace &w, const Plan &plan) {
        V scale = L::all(1);
        for (const Stage &stage : plan.stages) {
            if (stage.diagonal)
                scale = L::all(1);
            else
                shrink(scale, w, stage.forward);
        }
        return scale;
    }

    static void forward_blocks(void *context, uint32_t worker, uint64_t begin, uint64_t end) {
        const Job &job = *static_cast<Job *>(context);
        const Call<Real> &call = job.call;
        const Plan &plan = call.plan;
        const Stage *phases = first_phases(plan);
        Workspace w = job.workspace(worker);
        set_shared_angles(w, call);
        for (uint64_t block = begin; block < end; ++block) {
            Amplitude *kept = reinterpret_cast<Amplitude *>(call.kept.states);
            Amplitude *state = kept ? kept + block * plan.size() : w.state;
            set_angles(w, call, block * N);
            product(w, call, phases, state);
            V scale = L::all(1);  // true state = scale * stored state
            for (const Stage &stage : plan.stages) {
                if (&stage == phases) continue;
                if (!stage.diagonal) {
                    local(w, stage, state, scale);
                } else {
                    diagonal(w, call, stage, state, scale);
                    scale = L::all(1);
                }
            }
            read(w, call, state, scale, block * N);
        }
    }

    static void backward_blocks(void *context, uint32_t worker, uint64_t begin, uint64_t end) {
        const Job &job = *static_cast<Job *>(context);
        const Call<Real> &call = job.call;
        const Plan &plan = call.plan;
        const Stage *phases = first_phases(plan);
        Workspace w = job.workspace(worker);
        set_shared_angles(w, call);
        std::memset(static_cast<void *>(w.phase_gradients), 0, plan.size() * plan.n_tables * sizeof(V));
        std::fill(w.totals, w.totals + plan.n_angles(), 0.0);
        for (uint64_t block = begin; block < end; ++block) {
            set_angles(w, call, block * N);
            std::memset(static_cast<void *>(w.gradients), 0, plan.n_angles() * sizeof(V));
            const Amplitude *kept = reinterpret_cast<const Amplitude *>(call.kept.states) + block * plan.size();
            seed(w, call, kept, kept_scale(w, plan), block * N);
            V scale = L::all(1);  // of state and adjoint alike
            for (size_t i = plan.stages.size(); i-- > 0;) {
                const Stage &stage = plan.stages[i];
                if (&stage == phases) break;
                if (!stage.diagonal) {
                    local_backward(w, stage, scale);
                } else {
                    diagonal_backward(w, call, stage, scale);
                    scale = L::all(1);
                }
            }
            product_backward(w, call, phases, scale);
            for (uint64_t sample = block * N; sample < std::min(block * N + N, call.batch); ++sample) {
                Real *gradients = call.input_gradients + sample * plan.n_inputs;
                std::fill(gradients, gradients + plan.n_inputs, Real(0));
                for (const auto &d : plan.inputs)
                    gradients[d.column] += Real(d.coefficient) * w.gradients[d.angle][sample - block * N];
            }
            for (uint64_t a = 0; a < plan.n_angles(); ++a) w.totals[a] += L::sum(w.gradients[a]);
        }
    }

    static uint64_t blocks(const Call<Real> &call) { return (call.batch + N - 1) / N; }

    static Job start(const Call<Real> &call, uint32_t workers, bool backward) {
        Arena arena;
        lay_out(arena, call.plan, call.kept.states && !backward, backward);
        return {call, static_cast<char *>(qdllm::take(arena.used * workers)), arena.used, backward};
    }

    static void forward(const Call<Real> &call) {
        const Plan &plan = call.plan;
        for (uint64_t a = 0; a < plan.n_angles(); ++a) call.kept.angles[a] = plan.constants[a];
        for (const auto &d : plan.parameters)
            call.kept.angles[d.angle] += d.coefficient * double(call.parameters[d.column]);
        fill_tables(call);
        const uint32_t workers = uint32_t(std::min<uint64_t>(call.threads, blocks(call)));
        Job job = start(call, workers, false);
        qdllm::parallel(blocks(call), workers, forward_blocks, &job);
        qdllm::give(job.memory, job.stride * workers);
    }

    static void backward(const Call<Real> &call) {
        const Plan &plan = call.plan;
        const uint32_t workers = uint32_t(std::min<uint64_t>(call.threads, blocks(call)));
        Job job = start(call, workers, true);
        qdllm::parallel(blocks(call), workers, backward_blocks, &job);
        const Workspace w = job.workspace(0);
        for (const Stage &stage : plan.stages) {
            if (!stage.diagonal || stage.of_sample) continue;
            V *gradients = w.phase_gradients + stage.table * plan.size();
            for (uint32_t worker = 1; worker < workers; ++worker) {
                const V *others = job.workspace(worker).phase_gradients + stage.table * plan.size();
                for (uint64_t k = 0; k < plan.size(); ++k) gradients[k] += others[k];
            }
            walsh_hadamard(gradients, plan.size());
            for (size_t i = 0; i < stage.masks.size(); ++i)
                w.totals[stage.angles[i]] += L::sum(gradients[stage.masks[i]]);
        }
        for (uint32_t worker = 1; worker < workers; ++worker)
            for (uint64_t a = 0; a < plan.n_angles(); ++a) w.totals[a] += job.workspace(worker).totals[a];
        std::fill(call.parameter_gradients, call.parameter_gradients + plan.n_parameters, Real(0));
        for (const auto &d : plan.parameters)
            call.parameter_gradients[d.column] += Real(d.coefficient * w.totals[d.angle]);
        qdllm::give(job.memory, job.stride * workers);
    }

    static constexpr qdllm::Kernel<Real> kernel() { return {N, FORWARD, BACKWARD, forward, backward}; }
};

}  // namespace
