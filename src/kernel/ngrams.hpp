// The n-grams of texts, counted where a table has a slot for them.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace qdllm {

// What tells kinds of n-grams apart; the numbers are those of encoders/hashing.py, and come from there.
struct NgramNumbers {
    uint64_t base, first, second, around, begins, start, end;
    uint32_t prefix;
};

enum class CharacterKind : uint8_t { space, word, single };

// A sparse matrix by rows: the slots of row i, ascending, stand from ends[i] to ends[i + 1].
struct SlotCounts {
    std::vector<int32_t> ends, slots, counts;
};

class NgramCounter {
  public:
    // One kind for each code point of the basic plane; what lies beyond is of the last one's kind.
    NgramCounter(std::vector<uint8_t> kinds, const NgramNumbers &numbers)
        : kinds_(std::move(kinds)), numbers_(numbers) {}

    // Characters of all texts one after the other, lengths[i] of text i; signatures of 2^bits slots.
    SlotCounts count(const uint32_t *characters, const int64_t *lengths, uint64_t n_texts, const uint16_t *signatures,
                     uint32_t bits) const;

  private:
    std::vector<uint8_t> kinds_;
    NgramNumbers numbers_;
};

}  // namespace qdllm
