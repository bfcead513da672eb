#!/usr/bin/env python3
"""stopwords.py - writes src/store/stopwords.c from PostgreSQL's lists of stopwords.

    tools/unicode/stopwords.py /usr/share/postgresql/15/tsearch_data > src/store/stopwords.c

NLTK took its lists from there, and Qdrant and fastembed took theirs from NLTK. What NLTK added on
the way for English (contractions, and their pieces) and German stands below.
"""
import os
import sys

ENGLISH = """you're you've you'll you'd she's it's that'll don't should've d ll m o re ve y ain aren
aren't couldn couldn't didn didn't doesn doesn't hadn hadn't hasn hasn't haven haven't isn isn't ma
mightn mightn't mustn mustn't needn needn't shan shan't shouldn shouldn't wasn wasn't weren weren't
won won't wouldn wouldn't""".split()
ADDED = {"english": ENGLISH, "german": ["dass"]}


def words_of(path):
    with open(path, encoding="utf-8") as f:
        return [line.strip() for line in f if line.strip()]


languages = sorted(f[:-5] for f in os.listdir(sys.argv[1]) if f.endswith(".stop"))
print("""/* Written by tools/unicode/stopwords.py from the lists of PostgreSQL 15 (PostgreSQL Licence), which
 * come from Snowball (BSD). */
#include "store/words.h"
""")
for language in languages:
    words = sorted(set(words_of(os.path.join(sys.argv[1], language + ".stop")) +
                       ADDED.get(language, [])), key=lambda w: w.encode())
    print(f"static const nx_str {language}[] = {{")
    line = "   "
    for word in words:
        item = f' {{"{word}", {len(word.encode())}}},'
        if len(line + item) > 98:
            print(line)
            line = "   "
        line += item
    print(line)
    print("};\n")
print("static const struct {\n    const char   *name;\n    const nx_str *words;\n    size_t        n;\n} lists[] = {")
for language in languages:
    print(f'    {{"{language}", {language}, sizeof {language} / sizeof {language}[0]}},')
print("""};

const nx_str *nx_stopwords(nx_str language, size_t *n)
{
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        if (!nx_str_eq(nx_str_of(lists[i].name), language)) continue;
        *n = lists[i].n;
        return lists[i].words;
    }
    *n = 0;
    return NULL;
}""")
