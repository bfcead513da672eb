"""Random Unicode strings for the tokenizers' tests: scripts, emoji sequences, combining marks,
control characters, very long words, contractions, white space of all kinds."""

WORDS = ["the", "The", "don't", "WE'LL", "it's", "I'd've", "he\u2019d", "na\u00efve", "stra\u00dfe",
         "HTTPServer", "camelCase", "\u041f\u0440\u0438\u0432\u0435\u0442", "\u65e5\u672c\u8a9e",
         "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0627\u0644\u0639\u0631\u0628\u064a\u0629",
         "\u0e44\u0e17\u0e22", "\U0001F469\u200d\U0001F4BB", "\U0001F999", "e\u0301", "123", "4567",
         "\u0663\u0664", "\u00bd", "x\u00b2", "==", "...", "#!/", "--", "(", ")", "\u00ab", "\u00bb",
         "\u00ad", "\u200b", "\ufeff", "\u180e", "'S", "'\u017f", "'Re", "'ll", "don\u2019t", "1,000",
         "\ufb01", "\u2126", "\u212b", "\uff21\uff22", "\u3392", "\u00c5", "A\u030a", "\ud55c\uae00",
         "\u1112\u1161\u11ab", "\U0001F1E9\U0001F1EA", "\U0001F44D\U0001F3FD", "\u2603\ufe0f"]
SPACES = [" ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "\u00a0", "\u3000", "\u2028",
          "\u0085", "\v", "\f", "\u200a", "\u1680", "      ", " \u00a0 "]
RANGES = [(0x20, 0x7E), (0x20, 0x7E), (0xA0, 0x17F), (0x180, 0x24F), (0x300, 0x36F), (0x370, 0x52F),
          (0x590, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x10A0, 0x11FF), (0x1780, 0x17FF),
          (0x1E00, 0x1FFF), (0x2000, 0x2BFF), (0x2C80, 0x2E5D), (0x3040, 0x30FF), (0x3100, 0x33FF),
          (0x4E00, 0x9FFF), (0xA640, 0xA7FF), (0xAB30, 0xABFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF),
          (0xFB00, 0xFDFF), (0xFE00, 0xFFEF), (0x10000, 0x10FFF), (0x11000, 0x119FF),
          (0x16D40, 0x16D7F), (0x1C89, 0x1C8A), (0x1CC00, 0x1CEBF), (0x1D400, 0x1D7FF),
          (0x1E030, 0x1E06D), (0x1F300, 0x1F6FF), (0x1F900, 0x1FAFF), (0x20000, 0x20100),
          (0x31350, 0x31400), (1, 0x1F), (0x7F, 0x9F)]


def random_text(rng, extra=(), pieces=24):
    """One text without U+0000. `extra`: words to sprinkle in (added tokens)."""
    parts = []
    for _ in range(rng.randrange(1, pieces)):
        kind = rng.random()
        if extra and kind < 0.1:
            parts.append(rng.choice(extra))
        elif kind < 0.4:
            parts.append(rng.choice(WORDS))
        elif kind < 0.65:
            parts.append(rng.choice(SPACES))
        elif kind < 0.98:
            first, last = rng.choice(RANGES)
            parts.append("".join(chr(rng.randint(first, last)) for _ in range(rng.randrange(1, 6))))
        else:
            parts.append(rng.choice(["a", "\u00e9", "Zz", "\u4e2d", "1", " ", "!"]) *
                         rng.randrange(10, 300))
    return "".join(parts)
