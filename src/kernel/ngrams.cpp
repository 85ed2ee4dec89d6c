// The n-grams of texts: the same hashes as encoders/hashing.py, one text at a time.
#include "ngrams.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace qdllm {

namespace {

// Spread every bit over all bits: the end of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
uint64_t mix(uint64_t value) {
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9u;
    value = (value ^ value >> 27) * 0x94D049BB133111EBu;
    return value ^ value >> 31;
}

// Ascending, by bytes from the lowest: most texts have too many slots for a comparison sort to be as fast.
void sort(std::vector<uint32_t> &slots, std::vector<uint32_t> &spare, uint32_t bits) {
    if (slots.size() < 64) {
        std::sort(slots.begin(), slots.end());
        return;
    }
    spare.resize(slots.size());
    for (uint32_t shift = 0; shift < bits; shift += 8) {
        std::array<uint32_t, 256> places{};
        for (const uint32_t slot : slots) ++places[slot >> shift & 255];
        uint32_t place = 0;
        for (uint32_t &count : places) place += std::exchange(count, place);
        for (const uint32_t slot : slots) spare[places[slot >> shift & 255]++] = slot;
        slots.swap(spare);
    }
}

}  // namespace

SlotCounts NgramCounter::count(const uint32_t *characters, const int64_t *lengths, uint64_t n_texts,
                               const uint16_t *signatures, uint32_t bits) const {
    const NgramNumbers &n = numbers_;
    SlotCounts found;
    found.ends.reserve(n_texts + 1);
    found.ends.push_back(0);
    std::vector<uint64_t> tokens;
    std::vector<uint32_t> slots, spare;

    const auto add = [&](uint64_t hash) {
        const uint32_t slot = uint32_t(hash >> (64 - bits));
        const uint16_t signature = std::max<uint16_t>(uint16_t(hash), 1);
        if (signatures[slot] == signature) slots.push_back(slot);
    };
    const auto kind = [&](uint32_t character) {
        return CharacterKind(kinds_[std::min<uint64_t>(character, kinds_.size() - 1)]);
    };

    for (uint64_t row = 0; row < n_texts; ++row) {
        const uint32_t *const end = characters + lengths[row];
        tokens.assign(1, n.start);
        slots.clear();
        while (characters < end) {
            const CharacterKind first = kind(*characters);
            uint64_t value = *characters++;
            if (first == CharacterKind::space) continue;
            if (first == CharacterKind::word) {
                uint64_t power = n.base;
                uint32_t length = 1;
                for (; characters < end && kind(*characters) == CharacterKind::word; ++characters, ++length) {
                    if (length == n.prefix) add(mix(value * n.begins));
                    value += *characters * power;
                    power *= n.base;
                }
            }
            tokens.push_back(mix(value));
            add(tokens.back());
        }
        tokens.push_back(n.end);
        for (size_t i = 0; i + 1 < tokens.size(); ++i) {
            const uint64_t pair = tokens[i] * n.first + tokens[i + 1];
            add(mix(pair));
            if (i + 2 == tokens.size()) break;
            add(mix(pair * n.second + tokens[i + 2]));
            add(mix(tokens[i] * n.around + tokens[i + 2]));
        }
        sort(slots, spare, bits);
        for (size_t i = 0; i < slots.size(); ++i) {
            if (i && slots[i] == slots[i - 1]) {
                ++found.counts.back();
            } else {
                found.slots.push_back(int32_t(slots[i]));
                found.counts.push_back(1);
            }
        }
        found.ends.push_back(int32_t(found.slots.size()));
    }
    return found;
}

}  // namespace qdllm
