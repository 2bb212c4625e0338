// The Merlin-Arthur protocol: honest words are always accepted, no others above the soundness; all of them where they
// are few, the best of many tries elsewhere.

#include "lab/disjointness.hpp"

#include "support/expect_error.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

namespace polyattn::lab {
namespace {

std::vector<bool> subset(int universe, std::uint64_t bits) {
  std::vector<bool> set;
  for (int e = 0; e < universe; ++e) set.push_back((bits >> e & 1U) != 0);
  return set;
}

std::vector<Disjointness::Encoded> all_subsets(const Disjointness& protocol) {
  std::vector<Disjointness::Encoded> encoded;
  for (std::uint64_t bits = 0; bits < std::uint64_t{1} << protocol.universe(); ++bits) {
    encoded.push_back(protocol.encode(subset(protocol.universe(), bits)));
  }
  return encoded;
}

std::vector<Word> all_plausible(const Disjointness& protocol) {
  std::vector<Word> words;
  const int q = protocol.field().size();
  Word free(static_cast<std::size_t>(protocol.free_symbols()), 0);
  while (true) {
    words.push_back(protocol.plausible(free));
    std::size_t i = 0;
    while (i < free.size() && free[i] == q - 1) free[i++] = 0;
    if (i == free.size()) return words;
    ++free[i];
  }
}

/// Largest number of places at which a word is accepted although the sets meet, over all sets and words; and every
/// honest word of disjoint sets is accepted everywhere.
int exhaustive(const Disjointness& protocol) {
  const std::vector<Disjointness::Encoded> sets = all_subsets(protocol);
  const std::vector<Word> words = all_plausible(protocol);
  int most = 0;
  for (std::uint64_t a = 0; a < sets.size(); ++a) {
    for (std::uint64_t b = 0; b < sets.size(); ++b) {
      for (std::uint64_t c = 0; c < sets.size(); ++c) {
        const Word mu = protocol.honest(sets[a], sets[b], sets[c]);
        if ((a & b & c) == 0) {
          EXPECT_EQ(protocol.accepting_places(mu, sets[a], sets[b], sets[c]), protocol.length());
          continue;
        }
        EXPECT_EQ(protocol.accepting_places(mu, sets[a], sets[b], sets[c]), 0) << "the truth gives itself away";
        // Plausible words pass all tests but the last, which compares them with mu.
        for (const Word& word : words) {
          int same = 0;
          for (std::size_t i = 0; i < mu.size(); ++i) same += word[i] == mu[i] ? 1 : 0;
          most = std::max(most, same);
        }
      }
    }
  }
  return most;
}

TEST(Disjointness, SoundnessIsExactOnASmallUniverse) {
  // m = 4, T = 2, rho = 2 and n_C = p = 7: 3 (rho - 1) / n_C = 3/7.
  const Disjointness protocol(reed_solomon(7, 1, 7, 2), 4, 2);
  EXPECT_EQ(all_plausible(protocol).size(), 49U);
  EXPECT_DOUBLE_EQ(protocol.soundness(), 3.0 / 7.0);
  EXPECT_EQ(exhaustive(protocol), 3);
}

TEST(Disjointness, SoundnessHoldsForOtherCodes) {
  EXPECT_EQ(exhaustive(Disjointness(reed_solomon(5, 1, 5, 2), 4, 2)), 3);
  EXPECT_EQ(exhaustive(Disjointness(reed_solomon(5, 1, 5, 1), 3, 3)), 0) << "constant words: everything is sent";
  EXPECT_EQ(exhaustive(Disjointness(reed_solomon(7, 1, 7, 3), 3, 1)), 6);
  const Disjointness hermitian_code(hermitian(3, 2), 2, 1);
  const int most = exhaustive(hermitian_code);
  EXPECT_LE(most, 9);  // 27 places, distance 18
  EXPECT_GE(most, 3);
}

TEST(Disjointness, AliceTestsWhatMerlinSends) {
  const Disjointness protocol(reed_solomon(7, 1, 7, 2), 4, 2);
  const auto set = [&](std::uint64_t bits) { return protocol.encode(subset(4, bits)); };
  const Disjointness::Encoded a = set(0b0111);
  const Disjointness::Encoded b = set(0b1010);
  const Disjointness::Encoded c = set(0b1101);
  Word mu = protocol.honest(a, b, c);
  for (int place = 0; place < 7; ++place) {
    const Word bob = Disjointness::message(b, place);
    const Word charlie = Disjointness::message(c, place);
    EXPECT_TRUE(protocol.accepts(mu, place, a, bob, charlie));
    Word changed = mu;  // no codeword any more, though right at this place
    changed[static_cast<std::size_t>((place + 3) % 7)] =
        static_cast<Field::Element>((mu[static_cast<std::size_t>((place + 3) % 7)] + 1) % 7);
    EXPECT_FALSE(protocol.accepts(changed, place, a, bob, charlie));
  }
  // A codeword that is right everywhere, but admits that the sets meet.
  const Disjointness::Encoded whole = set(0b1111);
  mu = protocol.honest(a, whole, whole);
  EXPECT_EQ(protocol.accepting_places(mu, a, whole, whole), 0);
}

TEST(Disjointness, CheatingMerlinsStayBelowTheSoundness) {
  std::mt19937_64 random(7);
  struct Case {
    Disjointness protocol;
    bool sharp;
  };
  std::vector<Case> cases;
  cases.push_back({Disjointness(reed_solomon(101, 1, 101, 10), 200, 20), true});
  cases.push_back({Disjointness(reed_solomon(31, 1, 31, 5), 40, 8), true});
  cases.push_back({Disjointness(reed_solomon(5, 2, 25, 4), 16, 4), true});
  cases.push_back({Disjointness(hermitian(5, 12), 48, 4), false});
  for (const auto& [protocol, sharp] : cases) {
    int most = 0;
    for (int round = 0; round < 12; ++round) {
      // One common element: mu is 0 at as many information places as possible.
      const int common = static_cast<int>(random() % static_cast<std::uint64_t>(protocol.universe()));
      std::vector<std::vector<bool>> sets;
      for (int s = 0; s < 3; ++s) {
        std::vector<bool> set(static_cast<std::size_t>(protocol.universe()));
        for (int e = 0; e < protocol.universe(); ++e)
          set[static_cast<std::size_t>(e)] = e == common || (e % 3 != s && random() % 2 == 0);
        sets.push_back(std::move(set));
      }
      const Disjointness::Encoded a = protocol.encode(sets[0]);
      const Disjointness::Encoded b = protocol.encode(sets[1]);
      const Disjointness::Encoded c = protocol.encode(sets[2]);
      const Word word = protocol.cheat(protocol.honest(a, b, c), 40, random);
      const int places = protocol.accepting_places(word, a, b, c);
      EXPECT_GT(places, 0);
      EXPECT_LE(places, protocol.length() * protocol.soundness() + 1e-9);
      most = std::max(most, places);
    }
    std::printf("%s code of length %d over F_%d: a cheating Merlin passes %d places of at most %.0f\n",
                protocol.codes().name.c_str(), protocol.length(), protocol.field().size(), most,
                protocol.length() * protocol.soundness());
    EXPECT_TRUE(!sharp || most == std::lround(protocol.length() * protocol.soundness())) << most;
  }
}

TEST(Disjointness, HonestMerlinsOfLargeUniverses) {
  std::mt19937_64 random(8);
  const Disjointness protocol(hermitian(7, 40), 240, 6);
  for (int round = 0; round < 5; ++round) {
    std::array<std::vector<bool>, 3> sets;
    for (int e = 0; e < 240; ++e) {
      const std::uint64_t in = random() % 7;  // not all three
      for (std::size_t s = 0; s < 3; ++s) sets[s].push_back((in >> s & 1U) != 0);
    }
    const Disjointness::Encoded a = protocol.encode(sets[0]);
    const Disjointness::Encoded b = protocol.encode(sets[1]);
    const Disjointness::Encoded c = protocol.encode(sets[2]);
    EXPECT_EQ(protocol.accepting_places(protocol.honest(a, b, c), a, b, c), protocol.length());
  }
}

TEST(Disjointness, CommunicationIsWhatTheTheoremSays) {
  // Merlin n_C = m / (T rate) symbols, Bob and Charlie T symbols, coins log2 n_C; symbols of log2 q bits. With rate rho
  // / n_C fixed and q > T that is O(m log(q) / T), O(T log q), O(log m).
  const Disjointness small(reed_solomon(7, 1, 7, 2), 4, 2);
  const Communication c = small.communication();
  EXPECT_EQ(c.merlin, 7 * 3);
  EXPECT_EQ(c.coins, 3);
  EXPECT_EQ(c.bob, 2 * 3);
  EXPECT_EQ(c.charlie, 2 * 3);
  // The same universe with more parts: Merlin sends less, the others more.
  std::int64_t merlin_before = std::numeric_limits<std::int64_t>::max();
  std::int64_t bob_before = 0;
  for (const auto& [p, block] : {std::pair{127, 20}, {67, 10}, {31, 5}}) {
    const int parts = 100 / block;
    const Disjointness protocol(reed_solomon(p, 1, p, block), 100, parts);
    EXPECT_LE(protocol.soundness(), 0.5);
    const Communication sent = protocol.communication();
    const double rate = static_cast<double>(block) / protocol.length();
    const double symbol = std::ceil(std::log2(p));
    EXPECT_DOUBLE_EQ(static_cast<double>(sent.merlin), 100.0 / (parts * rate) * symbol);
    EXPECT_EQ(sent.bob, parts * static_cast<std::int64_t>(symbol));
    EXPECT_LE(sent.coins, static_cast<std::int64_t>(std::ceil(std::log2(100.0 / (parts * rate)))));
    EXPECT_LT(sent.merlin, merlin_before);
    EXPECT_GT(sent.bob, bob_before);
    merlin_before = sent.merlin;
    bob_before = sent.bob;
  }
}

TEST(Disjointness, RefusesFieldsAndPartsThatDoNotFit) {
  const auto refuses = [](const std::string& part, auto&& call) {
    return test::fails_with(ErrorCode::invalid_argument, {"protocol", part}, call);
  };
  EXPECT_TRUE(refuses("characteristic is above the 7 parts", [] { Disjointness(reed_solomon(7, 1, 7, 2), 14, 7); }));
  EXPECT_TRUE(refuses("characteristic is above the 3 parts", [] { Disjointness(hermitian(3, 2), 6, 3); }));
  EXPECT_TRUE(refuses("universe of 5", [] { Disjointness(reed_solomon(7, 1, 7, 2), 5, 2); }));
  EXPECT_TRUE(refuses("products of 3", [] { Disjointness(reed_solomon(7, 1, 7, 2, 2), 4, 2); }));
  EXPECT_TRUE(refuses("subset of 4 elements, got 3", [] {
    static_cast<void>(Disjointness(reed_solomon(7, 1, 7, 2), 4, 2).encode({true, false, true}));
  }));
}

}  // namespace
}  // namespace polyattn::lab
