// A vector of samples, one a lane, in the compiler's own vector types; included once an instruction set.
#pragma once

#include <stdint.h>

#include <cmath>

namespace qdllm {
namespace {

template <class Real, int N>
struct VectorOf;
template <int N>
struct VectorOf<float, N> {
    typedef float type __attribute__((vector_size(4 * N)));
    typedef int32_t mask __attribute__((vector_size(4 * N)));
};
template <int N>
struct VectorOf<double, N> {
    typedef double type __attribute__((vector_size(8 * N)));
    typedef int64_t mask __attribute__((vector_size(8 * N)));
};

template <class Real>
struct Constants;
// Polynomials of S. L. Moshier's Cephes library (sin and cos on [-pi/4, pi/4]); pi/2 in three parts.
template <>
struct Constants<float> {
    static constexpr float shift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
    static constexpr float half_pi[3] = {1.5703125f, 4.837512969970703e-4f, 7.549789948768648e-8f};
    static constexpr int terms = 3;
    static constexpr float sine[3] = {-1.9515295891e-4f, 8.3321608736e-3f, -1.6666654611e-1f};
    static constexpr float cosine[3] = {2.443315711809948e-5f, -1.388731625493765e-3f, 4.166664568298827e-2f};
};
template <>
struct Constants<double> {
    static constexpr double shift = 6755399441055744.0;  // 1.5 * 2^52
    static constexpr double half_pi[3] = {1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21};
    static constexpr int terms = 6;
    static constexpr double sine[6] = {1.58962301576546568060e-10, -2.50507477628578072866e-8,
                                       2.75573136213857245213e-6,  -1.98412698295895385996e-4,
                                       8.33333333332211858878e-3,  -1.66666666666666307295e-1};
    static constexpr double cosine[6] = {-1.13585365213876817300e-11, 2.08757008419747316778e-9,
                                         -2.75573141792967388112e-7,  2.48015872888517045348e-5,
                                         -1.38888888888730564116e-3,  4.16666666666665929218e-2};
};

template <class Scalar, int N>
struct Lanes {
    typedef Scalar Real;
    static constexpr int lanes = N;
    typedef typename VectorOf<Real, N>::type V;
    typedef typename VectorOf<Real, N>::mask M;
    typedef Constants<Real> C;

    static V all(Real value) { return value - V{}; }
    static V load(const Real *from) { return *reinterpret_cast<const V *>(from); }
    static void store(Real *to, V value) { *reinterpret_cast<V *>(to) = value; }

    static double sum(V value) {
        double total = 0;
        for (int lane = 0; lane < N; ++lane) total += value[lane];
        return total;
    }

    // Good to the last digits for |x| up to some thousands.
    static void sincos(V x, V &sine, V &cosine) {
        const V shifted = x * Real(0.6366197723675814) + C::shift;
        const V turns = shifted - C::shift;
        const M quadrant = reinterpret_cast<M>(shifted);
        V r = x - turns * C::half_pi[0];
        r = r - turns * C::half_pi[1];
        r = r - turns * C::half_pi[2];
        const V square = r * r;
        V s = all(C::sine[0]), c = all(C::cosine[0]);
        for (int i = 1; i < C::terms; ++i) {
            s = s * square + C::sine[i];
            c = c * square + C::cosine[i];
        }
        s = s * square * r + r;
        c = c * square * square - square * Real(0.5) + Real(1);
        const M swap = (quadrant & 1) != 0;
        const V first = swap ? c : s, second = swap ? s : c;
        sine = (quadrant & 2) != 0 ? -first : first;
        cosine = ((quadrant + 1) & 2) != 0 ? -second : second;
    }
};

}  // namespace
}  // namespace qdllm
